// A buffer that lives as long as its instance and grows when a batch needs more.
//
// Aligned to 64 bytes, as vector kernels and runtimes like it. Threads: its instance's thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>

namespace maas {

class StagingBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  // Makes room for at least `bytes`, also for none. True if the memory moved: whatever pointed into it is
  // void. Contents are not kept. Null data() afterwards means that there was no memory.
  bool Grow(size_t bytes) {
    if (bytes <= capacity_ && data_) return false;
    data_.reset();
    capacity_ = 0;
    if (bytes > std::numeric_limits<size_t>::max() - kAlignment) return true;
    const size_t wanted = std::max<size_t>((bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
    // No container is aligned, uninitialized, and empty rather than thrown when there is no memory.
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory,cppcoreguidelines-no-malloc)
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, wanted)));
    if (data_) capacity_ = wanted;
    return true;
  }
  std::byte* data() const { return data_.get(); }
  size_t capacity() const { return capacity_; }

 private:
  struct Free {
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory,cppcoreguidelines-no-malloc)
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t capacity_ = 0;
};

}  // namespace maas
