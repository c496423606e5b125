#include "maas/http2/limits.h"

#include <nghttp2/nghttp2.h>

namespace maas {

namespace {
constexpr int64_t kSecond = 1'000'000'000;
}  // namespace

void TokenBucket::Refill() {
  if (per_second_ == 0) return;
  const int64_t now = clock_->Now();
  const int64_t for_burst = static_cast<int64_t>(burst_ * static_cast<uint64_t>(kSecond) / per_second_);
  const int64_t elapsed = std::min(now - filled_ns_, for_burst);
  const uint64_t earned = static_cast<uint64_t>(elapsed) * per_second_ / static_cast<uint64_t>(kSecond);
  if (earned == 0) return;  // What has begun to grow keeps growing.
  tokens_ = std::min(burst_, tokens_ + earned);
  filled_ns_ = now;
}

bool PingStrikes::OnPing(int64_t now_ns) {
  if (min_interval_ns_ == 0) return true;
  const bool early = has_last_ && now_ns - last_ns_ < min_interval_ns_;
  last_ns_ = now_ns;
  has_last_ = true;
  if (early) ++strikes_;
  return strikes_ <= kMaxStrikes;
}

bool FrameFlood::OnFrame(uint8_t type, uint8_t flags, uint32_t length) {
  switch (type) {
    case NGHTTP2_HEADERS:
      bucket_.Give(kPerUsefulFrame);
      return true;
    case NGHTTP2_DATA:
      // The padding of a padded frame may be all there is.
      if (length > 0 && (flags & NGHTTP2_FLAG_PADDED) == 0) {
        bucket_.Give(kPerUsefulFrame);
        return true;
      }
      if ((flags & NGHTTP2_FLAG_END_STREAM) != 0) return true;
      return bucket_.Take();
    default:
      return bucket_.Take();
  }
}

}  // namespace maas
