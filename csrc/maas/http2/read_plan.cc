#include "maas/http2/read_plan.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace maas {

FrameHead FrameHead::Parse(const std::byte* bytes) {
  const auto at = [bytes](size_t i) { return std::to_integer<uint32_t>(bytes[i]); };
  FrameHead head;
  head.length = at(0) << 16 | at(1) << 8 | at(2);
  head.type = static_cast<uint8_t>(at(3));
  head.flags = static_cast<uint8_t>(at(4));
  head.stream = static_cast<int32_t>((at(5) & 0x7f) << 24 | at(6) << 16 | at(7) << 8 | at(8));
  return head;
}

bool FrameTracker::TakeHead(std::span<const std::byte>* bytes) {
  if (partial_bytes_ == 0 && bytes->size() >= FrameHead::kBytes) {
    head_ = FrameHead::Parse(bytes->data());
    *bytes = bytes->subspan(FrameHead::kBytes);
  } else {
    const size_t taken = std::min(bytes->size(), FrameHead::kBytes - partial_bytes_);
    std::memcpy(partial_.data() + partial_bytes_, bytes->data(), taken);
    partial_bytes_ += taken;
    *bytes = bytes->subspan(taken);
    if (partial_bytes_ < FrameHead::kBytes) return false;
    partial_bytes_ = 0;
    head_ = FrameHead::Parse(partial_.data());
  }
  left_ = head_.length;
  if (head_.type == NGHTTP2_DATA) data_ = head_;
  return true;
}

int32_t FrameTracker::body() const {
  if (left_ > 0) {
    const bool plain = head_.type == NGHTTP2_DATA && (head_.flags & NGHTTP2_FLAG_PADDED) == 0;
    return plain ? head_.stream : 0;
  }
  return (data_.flags & NGHTTP2_FLAG_END_STREAM) == 0 ? data_.stream : 0;
}

size_t ReadPlan::Make(const FrameTracker& frames, std::span<std::byte> room, std::span<std::byte> scratch,
                      std::span<iovec> most) {
  part_count_ = 0;
  scratch_ = scratch;
  size_t pieces = 0;
  const auto add_piece = [&](std::span<std::byte> to) { most[pieces++] = {to.data(), to.size()}; };
  if (room.size() >= kMinRoom) {
    expected_ = frames.data();
    // Clients begin a message with a short frame and go on with full ones.
    if (expected_.length < kMinRoom) expected_.length = kUsualPayload;
    size_t payload = frames.left() > 0 ? frames.left() : expected_.length;
    while (!room.empty() && part_count_ < kMaxParts) {
      const bool inside = part_count_ == 0 && frames.left() > 0;
      if (pieces + (inside ? 2 : 3) > most.size()) break;
      Part& part = parts_[part_count_];
      part.room = room.first(std::min(room.size(), payload));
      part.head_known = inside ? FrameHead::kBytes : 0;
      if (part_count_ == 0 && !inside) {
        std::ranges::copy(frames.partial_head(), part.head.begin());
        part.head_known = frames.partial_head().size();
      }
      if (!inside) add_piece(part.missing_head());
      add_piece(part.room);
      room = room.subspan(part.room.size());
      payload = expected_.length;
      ++part_count_;
    }
  }
  // Of a larger body the next read goes on in the room.
  if (part_count_ == 0 || room.size() < kMinRoom) add_piece(scratch);
  return pieces;
}

std::span<const ReadPlan::Run> ReadPlan::Resolve(size_t bytes) {
  run_count_ = 0;
  for (size_t i = 0; i < part_count_ && bytes > 0; ++i) {
    Part& part = parts_[i];
    const std::span<std::byte> head = part.missing_head();
    if (!head.empty()) {
      Add(head.first(std::min(bytes, head.size())), false);
      bytes -= std::min(bytes, head.size());
      if (bytes == 0) break;
    }
    const size_t in_place = InPlace(i);
    if (in_place > 0) Add(part.room.first(std::min(bytes, in_place)), true);
    bytes -= std::min(bytes, in_place);
    if (bytes > 0 && !Continues(i)) {
      MoveRest(i, in_place, bytes);
      return {runs_.data(), run_count_};
    }
  }
  if (bytes > 0) Add(scratch_.first(bytes), false);
  return {runs_.data(), run_count_};
}

// How many bytes of the part's room are its frame's payload. REQUIRES: its header is there.
size_t ReadPlan::InPlace(size_t part) const {
  const Part& at = parts_[part];
  if (at.head_known == FrameHead::kBytes) return at.room.size();
  const FrameHead head = FrameHead::Parse(at.head.data());
  const bool fits =
      head.type == NGHTTP2_DATA && head.stream == expected_.stream && (head.flags & NGHTTP2_FLAG_PADDED) == 0;
  return fits ? std::min<size_t>(head.length, at.room.size()) : 0;
}

// Whether what comes after the part's room is what was planned there: the next header, or, after the last
// part, anything.
bool ReadPlan::Continues(size_t part) const {
  const Part& at = parts_[part];
  if (InPlace(part) < at.room.size()) return false;
  if (part + 1 == part_count_ || at.head_known == FrameHead::kBytes) return true;
  return FrameHead::Parse(at.head.data()).length == at.room.size();
}

// `bytes` are left, and begin after the first `skip` of the part's room.
void ReadPlan::MoveRest(size_t part, size_t skip, size_t bytes) {
  moved_.clear();
  moved_.reserve(bytes);
  const auto move = [this, &bytes](std::span<const std::byte> from) {
    const std::span<const std::byte> there = from.first(std::min(bytes, from.size()));
    moved_.insert(moved_.end(), there.begin(), there.end());
    bytes -= there.size();
  };
  move(parts_[part].room.subspan(skip));
  for (size_t i = part + 1; i < part_count_; ++i) {
    move(parts_[i].head);
    move(parts_[i].room);
  }
  move(scratch_);
  Add(moved_, false);
}

void ReadPlan::LeaveRoom(size_t first) {
  size_t in_room = 0;
  for (size_t i = first; i < run_count_; ++i) {
    if (runs_[i].in_room) in_room += runs_[i].bytes.size();
  }
  if (in_room == 0) return;  // Whoever reads what was moved before may be in the middle of it.
  // What was moved before is the last run, if it is one.
  std::vector<std::byte> moved;
  moved.reserve(in_room + moved_.size());
  for (size_t i = first; i < run_count_; ++i) {
    Run& run = runs_[i];
    if (!run.in_room && run.bytes.data() != moved_.data()) continue;
    const size_t at = moved.size();
    moved.insert(moved.end(), run.bytes.begin(), run.bytes.end());
    run = {std::span<const std::byte>(moved).subspan(at), false};
  }
  moved_ = std::move(moved);
}

void ReadPlan::Clear() {
  part_count_ = 0;
  run_count_ = 0;
  // A connection keeps nothing between reads: there may be thousands.
  moved_ = {};
}

void ReadPlan::Add(std::span<const std::byte> bytes, bool in_room) { runs_[run_count_++] = {bytes, in_room}; }

}  // namespace maas
