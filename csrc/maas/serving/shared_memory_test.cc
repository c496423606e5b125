#include "maas/serving/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
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

SharedMemoryView At(std::string_view region, uint64_t offset, uint64_t size) {
  return {region, offset, size, nullptr};
}

std::vector<std::string> Names(const SharedMemory& shared) {
  std::vector<std::string> names;
  for (const auto& region : shared.List()) names.push_back(region->name());
  return names;
}

TEST(SharedMemory, FindsWhatARequestNames) {
  const TestMemory memory("0123456789");
  SharedMemory shared;
  ASSERT_TRUE(shared.Register("in", memory.key(), 1, 8).ok());
  SharedMemoryView view = At("in", 2, 3);
  const Status status = shared.Find(&kInput, &view);
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_NE(view.memory, nullptr);
  EXPECT_EQ(view.memory->name(), "in");
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
  SharedMemoryView before = At("a", 0, 4);
  ASSERT_TRUE(shared.Find(&kInput, &before).ok());
  shared.Unregister("a");
  shared.Unregister("never was");
  EXPECT_THAT(Names(shared), ElementsAre("b"));
  SharedMemoryView late = At("a", 0, 1);
  EXPECT_EQ(shared.Find(&kInput, &late).message(),
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
  SharedMemoryView beyond = At("a", 2, 3);
  EXPECT_EQ(shared.Find(&kInput, &beyond).message(),
            "inputs[1].parameters.shared_memory_byte_size: expected at most 4 bytes, the size of region 'a', "
            "got 3 from offset 2");
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
  std::atomic<int> found = 0;
  std::atomic<bool> wrong = false;
  const auto churn = [&](const std::string& name) {
    for (int i = 0; i < 200; ++i) {
      (void)shared.Register(name, memory.key(), 0, 10);
      SharedMemoryView view = At("a", 3, 2);
      if (shared.Find(&kInput, &view).ok()) {
        ++found;
        std::array<std::byte, 2> data{};
        wrong = wrong || !view.memory->Read(view.offset, data).ok() || AsText(data) != "34";
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
  EXPECT_GT(found, 0);
}

}  // namespace
}  // namespace maas
