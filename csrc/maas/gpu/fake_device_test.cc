#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "maas/gpu/device.h"
#include "maas/gpu/fake_device_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;

std::string Text(const Status& status) {
  return status.ok() ? "ok" : status.reason() + ": " + status.message();
}

class FakeDevicesTest : public testing::Test {
 protected:
  static constexpr size_t kBytes = 64;

  FakeDevicesTest() {
    EXPECT_EQ(Text(DeviceTable::Make(fake_.api(), &table_)), "ok");
    EXPECT_EQ(Text(PinnedMemory::Allocate(device(), kBytes, &pinned_)), "ok");
    EXPECT_EQ(Text(DeviceMemory::Allocate(device(), kBytes, &memory_)), "ok");
    EXPECT_EQ(Text(DeviceStream::Make(device(), 0, &up_)), "ok");
    EXPECT_EQ(Text(DeviceStream::Make(device(), 0, &down_)), "ok");
    EXPECT_EQ(Text(DeviceEvent::Make(device(), false, &uploaded_)), "ok");
    EXPECT_EQ(Text(DeviceEvent::Make(device(), false, &done_)), "ok");
    std::memset(pinned_.data(), 1, kBytes);
  }
  GpuDevice* device(int32_t index = 0) { return table_->device(index); }

  void Upload() { EXPECT_EQ(Text(up_.Upload(memory_.data(), pinned_.data(), 1)), "ok"); }
  void Download() { EXPECT_EQ(Text(down_.Download(pinned_.data() + 1, memory_.data(), 1)), "ok"); }
  void Record(const DeviceStream& stream, const DeviceEvent& event) {
    EXPECT_EQ(Text(stream.Record(event)), "ok");
  }
  // What Download() brought.
  int Downloaded() {
    Record(down_, done_);
    EXPECT_EQ(Text(done_.Synchronize()), "ok");
    return std::to_integer<int>(pinned_.data()[1]);
  }
  // Until so many threads wait.
  void AwaitWaiting(int threads) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (fake_.Waiting() != threads && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    ASSERT_EQ(fake_.Waiting(), threads);
  }

  FakeDevices fake_{{{}, {.total_bytes = 4096, .used_bytes = 1024, .pinned_bytes = 512}}};
  std::unique_ptr<DeviceTable> table_;
  PinnedMemory pinned_;
  DeviceMemory memory_;
  DeviceStream up_;
  DeviceStream down_;
  DeviceEvent uploaded_;
  DeviceEvent done_;
};

TEST_F(FakeDevicesTest, AStreamThatDoesNotWaitForAnotherFindsGarbage) {
  Upload();
  Download();
  EXPECT_EQ(Downloaded(), FakeMemory::kGarbage);
}

TEST_F(FakeDevicesTest, AStreamThatWaitsForAnotherFindsItsBytes) {
  Upload();
  Record(up_, uploaded_);
  ASSERT_EQ(Text(down_.Wait(uploaded_)), "ok");
  Download();
  EXPECT_EQ(Downloaded(), 1);
}

TEST_F(FakeDevicesTest, AnEventThatIsRecordedTooEarlyEnforcesNothing) {
  Record(up_, uploaded_);
  Upload();
  ASSERT_EQ(Text(down_.Wait(uploaded_)), "ok");
  Download();
  EXPECT_EQ(Downloaded(), FakeMemory::kGarbage);
}

TEST_F(FakeDevicesTest, AWaitIsForWhatTheEventStoodForThen) {
  Upload();
  Record(up_, uploaded_);
  ASSERT_EQ(Text(down_.Wait(uploaded_)), "ok");
  ASSERT_EQ(Text(up_.Clear(memory_.data(), 1)), "ok");
  Record(up_, uploaded_);
  Download();
  EXPECT_EQ(Downloaded(), 1);
  EXPECT_EQ(fake_.Pending(up_.native()), 2U);
}

TEST_F(FakeDevicesTest, UploadsReadPinnedMemoryLate) {
  Upload();
  std::memset(pinned_.data(), 2, 1);
  Record(up_, uploaded_);
  ASSERT_EQ(Text(down_.Wait(uploaded_)), "ok");
  Download();
  EXPECT_EQ(Downloaded(), 2);
}

TEST_F(FakeDevicesTest, WhatOverwritesTooEarlyIsSeen) {
  Upload();
  Download();
  // Nothing keeps the next upload behind the download.
  Record(up_, uploaded_);
  ASSERT_EQ(Text(uploaded_.Synchronize()), "ok");
  std::memset(pinned_.data(), 2, 1);
  Upload();
  Record(up_, uploaded_);
  ASSERT_EQ(Text(uploaded_.Synchronize()), "ok");
  EXPECT_EQ(Downloaded(), 2);
}

