// The host's memory, counted and limited.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <set>

#include "maas/exec/tensor_memory.h"

namespace maas {

// Threads: one at a time.
class CountingMemory final : public TensorMemory {
 public:
  std::byte* Allocate(size_t bytes) override {
    if (bytes > limit_) return nullptr;
    std::byte* const memory = HostMemory()->Allocate(bytes);
    if (memory == nullptr) return nullptr;
    held_.insert(memory);
    ++allocations_;
    largest_ = std::max(largest_, bytes);
    return memory;
  }
  void Free(std::byte* memory) override {
    EXPECT_EQ(held_.erase(memory), 1u) << "it is not of this memory";
    HostMemory()->Free(memory);
  }

  // Of one allocation.
  void LimitTo(size_t bytes) { limit_ = bytes; }
  bool Holds(const std::byte* memory) const { return held_.contains(const_cast<std::byte*>(memory)); }
  size_t held() const { return held_.size(); }
  int allocations() const { return allocations_; }
  size_t largest() const { return largest_; }

 private:
  std::set<std::byte*> held_;
  size_t limit_ = std::numeric_limits<size_t>::max();
  int allocations_ = 0;
  size_t largest_ = 0;
};

}  // namespace maas
