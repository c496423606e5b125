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
  if (head_.type == NGHTTP2_DATA) Remember(head_);
  return true;
}

void FrameTracker::Remember(const FrameHead& data) {
  Body* const end = recent_.data() + recent_count_;
  if ((data.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
    const auto gone = [&data](const Body& body) { return body.stream == data.stream; };
    recent_count_ = static_cast<size_t>(std::remove_if(recent_.data(), end, gone) - recent_.data());
    return;
  }
  if (recent_count_ == kRecent) {
    std::move(recent_.begin() + 1, recent_.end(), recent_.begin());
    --recent_count_;
  }
  recent_[recent_count_++] = {data.stream, data.length};
}

int32_t FrameTracker::body() const {
  if (left_ > 0) {
    const bool plain = head_.type == NGHTTP2_DATA && (head_.flags & NGHTTP2_FLAG_PADDED) == 0;
    return plain ? head_.stream : 0;
  }
  return recent_count_ == 0 ? 0 : After(recent_[recent_count_ - 1].stream);
}

int32_t FrameTracker::After(int32_t stream) const {
  for (size_t i = recent_count_; i-- > 1;) {
    if (recent_[i - 1].stream == stream) return recent_[i].stream;
  }
  // It came last, and never before: alone, or the others ended.
  return recent_count_ == 0 ? 0 : recent_[recent_count_ - 1].stream;
}

uint32_t FrameTracker::full_length() const {
  uint32_t length = 0;
  for (size_t i = 0; i < recent_count_; ++i) length = std::max(length, recent_[i].length);
  // Clients begin a message with a short frame and go on with full ones.
  return length < ReadPlan::kMinRoom ? kUsualLength : length;
}

ReadPlan::Room* ReadPlan::Find(int32_t stream, const RoomOf& room_of) {
  for (size_t i = 0; i < room_count_; ++i) {
    if (rooms_[i].stream == stream) return &rooms_[i];
  }
  if (room_count_ == kMaxRooms || stream == 0) return nullptr;
  const std::span<std::byte> room = room_of(stream);
  rooms_[room_count_] = {stream, room.size() < kMinRoom ? std::span<std::byte>() : room};
  return &rooms_[room_count_++];
}

// The stream whose frame comes after one of `stream`, but for those whose message is complete by then.
ReadPlan::Room* ReadPlan::FindAfter(int32_t stream, const FrameTracker& frames, const RoomOf& room_of) {
  for (size_t tried = 0; tried <= kMaxRooms; ++tried) {
    stream = frames.After(stream);
    Room* const room = Find(stream, room_of);
    if (room == nullptr || !room->left.empty()) return room;
  }
  return nullptr;
}

size_t ReadPlan::Make(const FrameTracker& frames, const RoomOf& room_of, std::span<std::byte> scratch,
                      std::span<iovec> most) {
  part_count_ = 0;
  room_count_ = 0;
  scratch_ = scratch.first(std::min(scratch.size(), scratch_limit_));
  size_t pieces = 0;
  const auto add_piece = [&](std::span<std::byte> to) { most[pieces++] = {to.data(), to.size()}; };
  const bool within = frames.left() > 0;
  Room* room = Find(frames.body(), room_of);
  // A stream that took its turn and has no room is not waited for.
  if (room != nullptr && room->left.empty()) room = nullptr;
  while (room != nullptr && part_count_ < part_limit_) {
    const bool inside = part_count_ == 0 && within;
    if (pieces + (inside ? 2 : 3) > most.size()) break;
    Part& part = parts_[part_count_];
    part.stream = room->stream;
    const size_t payload = inside ? frames.left() : frames.full_length();
    part.room = room->left.first(std::min(room->left.size(), payload));
    room->left = room->left.subspan(part.room.size());
    part.head_known = inside ? FrameHead::kBytes : 0;
    if (part_count_ == 0 && !inside) {
      std::ranges::copy(frames.partial_head(), part.head.begin());
      part.head_known = frames.partial_head().size();
    }
    if (!inside) add_piece(part.missing_head());
    add_piece(part.room);
    ++part_count_;
    // The frame goes on where its room ends.
    room = part.room.size() < payload && inside ? nullptr : FindAfter(part.stream, frames, room_of);
  }
  if (part_count_ == 0 || room == nullptr) add_piece(scratch_);
  return pieces;
}

std::span<const ReadPlan::Run> ReadPlan::Resolve(size_t bytes) {
  run_count_ = 0;
  Learn(bytes);
  for (size_t i = 0; i < part_count_ && bytes > 0; ++i) {
    Part& part = parts_[i];
    const std::span<std::byte> head = part.missing_head();
    if (!head.empty()) {
      Add(head.first(std::min(bytes, head.size())), 0);
      bytes -= std::min(bytes, head.size());
      if (bytes == 0) break;
    }
    const size_t in_place = InPlace(i);
    if (in_place > 0) Add(part.room.first(std::min(bytes, in_place)), part.stream);
    bytes -= std::min(bytes, in_place);
    if (bytes > 0 && !Continues(i)) {
      part_limit_ = kFirstParts;
      MoveRest(i, in_place, bytes);
      return {runs_.data(), run_count_};
    }
  }
  if (bytes > 0) Add(scratch_.first(bytes), 0);
  return {runs_.data(), run_count_};
}

// Until the runs say otherwise, the plan came true.
void ReadPlan::Learn(size_t bytes) {
  if (part_count_ > 0) {
    part_limit_ = std::min(2 * part_limit_, kMaxParts);
    scratch_limit_ = kMinScratch;
  } else {
    part_limit_ = kFirstParts;  // Another message begins, perhaps in another order.
    if (bytes == scratch_limit_) scratch_limit_ *= 2;
  }
}

// How many bytes of the part's room are its frame's payload. REQUIRES: its header is there.
size_t ReadPlan::InPlace(size_t part) const {
  const Part& at = parts_[part];
  if (at.head_known == FrameHead::kBytes) return at.room.size();
  const FrameHead head = FrameHead::Parse(at.head.data());
  const bool fits =
      head.type == NGHTTP2_DATA && head.stream == at.stream && (head.flags & NGHTTP2_FLAG_PADDED) == 0;
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
  std::vector<std::byte>& moved = moved_.emplace_back();
  moved.reserve(bytes);
  const auto move = [&moved, &bytes](std::span<const std::byte> from) {
    const std::span<const std::byte> there = from.first(std::min(bytes, from.size()));
    moved.insert(moved.end(), there.begin(), there.end());
    bytes -= there.size();
  };
  move(parts_[part].room.subspan(skip));
  for (size_t i = part + 1; i < part_count_; ++i) {
    move(parts_[i].head);
    move(parts_[i].room);
  }
  move(scratch_);
  Add(moved, 0);
}

void ReadPlan::LeaveRoom(int32_t stream, size_t first) {
  for (size_t i = first; i < run_count_; ++i) {
    Run& run = runs_[i];
    if (run.room_of != stream) continue;
    run = {moved_.emplace_back(run.bytes.begin(), run.bytes.end()), 0};
  }
}

void ReadPlan::Clear() {
  part_count_ = 0;
  run_count_ = 0;
  // A connection keeps nothing between reads: there may be thousands.
  moved_ = {};
}

void ReadPlan::Add(std::span<const std::byte> bytes, int32_t room_of) {
  runs_[run_count_++] = {bytes, room_of};
}

}  // namespace maas
