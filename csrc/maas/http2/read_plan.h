// Receiving a large body where it is read from: where the next bytes of a connection should land, and in
// which order they came.
//
// A body arrives in DATA frames, each with nine bytes of header before it. In the middle of one, the rest of
// its payload goes to the stream's room; then, and between two frames, the plan guesses that frames of the
// same stream and length follow, and leaves nine bytes elsewhere before each part of the room:
//   [rest of the payload -> room] [header] [payload -> room] [header] [payload -> room] ... [scratch]
// Where a header turns out to be another, all that came after it is moved together and read from there. There
// is no scratch where the room goes on after the last part.
//
// Ownership: borrows the room and the scratch memory from Make() until the last run was read. Threads: one at
// a time.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace maas {

// The header of a frame.
struct FrameHead {
  static constexpr size_t kBytes = 9;
  uint32_t length = 0;  // Of the payload.
  uint8_t type = 0;
  uint8_t flags = 0;
  int32_t stream = 0;

  // REQUIRES: kBytes bytes.
  static FrameHead Parse(const std::byte* bytes);
};

// Knows after which byte of a connection which frame begins. Checks nothing.
class FrameTracker {
 public:
  // `preface`: bytes before the first frame.
  explicit FrameTracker(size_t preface) : left_(preface) {}

  // The next bytes; `each(head)` is called for every header that they complete, until it returns false; then
  // Feed() does too.
  template <typename Each>
  bool Feed(std::span<const std::byte> bytes, Each each) {
    while (!bytes.empty()) {
      if (left_ > 0) {
        const size_t skipped = bytes.size() < left_ ? bytes.size() : left_;
        left_ -= skipped;
        bytes = bytes.subspan(skipped);
        continue;
      }
      if (!TakeHead(&bytes)) return true;
      if (!each(head_)) return false;
    }
    return true;
  }

  // Bytes of the current payload that have not come; 0: a header is next.
  size_t left() const { return left_; }
  // What has come of that.
  std::span<const std::byte> partial_head() const { return std::span(partial_).first(partial_bytes_); }
  // The last header that was complete, and the last one of a DATA frame.
  const FrameHead& head() const { return head_; }
  const FrameHead& data() const { return data_; }
  // Which stream's body the next bytes belong to, as far as one can tell; 0: none.
  int32_t body() const;

 private:
  bool TakeHead(std::span<const std::byte>* bytes);
  size_t left_;
  FrameHead head_;
  FrameHead data_;
  std::array<std::byte, FrameHead::kBytes> partial_{};
  size_t partial_bytes_ = 0;
};

class ReadPlan {
 public:
  // Less room is not worth it.
  static constexpr size_t kMinRoom = 4096;

  // Bytes that follow each other on the connection and lie side by side.
  struct Run {
    std::span<const std::byte> bytes;
    bool in_room = false;  // They are a DATA frame's payload.
  };

  // Lays out where to receive; returns how many pieces. `room` is that of stream frames.body(), empty: all
  // goes to scratch. REQUIRES: most and scratch are not empty.
  size_t Make(const FrameTracker& frames, std::span<std::byte> room, std::span<std::byte> scratch,
              std::span<iovec> most);
  // `bytes` bytes came. The runs in order. REQUIRES: Make() was called, once for each of these.
  std::span<const Run> Resolve(size_t bytes);
  // The room goes: runs from number `first` on that lie in it are moved out.
  void LeaveRoom(size_t first);
  // The runs have been read.
  void Clear();

 private:
  static constexpr size_t kMaxParts = 16;
  static constexpr size_t kUsualPayload = 16384;
  struct Part {
    std::span<std::byte> room;
    std::array<std::byte, FrameHead::kBytes> head{};  // Of its frame.
    size_t head_known = 0;  // Bytes of that which came before; all of it: the payload comes at once.
    std::span<std::byte> missing_head() { return std::span(head).subspan(head_known); }
  };
  void Add(std::span<const std::byte> bytes, bool in_room);
  void MoveRest(size_t part, size_t skip, size_t bytes);
  size_t InPlace(size_t part) const;
  bool Continues(size_t part) const;

  std::array<Part, kMaxParts> parts_;
  size_t part_count_ = 0;
  std::span<std::byte> scratch_;
  FrameHead expected_;
  std::array<Run, 2 * kMaxParts + 2> runs_;
  size_t run_count_ = 0;
  std::vector<std::byte> moved_;
};

}  // namespace maas
