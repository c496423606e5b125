#include "maas/net/chunk.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

// Running out of memory is tested below; sanitizers would end the program there.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace maas {
namespace {

TEST(Chunk, IsEmptyAndHasNoMemoryAtFirst) {
  Chunk chunk;
  EXPECT_TRUE(chunk.empty());
  EXPECT_EQ(chunk.capacity(), 0U);
  EXPECT_TRUE(chunk.bytes().empty());
  EXPECT_TRUE(chunk.room().empty());
}

TEST(Chunk, KeepsWhatIsInItWhenItGrows) {
  Chunk chunk;
  ASSERT_TRUE(chunk.Reserve(4));
  std::memcpy(chunk.room().data(), "abc", 3);
  chunk.set_size(3);
  ASSERT_TRUE(chunk.Reserve(100'000));
  EXPECT_EQ(std::memcmp(chunk.bytes().data(), "abc", 3), 0);
  EXPECT_EQ(chunk.room().size(), 99'997U);
  ASSERT_TRUE(chunk.Reserve(10));
  EXPECT_EQ(chunk.capacity(), 100'000U);
}

TEST(Chunk, WithoutMemoryNothingChanges) {
  Chunk chunk;
  ASSERT_TRUE(chunk.Reserve(4));
  chunk.set_size(2);
  volatile size_t most = SIZE_MAX / 2;  // Unseen by the compiler, which knows that nobody has it.
  EXPECT_FALSE(chunk.Reserve(most));
  EXPECT_EQ(chunk.size(), 2U);
  EXPECT_EQ(chunk.capacity(), 4U);
}

TEST(Chunk, MovesItsBytes) {
  Chunk from;
  ASSERT_TRUE(from.Reserve(4));
  from.set_size(2);
  const std::byte* const data = from.data();
  Chunk to(std::move(from));
  EXPECT_EQ(to.data(), data);
  EXPECT_EQ(to.size(), 2U);
  EXPECT_EQ(from.capacity(), 0U);  // NOLINT(bugprone-use-after-move)
  from = std::move(to);
  EXPECT_EQ(from.data(), data);
  EXPECT_TRUE(to.empty());  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace maas