TEST_F(FakeDevicesTest, StepsRunOneAtATimeUnlessTheyWaitForAnotherStream) {
  Upload();
  Record(up_, uploaded_);
  ASSERT_EQ(Text(down_.Wait(uploaded_)), "ok");
  Download();
  EXPECT_FALSE(fake_.Step(down_.native()));
  EXPECT_TRUE(fake_.Step(up_.native()));
  EXPECT_FALSE(fake_.Step(down_.native()));
  EXPECT_TRUE(fake_.Step(up_.native()));
  EXPECT_FALSE(fake_.Step(up_.native()));
  EXPECT_TRUE(fake_.Step(down_.native()));
  EXPECT_EQ(fake_.Pending(down_.native()), 1U);
  fake_.RunAll();
  EXPECT_EQ(fake_.Pending(down_.native()), 0U);
  EXPECT_EQ(pinned_.data()[1], std::byte{1});
}

TEST_F(FakeDevicesTest, WhatFreesWaitsForTheDevice) {
  Upload();
  Download();
  DeviceMemory other;
  ASSERT_EQ(Text(DeviceMemory::Allocate(device(), 8, &other)), "ok");
  other = {};
  EXPECT_EQ(fake_.Pending(up_.native()), 0U);
  EXPECT_EQ(fake_.Pending(down_.native()), 0U);
}

TEST_F(FakeDevicesTest, WhoWaitsForAPausedDeviceDoesSoUntilStepsBringIt) {
  fake_.Pause();
  Upload();
  Record(up_, uploaded_);
  Download();
  std::thread waiter([&] { EXPECT_EQ(Text(uploaded_.Synchronize()), "ok"); });
  AwaitWaiting(1);
  EXPECT_TRUE(fake_.Step(up_.native()));
  AwaitWaiting(1);
  EXPECT_TRUE(fake_.Step(up_.native()));
  waiter.join();
  EXPECT_EQ(fake_.Pending(down_.native()), 1U);
  fake_.Resume();
}

TEST_F(FakeDevicesTest, WhoWaitsForAPausedDeviceGoesOnWhenItDoes) {
  fake_.Pause();
  Upload();
  Record(up_, uploaded_);
  std::thread waiter([&] { EXPECT_EQ(Text(uploaded_.Synchronize()), "ok"); });
  AwaitWaiting(1);
  fake_.Resume();
  waiter.join();
  EXPECT_EQ(fake_.Pending(up_.native()), 0U);
}

TEST_F(FakeDevicesTest, WhoWaitsForADeviceThatIsLostHearsOfIt) {
  fake_.Pause();
  Upload();
  Record(up_, uploaded_);
  std::thread waiter([&] {
    EXPECT_EQ(Text(uploaded_.Synchronize()),
              "DEVICE_LOST: device 0 could not wait for an event: fell off the bus");
  });
  AwaitWaiting(1);
  fake_.Lose(0, "fell off the bus");
  waiter.join();
  EXPECT_FALSE(fake_.Step(up_.native()));
}

TEST_F(FakeDevicesTest, PlansCountTheCallsOfOneFunctionOfOneDevice) {
  fake_.FailCall(FakeCall::kUpload, 2, MAAS_DEVICE_FAILED);
  fake_.FailCall(FakeCall::kAllocate, 1, MAAS_DEVICE_NO_MEMORY, 1);
  DeviceMemory memory;
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(), 8, &memory)), "ok");
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(1), 8, &memory)),
            "DEVICE_OUT_OF_MEMORY: device 1 could not allocate 8 bytes: as planned");
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(1), 8, &memory)), "ok");
  Upload();
  Download();
  EXPECT_EQ(Text(up_.Upload(memory_.data(), pinned_.data(), 1)),
            "DEVICE_FAILED: device 0 could not upload: as planned");
  Upload();
  EXPECT_EQ(fake_.Pending(up_.native()), 2U);
  EXPECT_EQ(fake_.Calls(FakeCall::kUpload), 3);
  EXPECT_EQ(fake_.Calls(FakeCall::kAllocate, 1), 2);
}

TEST_F(FakeDevicesTest, WhatFreesDoesSoEvenWhereItFails) {
  fake_.FailCall(FakeCall::kRelease, 1, MAAS_DEVICE_FAILED);
  memory_ = {};
  EXPECT_EQ(fake_.InUse(), (FakeInUse{1, 0, 2, 2}));
}

TEST_F(FakeDevicesTest, EachDeviceHasItsOwnMemory) {
  MaasDeviceInfo info;
  ASSERT_EQ(Text(device(1)->Info(&info)), "ok");
  EXPECT_EQ(info.free_bytes, 3072U);
  DeviceMemory memory;
  PinnedMemory pinned;
  EXPECT_EQ(Text(DeviceMemory::Allocate(device(1), 3000, &memory)), "ok");
  EXPECT_EQ(Text(PinnedMemory::Allocate(device(1), 513, &pinned)),
            "DEVICE_OUT_OF_MEMORY: device 1 could not allocate 513 bytes: out of memory: 512 bytes are free");
  EXPECT_EQ(Text(PinnedMemory::Allocate(device(1), 512, &pinned)), "ok");
  ASSERT_EQ(Text(device(1)->Info(&info)), "ok");
  EXPECT_EQ(info.free_bytes, 72U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % FakeMemory::kAlignment, 0U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(pinned.data()) % FakeMemory::kAlignment, 0U);
}

