#include "maas/gpu/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "maas/gpu/fake_device_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;

std::string Text(const Status& status) {
  if (status.ok()) return "ok";
  return std::to_string(static_cast<int>(status.code())) + ' ' + status.reason() + ": " + status.message();
}

class GpuDeviceTest : public testing::Test {
 protected:
  GpuDeviceTest() { EXPECT_EQ(Text(DeviceTable::Make(fake_.api(), &table_)), "ok"); }

  GpuDevice* device(int32_t index = 0) { return table_->device(index); }
  template <typename Memory>
  Memory Allocated(size_t bytes, int32_t index = 0) {
    Memory memory;
    EXPECT_EQ(Text(Memory::Allocate(device(index), bytes, &memory)), "ok");
    return memory;
  }
  DeviceStream MadeStream(int32_t index = 0) {
    DeviceStream stream;
    EXPECT_EQ(Text(DeviceStream::Make(device(index), 0, &stream)), "ok");
    return stream;
  }
  DeviceEvent MadeEvent(bool timed = false, int32_t index = 0) {
    DeviceEvent event;
    EXPECT_EQ(Text(DeviceEvent::Make(device(index), timed, &event)), "ok");
    return event;
  }

  FakeDevices fake_{{{.total_bytes = 1 << 20}, {.total_bytes = 1 << 24, .used_bytes = 1 << 23}}};
  std::unique_ptr<DeviceTable> table_;
};

TEST(DeviceTable, OfAnotherVersionSizeOrWithoutAFunctionIsRefused) {
  const FakeDevices fake;
  std::unique_ptr<DeviceTable> table;
  MaasDeviceApi api = *fake.api();
  api.version = MAAS_DEVICE_API_VERSION + 1;
  EXPECT_THAT(Text(DeviceTable::Make(&api, &table)), HasSubstr("got version 2 in"));
  api = *fake.api();
  api.size = 8;
  EXPECT_THAT(Text(DeviceTable::Make(&api, &table)),
              HasSubstr("13 DEVICE_FAILED: expected devices' functions"));
  api = *fake.api();
  api.move = nullptr;
  EXPECT_EQ(Text(DeviceTable::Make(&api, &table)),
            "13 DEVICE_FAILED: expected all of the devices' functions, got a null");
  api = *fake.api();
  api.count = nullptr;
  EXPECT_FALSE(DeviceTable::Make(&api, &table).ok());
  EXPECT_EQ(table, nullptr);
}

TEST(DeviceTable, HasNoDevicesWithoutADriverAndFailsWhereTheyCannotBeCounted) {
  FakeDevices fake(std::vector<FakeDeviceSpec>{});
  std::unique_ptr<DeviceTable> table;
  ASSERT_EQ(Text(DeviceTable::Make(fake.api(), &table)), "ok");
  EXPECT_EQ(table->count(), 0);
  fake.FailCount(MAAS_DEVICE_FAILED);
  EXPECT_EQ(Text(DeviceTable::Make(fake.api(), &table)),
            "13 DEVICE_FAILED: devices could not be counted: as planned");
}

TEST_F(GpuDeviceTest, SaysWhatItIs) {
  ASSERT_EQ(table_->count(), 2);
  EXPECT_EQ(device(1)->index(), 1);
  MaasDeviceInfo info;
  ASSERT_EQ(Text(device(1)->Info(&info)), "ok");
  EXPECT_STREQ(info.name, "Fake 1");
  EXPECT_EQ(info.total_bytes, 1U << 24);
  EXPECT_EQ(info.free_bytes, 1U << 23);
}

