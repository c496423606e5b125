#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "maas/gpu/batch_transfer_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr FakeCall kCalls[] = {FakeCall::kAllocatePinned, FakeCall::kAllocate,    FakeCall::kRecord,
                               FakeCall::kWait,           FakeCall::kUpload,      FakeCall::kMove,
                               FakeCall::kDownload,       FakeCall::kSynchronize, FakeCall::kElapsed};

// Of fixed and of varying shapes, so that memory grows more than once.
ModelSpec Model() {
  return EchoSpec({MakeInput("x", DataType::kFp32, {-1, -1, 3}), MakeInput("w", DataType::kInt64, {5}, -1)});
}

// Two slots serve some batches, one of which meets the failure of a call; whether one did.
class FailureRun {
 public:
  FailureRun(FakeCall call, int nth, MaasDeviceCode code) : code_(code) {
    for (auto& transfer : transfers_) transfer = rig_.Transfer();
    for (int i = 0; i < 5; ++i) batches_.push_back(BatchByChance(rig_.spec, &chance_, chance_.Of(1, 8), 3));
    // Tensors are the plans' business.
    for (const TestBatch& batch : batches_) {
      EXPECT_NE(rig_.PlanOf(batch), nullptr);
    }
    if (code == MAAS_DEVICE_OK) {
      rig_.fake.LoseWhenRun(call, nth);
    } else {
      rig_.fake.FailCall(call, nth, code);
    }
  }

  bool Serve() {
    for (size_t i = 0; i < batches_.size(); ++i) {
      Fetched(i, rig_.Launch(batches_[i], transfers_[i % 2].get()));
      if (i > 0) Await(i - 1);
    }
    Await(batches_.size() - 1);
    if (failed_ == 0) return false;
    // Whatever failed, and whenever: all that come after go well, or hear that the device is lost.
    for (size_t i = 0; i < batches_.size(); ++i) {
      EXPECT_THAT(Text(rig_.Serve(batches_[i], transfers_[i % 2].get())),
                  StartsWith(Loses() ? "DEVICE_LOST: " : "ok"));
    }
    EXPECT_EQ(rig_.device->lost(), Loses());
    EXPECT_LE(failed_, Loses() ? 5 : 1);
    return true;
  }

 private:
  bool Loses() const { return code_ == MAAS_DEVICE_LOST || code_ == MAAS_DEVICE_OK; }
  void Fetched(size_t batch, const Status& status) {
    under_way_.resize(batch + 1);
    under_way_[batch] = status.ok();
    Note(status);
  }
  void Await(size_t batch) {
    if (!under_way_[batch]) return;
    Note(rig_.Await(batches_[batch], transfers_[batch % 2].get(), *rig_.PlanOf(batches_[batch])));
  }
  void Note(const Status& status) {
    if (status.ok()) return;
    ++failed_;
    const char* const reason = Loses()                          ? "DEVICE_LOST: "
                               : code_ == MAAS_DEVICE_NO_MEMORY ? "DEVICE_OUT_OF_MEMORY: "
                                                                : "DEVICE_FAILED: ";
    EXPECT_THAT(Text(status), StartsWith(reason));
    EXPECT_THAT(status.message(), HasSubstr("as planned"));
  }

  const MaasDeviceCode code_;
  Chance chance_{21};
  TransferRig rig_{Model()};
  std::unique_ptr<BatchTransfer> transfers_[2];
  std::vector<TestBatch> batches_;
  std::vector<bool> under_way_;
  int failed_ = 0;
};

// Calls of which any can be the one that fails.
int FailEachInTurn(FakeCall call, MaasDeviceCode code) {
  int nth = 1;
  for (; nth < 1000; ++nth) {
    SCOPED_TRACE(testing::Message() << "call " << static_cast<int>(call) << " for the time " << nth);
    FailureRun run(call, nth, code);
    if (!run.Serve()) break;
    if (testing::Test::HasFailure()) break;
  }
  return nth - 1;
}

TEST(BatchTransferFailure, OfAnyCallFailsItsBatchAndNoOther) {
  for (const FakeCall call : kCalls) EXPECT_GE(FailEachInTurn(call, MAAS_DEVICE_FAILED), 3);
}

TEST(BatchTransferFailure, ThatLosesTheDeviceIsToldByEverythingThatFollows) {
  for (const FakeCall call : kCalls) EXPECT_GE(FailEachInTurn(call, MAAS_DEVICE_LOST), 3);
}

TEST(BatchTransferFailure, OfWhatRunsLaterIsToldByWhoWaits) {
  for (const FakeCall call : {FakeCall::kUpload, FakeCall::kMove, FakeCall::kDownload}) {
    EXPECT_GE(FailEachInTurn(call, MAAS_DEVICE_OK), 5);
  }
}

TEST(BatchTransferFailure, WhatItLeavesIsOverBeforeTheNextBatchBegins) {
  Chance chance(23);
  TransferRig rig(Model());
  const auto transfer = rig.Transfer();
  const TestBatch batch = BatchByChance(rig.spec, &chance, 2);
  const RunPlan& plan = *rig.PlanOf(batch);
  const auto pending = [&](const DeviceStream& stream) { return rig.fake.Pending(stream.native()); };
  // Something goes up that no other stream waits for.
  rig.fake.FailCall(FakeCall::kRecord, 1, MAAS_DEVICE_FAILED);
  EXPECT_THAT(Text(transfer->Begin(plan, batch.slices)), StartsWith("DEVICE_FAILED: "));
  EXPECT_EQ(pending(rig.streams.up), 1U);
  ASSERT_EQ(Text(rig.Launch(batch, transfer.get())), "ok");
  EXPECT_EQ(pending(rig.streams.up), 2U);  // A copy and an event: those of this batch.
  EXPECT_EQ(pending(rig.streams.down), 3U);
  // Something comes down that nobody waits for.
  ASSERT_EQ(Text(transfer->Begin(plan, batch.slices)), "ok");
  EXPECT_EQ(pending(rig.streams.up), 2U);
  EXPECT_EQ(pending(rig.streams.down), 0U);
}

TEST(BatchTransferFailure, ToHaveMemoryInAdvanceIsNone) {
  Chance chance(22);
  TransferRig rig(Model());
  const auto transfer = rig.Transfer();
  const TestBatch batch = BatchByChance(rig.spec, &chance, 2);
  ASSERT_NE(rig.PlanOf(batch), nullptr);
  for (const FakeCall call : {FakeCall::kAllocatePinned, FakeCall::kAllocate}) {
    rig.fake.FailCall(call, 1, MAAS_DEVICE_NO_MEMORY);
    const int before = rig.fake.Calls(call);
    EXPECT_EQ(Text(rig.Serve(batch, rig.Transfer().get())), "ok");
    EXPECT_EQ(rig.fake.Calls(call), before + 3);
  }
}

TEST(BatchTransferFailure, ToMakeAnEventMakesNoTransfer) {
  TransferRig rig(Model());
  const FakeInUse before = rig.fake.InUse();
  for (int nth = 1; nth <= 5; ++nth) {
    rig.fake.FailCall(FakeCall::kMakeEvent, nth, MAAS_DEVICE_FAILED);
    std::unique_ptr<BatchTransfer> transfer;
    EXPECT_THAT(Text(BatchTransfer::Make(rig.device, &rig.spec, &rig.streams, &transfer)),
                StartsWith("DEVICE_FAILED: device 0 could not make an event"));
    EXPECT_EQ(transfer, nullptr);
    EXPECT_EQ(rig.fake.InUse(), before);
  }
}

}  // namespace
}  // namespace maas
