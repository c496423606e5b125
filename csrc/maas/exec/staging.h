// A buffer that lives as long as its instance and grows when a batch needs more.
//
// Threads: one at a time; its instance's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>

#include "maas/exec/tensor_memory.h"

namespace maas {

class StagingBuffer {
 public:
  static constexpr size_t kAlignment = TensorMemory::kAlignment;

  StagingBuffer() : StagingBuffer(HostMemory()) {}
  // `memory` is not owned and outlives this.
  explicit StagingBuffer(TensorMemory* memory) : data_(nullptr, Free{memory}) {}

  // Makes room for at least `bytes`, also for none. True if the memory moved: whatever pointed into it is
  // void. Contents are not kept. Null data() afterwards means that there was no memory.
  bool Grow(size_t bytes) {
    if (bytes <= capacity_ && data_) return false;
    data_.reset();
    capacity_ = 0;
    if (bytes > std::numeric_limits<size_t>::max() - kAlignment) return true;
    const size_t wanted = std::max<size_t>((bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
    data_.reset(data_.get_deleter().memory->Allocate(wanted));
    if (data_) capacity_ = wanted;
    return true;
  }
  std::byte* data() const { return data_.get(); }
  size_t capacity() const { return capacity_; }

 private:
  struct Free {
    TensorMemory* memory;
    void operator()(std::byte* p) const { memory->Free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t capacity_ = 0;
};

}  // namespace maas
