#include "maas/exec/tensor_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>

// Sanitizers end the process where malloc would say no, unless told otherwise.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace maas {
namespace {

TEST(HostMemory, IsOneAndGivesAlignedBytesToWriteOn) {
  TensorMemory* const memory = HostMemory();
  EXPECT_EQ(memory, HostMemory());
  for (size_t bytes : {size_t{1}, size_t{3}, size_t{4096}}) {
    std::byte* const got = memory->Allocate(bytes * TensorMemory::kAlignment);
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(got) % TensorMemory::kAlignment, 0u);
    std::memset(got, 0x5A, bytes * TensorMemory::kAlignment);
    memory->Free(got);
  }
}

TEST(HostMemory, SaysNoToTheImpossible) {
  constexpr size_t kMost = std::numeric_limits<size_t>::max() / TensorMemory::kAlignment;
  EXPECT_EQ(HostMemory()->Allocate(kMost * TensorMemory::kAlignment), nullptr);
}

}  // namespace
}  // namespace maas
