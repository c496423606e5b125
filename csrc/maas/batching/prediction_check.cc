#include "maas/batching/prediction_check.h"

#include <algorithm>
#include <bit>

namespace maas {
namespace {

bool IsWrong(int64_t typical_ns, int64_t high_ns, int64_t actual_ns) {
  const auto typical = static_cast<double>(typical_ns);
  const auto high = static_cast<double>(std::max(high_ns, typical_ns));
  const auto actual = static_cast<double>(actual_ns);
  const auto tolerance = static_cast<double>(PredictionCheck::kToleranceNs);
  if (actual > high) return actual > high * PredictionCheck::kFactor && actual > high + tolerance;
  return actual < typical / PredictionCheck::kFactor && actual < typical - tolerance;
}

}  // namespace

bool PredictionCheck::Record(int64_t typical_ns, int64_t high_ns, int64_t actual_ns) {
  static_assert(kWindow == 32, "wrong_ has a bit for each run");
  if (typical_ns <= 0) return false;
  wrong_ = (wrong_ << 1) | (IsWrong(typical_ns, high_ns, actual_ns) ? 1u : 0u);
  runs_ = std::min(runs_ + 1, kWindow);
  const int wrong = std::popcount(trusted_ ? wrong_ : wrong_ & ((1u << kTrustRuns) - 1));
  if (trusted_ ? wrong < kDistrustAt : runs_ < kTrustRuns || wrong > kTrustAt) return false;
  trusted_ = !trusted_;
  if (!trusted_) ++lapses_;
  wrong_ = 0;
  runs_ = 0;
  return true;
}

}  // namespace maas