TEST_F(FakeDevicesTest, MemoryOfTheWrongKindDeviceOrSizeIsRefused) {
  DeviceMemory other;
  ASSERT_EQ(Text(DeviceMemory::Allocate(device(1), kBytes, &other)), "ok");
  std::vector<std::byte> pageable(kBytes);
  std::byte* const memory = memory_.data();
  std::byte* const pinned = pinned_.data();
  EXPECT_THAT(Text(up_.Upload(pinned, pinned, 1)), HasSubstr("uploads to what is no memory of the device"));
  EXPECT_THAT(Text(up_.Upload(other.data(), pinned, 1)), HasSubstr("uploads to what is no memory"));
  EXPECT_THAT(Text(up_.Upload(memory, pageable.data(), 1)), HasSubstr("uploads from what is not pinned"));
  EXPECT_THAT(Text(up_.Upload(memory + 1, pinned, kBytes)), HasSubstr("uploads to what is no memory"));
  EXPECT_THAT(Text(up_.Upload(memory, pinned + 1, kBytes)), HasSubstr("uploads from what is not pinned"));
  EXPECT_THAT(Text(up_.Upload(memory, pinned, SIZE_MAX)), HasSubstr("uploads to what is no memory"));
  EXPECT_THAT(Text(up_.Download(memory, memory, 1)), HasSubstr("downloads to what is not pinned"));
  EXPECT_THAT(Text(up_.Download(pinned, pinned, 1)), HasSubstr("downloads what is no memory of the device"));
  EXPECT_THAT(Text(up_.Copy(memory, other.data(), 1)), HasSubstr("copies to or from what is no memory"));
  EXPECT_THAT(Text(up_.Clear(memory + kBytes, 1)), HasSubstr("clears what is no memory of the device"));
  EXPECT_THAT(Text(up_.Move(reinterpret_cast<MaasSegment*>(memory), 1, 1, nullptr, memory, memory)),
              HasSubstr("segments are no memory of the device"));
  EXPECT_EQ(fake_.Pending(up_.native()), 0U);
}

TEST_F(FakeDevicesTest, HandlesOfAnotherDeviceAreRefused) {
  const MaasDeviceApi& api = *fake_.api();
  MaasStreamHandle stream = nullptr;
  MaasEventHandle event = nullptr;
  ASSERT_EQ(api.make_stream(1, 0, &stream), MAAS_DEVICE_OK);
  ASSERT_EQ(api.make_event(1, 0, &event), MAAS_DEVICE_OK);
  auto* const no_stream = reinterpret_cast<MaasStreamHandle>(uintptr_t{99});
  auto* const no_event = reinterpret_cast<MaasEventHandle>(uintptr_t{99});
  uint64_t native = 0;
  float milliseconds = 0;
  EXPECT_EQ(api.clear(0, no_stream, memory_.data(), 1), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.native_stream(0, no_stream, &native), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.free_stream(1, no_stream), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.record(1, no_event, stream), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.record(1, event, no_stream), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.wait(1, no_stream, event), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.wait(1, stream, no_event), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.query(1, no_event), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.synchronize(1, no_event), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.elapsed(1, event, event, &milliseconds), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.free_event(2, event), MAAS_DEVICE_INVALID);
  EXPECT_STREQ(api.message(), "there is no device 2");
  EXPECT_EQ(api.release(0, pinned_.data()), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.free_pinned(1, pinned_.data()), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.free_event(1, event), MAAS_DEVICE_OK);
  EXPECT_EQ(api.free_event(1, event), MAAS_DEVICE_INVALID);
  EXPECT_EQ(api.free_stream(1, stream), MAAS_DEVICE_OK);
}

TEST_F(FakeDevicesTest, ThreadsDriveTheirOwnStreams) {
  constexpr size_t kThreads = 4;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      DeviceStream stream;
      DeviceEvent event;
      PinnedMemory pinned;
      ASSERT_EQ(Text(DeviceStream::Make(device(), 0, &stream)), "ok");
      ASSERT_EQ(Text(DeviceEvent::Make(device(), false, &event)), "ok");
      ASSERT_EQ(Text(PinnedMemory::Allocate(device(), 2, &pinned)), "ok");
      for (int round = 0; round < 50; ++round) {
        pinned.data()[0] = static_cast<std::byte>(round);
        ASSERT_EQ(Text(stream.Upload(memory_.data() + i, pinned.data(), 1)), "ok");
        ASSERT_EQ(Text(stream.Download(pinned.data() + 1, memory_.data() + i, 1)), "ok");
        ASSERT_EQ(Text(stream.Record(event)), "ok");
        ASSERT_EQ(Text(event.Synchronize()), "ok");
        ASSERT_EQ(pinned.data()[1], static_cast<std::byte>(round));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fake_.InUse(), (FakeInUse{1, 1, 2, 2}));
}

}  // namespace
}  // namespace maas
