#include "maas/exec/staging.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "maas/exec/tensor_memory_testing.h"

// Sanitizers end the process where malloc would say no, unless told otherwise.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace maas {
namespace {

TEST(StagingBuffer, HasNoMemoryAtFirst) {
  const StagingBuffer buffer;
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(buffer.capacity(), 0u);
}

TEST(StagingBuffer, GrowsAlignedAndUsable) {
  StagingBuffer buffer;
  for (size_t bytes : {size_t{1}, size_t{64}, size_t{65}, size_t{100'000}}) {
    EXPECT_TRUE(buffer.Grow(bytes) || bytes <= 64) << bytes;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % StagingBuffer::kAlignment, 0u);
    EXPECT_GE(buffer.capacity(), bytes);
    std::memset(buffer.data(), 0x5A, buffer.capacity());
  }
}

TEST(StagingBuffer, StaysWhereItIsWhileItIsLargeEnough) {
  StagingBuffer buffer;
  EXPECT_TRUE(buffer.Grow(1000));
  const std::byte* at = buffer.data();
  EXPECT_FALSE(buffer.Grow(1000));
  EXPECT_FALSE(buffer.Grow(1));
  EXPECT_EQ(buffer.data(), at);
}

TEST(StagingBuffer, HasAnAddressForNothing) {
  StagingBuffer buffer;
  EXPECT_TRUE(buffer.Grow(0));
  EXPECT_NE(buffer.data(), nullptr);
}

TEST(StagingBuffer, HasNoMemoryForTheImpossibleAndRecovers) {
  StagingBuffer buffer;
  buffer.Grow(10);
  for (size_t back : {size_t{0}, size_t{1}, size_t{62}, size_t{63}, size_t{64}}) {
    EXPECT_TRUE(buffer.Grow(std::numeric_limits<size_t>::max() - back)) << "the old memory is gone";
    EXPECT_EQ(buffer.data(), nullptr) << back;
    EXPECT_EQ(buffer.capacity(), 0u);
  }
  EXPECT_TRUE(buffer.Grow(10));
  EXPECT_NE(buffer.data(), nullptr);
}

TEST(StagingBuffer, TakesItsMemoryWhereItIsToldToAndGivesItBackThere) {
  CountingMemory memory;
  {
    StagingBuffer buffer(&memory);
    EXPECT_EQ(memory.held(), 0u);
    EXPECT_TRUE(buffer.Grow(100));
    EXPECT_TRUE(buffer.Grow(1000));
    EXPECT_EQ(memory.held(), 1u) << "what it grew out of is back";
    EXPECT_EQ(memory.largest(), 1024u);
    StagingBuffer moved = std::move(buffer);
    EXPECT_NE(moved.data(), nullptr);
    EXPECT_EQ(memory.held(), 1u);
  }
  EXPECT_EQ(memory.held(), 0u);
}

TEST(StagingBuffer, GoesWithoutWhereThereIsNoMemory) {
  CountingMemory memory;
  memory.LimitTo(512);
  StagingBuffer buffer(&memory);
  EXPECT_TRUE(buffer.Grow(513));
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_TRUE(buffer.Grow(512));
  EXPECT_NE(buffer.data(), nullptr);
}

}  // namespace
}  // namespace maas
