// How many bytes peers may make this process keep: half-received messages, answers that nobody reads, bytes
// on their way through. One for all connections of a front.
//
// Threads: any. Never blocks.
#pragma once

#include <atomic>
#include <cstddef>

namespace maas {

class MemoryBudget {
 public:
  explicit MemoryBudget(size_t limit) : limit_(limit) {}

  // False: that would be more than the limit, and nothing was taken.
  [[nodiscard]] bool Take(size_t bytes) {
    if (bytes > limit_) return false;
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit_) return true;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  void Give(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

}  // namespace maas
