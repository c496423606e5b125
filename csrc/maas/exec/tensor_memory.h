// Where the tensors of runs lie: in the host's memory, or in that of a device.
//
// Asked only when a buffer grows, never for a batch.
// Threads: every method may be called from any thread. Outlives all that was allocated from it.
#pragma once

#include <cstddef>

namespace maas {

class TensorMemory {
 public:
  static constexpr size_t kAlignment = 64;  // As vector kernels and runtimes like it.

  // `bytes` bytes aligned to kAlignment, their contents undefined; null: there is no such memory. What it
  // points to need not be the host's to read or write. REQUIRES: a multiple of kAlignment, and not 0.
  virtual std::byte* Allocate(size_t bytes) = 0;
  // Takes back what Allocate() gave. REQUIRES: not null.
  virtual void Free(std::byte* memory) = 0;

 protected:
  // Nobody owns one by this type.
  ~TensorMemory() = default;
};

// The host's; lives as long as the process.
TensorMemory* HostMemory();

}  // namespace maas
