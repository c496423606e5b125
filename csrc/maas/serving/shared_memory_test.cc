#include "maas/serving/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "maas/base/shared_memory_testing.h"
#include "maas/wire/decoding.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const FieldPath kInput{nullptr, "inputs", 1};

TensorView In(std::string_view region, uint64_t offset, uint64_t size) {
  TensorView tensor;
  tensor.shared = std::make_unique<SharedMemoryView>();
  tensor.shared->region = region;
  tensor.shared->offset = offset;
  tensor.shared->size = size;
  return tensor;
}

std::vector<std::string> Names(const SharedMemory& shared) {
  std::vector<std::string> names;
  for (const auto& region : shared.List()) names.push_back(region->name());
  return names;
}

TEST(SharedMemory, ReadsWhatARequestNames) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("in", memory.key(), 1, 8).ok());
  TensorView tensor = In("in", 2, 3);
  const Status status = shared.Load(&kInput, &tensor);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(AsText(tensor.data), "345");
  EXPECT_EQ(tensor.data.data(), tensor.owned.data()) << "a client may overwrite its memory meanwhile";
  ASSERT_NE(tensor.shared->memory, nullptr);
}

TEST(SharedMemory, ListsByNameAndTakesEachNameOnce) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  EXPECT_TRUE(shared.Register("b", memory.key(), 0, 1).ok());
  EXPECT_TRUE(shared.Register("a", memory.key(), 2, 3).ok());
  const Status again = shared.Register("a", memory.key(), 0, 1);
  EXPECT_EQ(again.code(), Code::kAlreadyExists);
  EXPECT_EQ(again.reason(), "SHARED_MEMORY_EXISTS");
  EXPECT_THAT(Names(shared), ElementsAre("a", "b"));
  EXPECT_EQ(shared.List()[0]->size(), 3U) << "the first one stays";
}

TEST(SharedMemory, RefusesNamesThatAreNoneOrTooLong) {
  const TestMemory memory("x");
  SharedMemory shared;
  EXPECT_EQ(shared.Register("", memory.key(), 0, 1).message(), "name: expected 1 to 256 bytes, got 0");
  EXPECT_EQ(shared.Register(std::string(257, 'n'), memory.key(), 0, 1).message(),
            "name: expected 1 to 256 bytes, got 257");
  EXPECT_TRUE(shared.Register(std::string(256, 'n'), memory.key(), 0, 1).ok());
  EXPECT_FALSE(shared.Register("gone", "/maas_test_missing", 0, 1).ok());
  EXPECT_THAT(shared.List(), SizeIs(1));
}

TEST(SharedMemory, WhatIsUnregisteredIsNotFoundButServesWhoHasIt) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("a", memory.key(), 0, 4).ok());
  ASSERT_TRUE(shared.Register("b", memory.key(), 0, 4).ok());
  SharedMemoryView before;
  before.region = "a";
  before.size = 4;
  ASSERT_TRUE(shared.Find(&kInput, &before).ok());
  shared.Unregister("a");
  shared.Unregister("never was");
  EXPECT_THAT(Names(shared), ElementsAre("b"));
  TensorView late = In("a", 0, 1);
  EXPECT_EQ(shared.Load(&kInput, &late).message(),
            "inputs[1].parameters.shared_memory_region: expected the name of a registered region, got 'a'");
  EXPECT_TRUE(before.memory->Write(0, std::as_bytes(std::span("ok", 2))).ok());
  EXPECT_EQ(memory.Content().substr(0, 3), "ok2");
  shared.UnregisterAll();
  EXPECT_THAT(shared.List(), IsEmpty());
  EXPECT_TRUE(shared.Register("a", memory.key(), 0, 1).ok()) << "the name is free again";
}

TEST(SharedMemory, RefusesWhatTheRegionDoesNotReach) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("a", memory.key(), 0, 4).ok());
  TensorView beyond = In("a", 2, 3);
  EXPECT_EQ(shared.Load(&kInput, &beyond).message(),
            "inputs[1].parameters.shared_memory_byte_size: expected at most 4 bytes, the size of region 'a', "
            "got 3 from offset 2");
  SharedMemoryView output;
  output.region = "a";
  output.size = 5;
  EXPECT_FALSE(shared.Find(&kInput, &output).ok()) << "known before the run";
}

TEST(SharedMemory, TakesNoMemoryForARangeThatIsNotThere) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("a", memory.key(), 0, 4).ok());
  TensorView tensor = In("a", 0, SharedMemory::kMaxTensorBytes);
  EXPECT_FALSE(shared.Load(&kInput, &tensor).ok());
  EXPECT_EQ(tensor.owned.capacity(), 0U);
}

TEST(SharedMemory, ATensorHasALimitHoweverLargeTheRegion) {
  TestMemory memory("");
  memory.Resize(SharedMemory::kMaxTensorBytes + 1);  // Takes no pages until somebody writes.
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("a", memory.key(), 0, SharedMemory::kMaxTensorBytes + 1).ok());
  TensorView tensor = In("a", 0, SharedMemory::kMaxTensorBytes + 1);
  EXPECT_EQ(
      shared.Load(&kInput, &tensor).message(),
      "inputs[1].parameters.shared_memory_byte_size: expected at most 1073741824 bytes, got 1073741825");
}

TEST(SharedMemory, MemoryThatIsGoneIsSaidOfTheTensor) {
  TestMemory memory("0123456789");
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("a", memory.key(), 0, 10).ok());
  memory.Resize(4);
  TensorView tensor = In("a", 2, 4);
  EXPECT_EQ(
      shared.Load(&kInput, &tensor).message(),
      "inputs[1].parameters.shared_memory_region: expected region 'a' to hold 2 bytes more, got the end of "
      "its memory");
}

TEST(SharedMemory, HasALimitOfRegions) {
  const TestMemory memory("x");
  SharedMemory shared;
  size_t taken = 0;
  Status status;
  // The process's own limit of open files may come first.
  while (status.ok() && taken <= SharedMemory::kMaxRegions) {
    status = shared.Register("r" + std::to_string(taken), memory.key(), 0, 1);
    taken += status.ok() ? 1 : 0;
  }
  ASSERT_FALSE(status.ok());
  if (status.code() == Code::kResourceExhausted) {
    EXPECT_EQ(taken, SharedMemory::kMaxRegions);
    EXPECT_EQ(status.reason(), "TOO_MANY_REGIONS");
  }
}

TEST(SharedMemory, IsReadWhileItIsRegisteredAndUnregistered) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  std::atomic<int> loaded = 0;
  std::atomic<bool> wrong = false;
  const auto churn = [&](const std::string& name) {
    for (int i = 0; i < 200; ++i) {
      (void)shared.Register(name, memory.key(), 0, 10);
      TensorView tensor = In("a", 3, 2);
      if (shared.Load(&kInput, &tensor).ok()) {
        ++loaded;
        wrong = wrong || AsText(tensor.data) != "34";
      }
      shared.Unregister(name);
      (void)shared.List();
    }
  };
  std::thread other(churn, "a");
  std::thread third(churn, "b");
  churn("a");
  other.join();
  third.join();
  EXPECT_FALSE(wrong);
  EXPECT_GT(loaded, 0);
}

}  // namespace
}  // namespace maas
