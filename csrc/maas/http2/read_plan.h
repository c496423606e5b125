// Receiving large bodies where they are read from: where the next bytes of a connection should land, and in
// which order they came.
//
// A body arrives in DATA frames, each with nine bytes of header before it. In the middle of one, the rest of
// its payload goes to the stream's room; then, and between two frames, the plan guesses which frames follow:
// full ones, of the same stream or of those that took turns lately. It leaves nine bytes elsewhere before
// each part of a room:
//   [rest of the payload -> room] [header] [payload -> room] [header] [payload -> room] ... [scratch]
// Where a header turns out to be another, all that came after it is moved together and read from there. There
// is no scratch where rooms go on after the last part. So what is copied stays little: a plan looks far ahead
// only when nearer ones came true, and uses as much scratch as lately came where no room was.
//
// Ownership: borrows the rooms and the scratch memory from Make() until the last run was read. Threads: one
// at a time.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
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
  // Which stream's body the next bytes belong to, as far as one can tell; 0: none.
  int32_t body() const;
  // Which stream's DATA frame follows one of `stream`, if all goes on as it went; 0: nobody knows.
  int32_t After(int32_t stream) const;
  // The length of a full DATA frame, as far as one can tell.
  uint32_t full_length() const;

 private:
  bool TakeHead(std::span<const std::byte>* bytes);
  size_t left_;
  void Remember(const FrameHead& data);
  struct Body {
    int32_t stream = 0;
    uint32_t length = 0;
  };
  static constexpr size_t kRecent = 16;
  static constexpr uint32_t kUsualLength = 16384;
  FrameHead head_;                      // The last one that was complete.
  std::array<Body, kRecent> recent_{};  // The last DATA frames of bodies that go on, oldest first.
  size_t recent_count_ = 0;
  std::array<std::byte, FrameHead::kBytes> partial_{};
  size_t partial_bytes_ = 0;
};

class ReadPlan {
 public:
  // Less room is not worth it.
  static constexpr size_t kMinRoom = 4096;
  // Less scratch is not used.
  static constexpr size_t kMinScratch = size_t{32} << 10;

  // Bytes that follow each other on the connection and lie side by side.
  struct Run {
    std::span<const std::byte> bytes;
    int32_t room_of = 0;  // They are a DATA frame's payload in the room of that stream.
  };
  // The room of a stream; empty: none.
  using RoomOf = std::function<std::span<std::byte>(int32_t stream)>;

  // Lays out where to receive; returns how many pieces. REQUIRES: most and scratch are not empty.
  size_t Make(const FrameTracker& frames, const RoomOf& room_of, std::span<std::byte> scratch,
              std::span<iovec> most);
  // `bytes` bytes came. The runs in order. REQUIRES: Make() was called, once for each of these.
  std::span<const Run> Resolve(size_t bytes);
  // A stream's room goes: runs from number `first` on that lie in it are moved out.
  void LeaveRoom(int32_t stream, size_t first);
  // The runs have been read.
  void Clear();

 private:
  static constexpr size_t kFirstParts = 4;
  static constexpr size_t kMaxParts = 16;
  static constexpr size_t kMaxRooms = 8;
  struct Part {
    int32_t stream = 0;
    std::span<std::byte> room;
    std::array<std::byte, FrameHead::kBytes> head{};  // Of its frame.
    size_t head_known = 0;  // Bytes of that which came before; all of it: the payload comes at once.
    std::span<std::byte> missing_head() { return std::span(head).subspan(head_known); }
  };
  struct Room {
    int32_t stream = 0;
    std::span<std::byte> left;
  };
  Room* Find(int32_t stream, const RoomOf& room_of);
  Room* FindAfter(int32_t stream, const FrameTracker& frames, const RoomOf& room_of);
  void Add(std::span<const std::byte> bytes, int32_t room_of);
  void MoveRest(size_t part, size_t skip, size_t bytes);
  void Learn(size_t bytes);
  size_t InPlace(size_t part) const;
  bool Continues(size_t part) const;

  std::array<Part, kMaxParts> parts_;
  size_t part_count_ = 0;
  std::array<Room, kMaxRooms> rooms_;
  size_t room_count_ = 0;
  size_t part_limit_ = kFirstParts;
  size_t scratch_limit_ = kMinScratch;
  std::span<std::byte> scratch_;
  std::array<Run, 2 * kMaxParts + 2> runs_;
  size_t run_count_ = 0;
  std::vector<std::vector<std::byte>> moved_;
};

}  // namespace maas