TEST_F(GpuDeviceTest, BytesGoUpAcrossAndDown) {
  const auto pinned = Allocated<PinnedMemory>(64);
  const auto a = Allocated<DeviceMemory>(64);
  const auto b = Allocated<DeviceMemory>(64);
  const DeviceStream stream = MadeStream();
  const DeviceEvent done = MadeEvent();
  std::memcpy(pinned.data(), "0123456789", 10);
  ASSERT_EQ(Text(stream.Upload(a.data(), pinned.data(), 10)), "ok");
  ASSERT_EQ(Text(stream.Copy(b.data() + 8, a.data() + 2, 8)), "ok");
  ASSERT_EQ(Text(stream.Clear(b.data() + 10, 2)), "ok");
  ASSERT_EQ(Text(stream.Download(pinned.data() + 32, b.data() + 8, 8)), "ok");
  ASSERT_EQ(Text(stream.Record(done)), "ok");
  ASSERT_EQ(Text(done.Synchronize()), "ok");
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(pinned.data()) + 32, 8), std::string_view("23\0\0"
                                                                                                     "6789",
                                                                                                     8));
}

TEST_F(GpuDeviceTest, NothingIsMovedByNoCall) {
  const DeviceStream stream = MadeStream();
  EXPECT_EQ(Text(stream.Upload(nullptr, nullptr, 0)), "ok");
  EXPECT_EQ(Text(stream.Download(nullptr, nullptr, 0)), "ok");
  EXPECT_EQ(Text(stream.Copy(nullptr, nullptr, 0)), "ok");
  EXPECT_EQ(Text(stream.Clear(nullptr, 0)), "ok");
  EXPECT_EQ(Text(stream.Move(nullptr, 0, 0, nullptr, nullptr, nullptr)), "ok");
  EXPECT_EQ(fake_.Pending(stream.native()), 0U);
}

TEST_F(GpuDeviceTest, MemoryOfNoBytesHasAnAddress) {
  const auto memory = Allocated<DeviceMemory>(0);
  EXPECT_NE(memory.data(), nullptr);
  EXPECT_EQ(memory.bytes(), 0U);
  EXPECT_EQ(DeviceMemory().data(), nullptr);
}

TEST_F(GpuDeviceTest, WithoutMemoryForItSaysSoAndKeepsWhatThereWas) {
  auto memory = Allocated<DeviceMemory>(1 << 19);
  const std::byte* const before = memory.data();
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(), (1 << 19) + 1, &memory)),
            "8 DEVICE_OUT_OF_MEMORY: device 0 could not allocate 524289 bytes: out of memory: 524288 bytes "
            "are free");
  EXPECT_EQ(memory.data(), before);
  EXPECT_EQ(memory.bytes(), 1U << 19);
  EXPECT_FALSE(device()->lost());
  // Fewer may still be had.
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(), 1 << 19, &memory)), "ok");
}

TEST_F(GpuDeviceTest, OtherFailuresPass) {
  const auto memory = Allocated<DeviceMemory>(8);
  const DeviceStream stream = MadeStream();
  fake_.FailCall(FakeCall::kClear, 2, MAAS_DEVICE_FAILED);
  EXPECT_EQ(Text(stream.Clear(memory.data(), 8)), "ok");
  EXPECT_EQ(Text(stream.Clear(memory.data(), 8)),
            "13 DEVICE_FAILED: device 0 could not clear memory: as planned");
  EXPECT_EQ(Text(stream.Clear(memory.data(), 8)), "ok");
  EXPECT_EQ(Text(stream.Clear(memory.data(), 9)),
            "13 DEVICE_FAILED: device 0 could not clear memory: it clears what is no memory of the device");
  EXPECT_FALSE(device()->lost());
  EXPECT_TRUE(device()->LostStatus().ok());
}

