// Memory of one kind of a fake device: limited, aligned as the table says, and full of garbage at first.
//
// Pieces are as long as was asked for, so that AddressSanitizer sees who reaches beyond one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>

namespace maas {

class FakeMemory {
 public:
  static constexpr size_t kAlignment = 256;
  // What a byte is that nobody wrote.
  static constexpr uint8_t kGarbage = 0xA5;

  explicit FakeMemory(uint64_t limit) : limit_(limit) {}

  // Null: fewer bytes than that are free.
  std::byte* Allocate(size_t bytes) {
    void* memory = nullptr;
    if (bytes == 0 || bytes > Available() || posix_memalign(&memory, kAlignment, bytes) != 0) return nullptr;
    std::memset(memory, kGarbage, bytes);
    auto* const data = static_cast<std::byte*>(memory);
    pieces_[data] = {std::unique_ptr<std::byte, Free>(data), bytes};
    used_ += bytes;
    return data;
  }
  // False: no piece begins there.
  bool Release(const void* memory) {
    const auto it = pieces_.find(static_cast<const std::byte*>(memory));
    if (it == pieces_.end()) return false;
    used_ -= it->second.bytes;
    pieces_.erase(it);
    return true;
  }
  // Whether all of these bytes are of one piece.
  bool Holds(const void* memory, uint64_t bytes) const {
    auto it = pieces_.upper_bound(static_cast<const std::byte*>(memory));
    if (it == pieces_.begin()) return false;
    --it;
    const auto at = static_cast<uint64_t>(static_cast<const std::byte*>(memory) - it->first);
    return at < it->second.bytes && bytes <= it->second.bytes - at;
  }
  // The same of the bytes from `begin` to `end`, counted from anywhere: as on a GPU, all pieces are of one
  // space.
  bool Holds(const void* base, int64_t begin, uint64_t end) const {
    const uintptr_t first = reinterpret_cast<uintptr_t>(base) + static_cast<uintptr_t>(begin);
    return Holds(reinterpret_cast<const void*>(first), end - static_cast<uint64_t>(begin));
  }
  uint64_t Available() const { return limit_ - used_; }
  size_t pieces() const { return pieces_.size(); }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  struct Piece {
    std::unique_ptr<std::byte, Free> data;
    size_t bytes = 0;
  };
  uint64_t limit_;
  uint64_t used_ = 0;
  std::map<const std::byte*, Piece, std::less<>> pieces_;
};

}  // namespace maas
