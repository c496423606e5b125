#include "maas/exec/tensor_memory.h"

#include <cstdlib>

namespace maas {
namespace {

// No container is aligned, uninitialized, and empty rather than thrown when there is no memory.
class Host final : public TensorMemory {
 public:
  std::byte* Allocate(size_t bytes) override {
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory,cppcoreguidelines-no-malloc)
    return static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes));
  }
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory,cppcoreguidelines-no-malloc)
  void Free(std::byte* memory) override { std::free(memory); }
};

}  // namespace

TensorMemory* HostMemory() {
  static constinit Host host;
  return &host;
}

}  // namespace maas