TEST_F(GpuDeviceTest, OnceLostEverythingFailsAsTheFirstDidAndNothingIsAsked) {
  const auto pinned = Allocated<PinnedMemory>(8);
  auto memory = Allocated<DeviceMemory>(8);
  DeviceStream stream = MadeStream();
  DeviceEvent event = MadeEvent(true);
  fake_.FailCall(FakeCall::kRecord, 1, MAAS_DEVICE_LOST);
  const std::string first = "14 DEVICE_LOST: device 0 could not record an event: as planned";
  EXPECT_EQ(Text(stream.Record(event)), first);
  EXPECT_TRUE(device()->lost());
  EXPECT_EQ(Text(device()->LostStatus()), first);

  MaasDeviceInfo info;
  bool reached = false;
  int64_t ns = 0;
  EXPECT_EQ(Text(device()->Info(&info)), first);
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(), 8, &memory)), first);
  EXPECT_EQ(Text(DeviceStream::Make(device(), 0, &stream)), first);
  EXPECT_EQ(Text(DeviceEvent::Make(device(), false, &event)), first);
  EXPECT_EQ(Text(stream.Upload(memory.data(), pinned.data(), 8)), first);
  EXPECT_EQ(Text(stream.Download(pinned.data(), memory.data(), 8)), first);
  EXPECT_EQ(Text(stream.Move(nullptr, 1, 1, nullptr, nullptr, nullptr)), first);
  EXPECT_EQ(Text(stream.Wait(event)), first);
  EXPECT_EQ(Text(event.Query(&reached)), first);
  EXPECT_EQ(Text(event.Synchronize()), first);
  EXPECT_EQ(Text(DeviceEvent::Elapsed(event, event, &ns)), first);
  EXPECT_EQ(fake_.Calls(FakeCall::kInfo) + fake_.Calls(FakeCall::kUpload) + fake_.Calls(FakeCall::kDownload) +
                fake_.Calls(FakeCall::kMove) + fake_.Calls(FakeCall::kWait) + fake_.Calls(FakeCall::kQuery) +
                fake_.Calls(FakeCall::kSynchronize) + fake_.Calls(FakeCall::kElapsed),
            0);
  EXPECT_EQ(fake_.Calls(FakeCall::kAllocate), 1);

  EXPECT_FALSE(device(1)->lost());
  EXPECT_EQ(Text(device(1)->Info(&info)), "ok");
}

TEST_F(GpuDeviceTest, WhatWasBegunFailsWhereItIsWaitedFor) {
  const auto memory = Allocated<DeviceMemory>(8);
  const DeviceStream stream = MadeStream();
  const DeviceEvent event = MadeEvent();
  fake_.LoseWhenRun(FakeCall::kClear, 1);
  EXPECT_EQ(Text(stream.Clear(memory.data(), 8)), "ok");
  EXPECT_EQ(Text(stream.Record(event)), "ok");
  EXPECT_FALSE(device()->lost());
  EXPECT_EQ(Text(event.Synchronize()), "14 DEVICE_LOST: device 0 could not wait for an event: as planned");
  EXPECT_TRUE(device()->lost());
}

TEST_F(GpuDeviceTest, ALossIsNoticedWhereItShowsInWhatFrees) {
  auto memory = Allocated<DeviceMemory>(8);
  fake_.Lose(0, "fell off the bus");
  EXPECT_FALSE(device()->lost());
  memory = {};
  EXPECT_EQ(Text(device()->LostStatus()), "14 DEVICE_LOST: device 0 could not free: fell off the bus");
}

TEST_F(GpuDeviceTest, CodesThatNobodyKnowsAndMessagesThatAreMissingAreFailures) {
  MaasDeviceApi api = *fake_.api();
  api.query = [](int32_t, MaasEventHandle) { return 77; };
  api.message = []() -> const char* { return nullptr; };
  ASSERT_EQ(Text(DeviceTable::Make(&api, &table_)), "ok");
  bool reached = true;
  EXPECT_EQ(Text(MadeEvent().Query(&reached)),
            "13 DEVICE_FAILED: device 0 could not query an event: no message");
  EXPECT_FALSE(reached);
}

TEST_F(GpuDeviceTest, WhatIsOwnedIsFreedOnce) {
  {
    auto pinned = Allocated<PinnedMemory>(8);
    auto memory = Allocated<DeviceMemory>(8);
    auto stream = MadeStream();
    auto event = MadeEvent();
    EXPECT_EQ(fake_.InUse(), (FakeInUse{1, 1, 1, 1}));
    DeviceMemory moved = std::move(memory);
    EXPECT_EQ(memory.data(), nullptr);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(memory.bytes(), 0U);
    EXPECT_EQ(moved.bytes(), 8U);
    moved = Allocated<DeviceMemory>(16, 1);
    EXPECT_EQ(fake_.InUse(), (FakeInUse{1, 0, 1, 1}));
    EXPECT_EQ(fake_.InUse(1), (FakeInUse{0, 1, 0, 0}));
    stream = MadeStream();
    event = MadeEvent();
    EXPECT_EQ(fake_.InUse(), (FakeInUse{1, 0, 1, 1}));
  }
  EXPECT_EQ(fake_.InUse(), FakeInUse());
  EXPECT_EQ(fake_.InUse(1), FakeInUse());
  EXPECT_EQ(fake_.Calls(FakeCall::kFreeStream), 2);
  EXPECT_EQ(fake_.Calls(FakeCall::kFreeEvent), 2);
  EXPECT_EQ(fake_.Calls(FakeCall::kRelease), 1);
}

TEST_F(GpuDeviceTest, WhatALostDeviceHeldIsFreedToo) {
  {
    const auto pinned = Allocated<PinnedMemory>(8);
    const auto memory = Allocated<DeviceMemory>(8);
    const auto stream = MadeStream();
    const auto event = MadeEvent();
    ASSERT_EQ(Text(stream.Upload(memory.data(), pinned.data(), 8)), "ok");
    fake_.Lose(0, "fell off the bus");
    EXPECT_FALSE(event.Synchronize().ok());
  }
  EXPECT_EQ(fake_.InUse(), FakeInUse());
}

TEST_F(GpuDeviceTest, AStreamWithoutANameIsFreedAgain) {
  fake_.FailCall(FakeCall::kNativeStream, 1, MAAS_DEVICE_FAILED);
  DeviceStream stream;
  EXPECT_EQ(Text(DeviceStream::Make(device(), 0, &stream)),
            "13 DEVICE_FAILED: device 0 could not name a stream: as planned");
  EXPECT_EQ(fake_.InUse(), FakeInUse());
  EXPECT_NE(MadeStream().native(), 0U);
}

TEST_F(GpuDeviceTest, EventsTellWhetherAndHowLongAfterAnotherTheyWereReached) {
  const auto memory = Allocated<DeviceMemory>(8);
  const DeviceStream stream = MadeStream();
  const DeviceEvent begin = MadeEvent(true);
  const DeviceEvent end = MadeEvent(true);
  bool reached = false;
  EXPECT_EQ(Text(end.Query(&reached)), "ok");
  EXPECT_TRUE(reached);
  EXPECT_EQ(Text(end.Synchronize()), "ok");

  ASSERT_EQ(Text(stream.Record(begin)), "ok");
  ASSERT_EQ(Text(stream.Clear(memory.data(), 8)), "ok");
  ASSERT_EQ(Text(stream.Clear(memory.data(), 8)), "ok");
  ASSERT_EQ(Text(stream.Record(end)), "ok");
  EXPECT_EQ(Text(end.Query(&reached)), "ok");
  EXPECT_FALSE(reached);
  int64_t ns = 0;
  EXPECT_EQ(Text(DeviceEvent::Elapsed(begin, end, &ns)),
            "13 DEVICE_FAILED: device 0 could not tell the time between events: not ready");
  ASSERT_EQ(Text(end.Synchronize()), "ok");
  EXPECT_EQ(Text(end.Query(&reached)), "ok");
  EXPECT_TRUE(reached);
  EXPECT_EQ(Text(DeviceEvent::Elapsed(begin, end, &ns)), "ok");
  EXPECT_EQ(ns, 2 * FakeProgress::kOperationNs);
  EXPECT_FALSE(DeviceEvent::Elapsed(begin, MadeEvent(false), &ns).ok());
}

TEST_F(GpuDeviceTest, ThreadsThatLoseItTogetherHearTheSameReason) {
  constexpr int kThreads = 4;
  std::vector<std::string> heard(kThreads);
  std::vector<DeviceEvent> events(kThreads);
  for (DeviceEvent& event : events) event = MadeEvent();
  fake_.Lose(0, "fell off the bus");
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const auto at = static_cast<size_t>(i);
      bool reached = false;
      heard[at] = Text(i % 2 == 0 ? events[at].Synchronize() : events[at].Query(&reached));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& each : heard) EXPECT_EQ(each, Text(device()->LostStatus()));
}

}  // namespace
}  // namespace maas
