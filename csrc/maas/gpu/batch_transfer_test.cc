#include "maas/gpu/batch_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/gpu/batch_transfer_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;

constexpr size_t kKiB = 1024;

// Rows of 4 KiB of floats.
ModelSpec LargeRows() { return EchoSpec({MakeInput("x", DataType::kFp32, {-1, 1024})}); }

// The rows from `begin` on of one request, which is quantized or not.
TestBatch LargeBatch(const ModelSpec& spec, int64_t request_rows, int64_t begin, int64_t rows,
                     bool quantized) {
  Chance chance(7);
  TestBatch batch;
  auto request = std::make_unique<TestRequest>();
  const auto elements = static_cast<size_t>(request_rows) * 1024;
  if (quantized) {
    request->Add("x", DataType::kInt8, {request_rows, 1024}, chance.Bytes(elements));
    request->Quantized({{0.5F}, {3}, false, 0});
  } else {
    request->Add("x", DataType::kFp32, {request_rows, 1024}, chance.Bytes(elements * 4));
  }
  auto entry = std::make_shared<Entry>();
  EXPECT_EQ(request->Bind(spec, &entry->bound), "");
  batch.slices.push_back({std::move(entry), begin, rows});
  batch.requests.push_back(std::move(request));
  batch.rows = rows;
  return batch;
}

TEST(BatchTransfer, LaysOutInputsAsTheHostDoesAndBringsOutputsBack) {
  int slices = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Chance chance(seed);
    TransferRig rig(SpecByChance(&chance));
    const auto transfer = rig.Transfer();
    for (int i = 0; i < 4; ++i) {
      const TestBatch batch = BatchByChance(rig.spec, &chance, chance.Of(1, 8));
      ASSERT_EQ(Text(rig.Serve(batch, transfer.get())), "ok");
      slices += static_cast<int>(batch.slices.size());
      const RunPlan& plan = *rig.PlanOf(batch);
      for (size_t x = 0; x < plan.inputs.size(); ++x) {
        const std::string lies(reinterpret_cast<const char*>(plan.inputs[x].data), plan.inputs[x].bytes);
        ASSERT_EQ(lies, batch.Packed(rig.spec, x, plan)) << "input " << x;
      }
    }
  }
  EXPECT_GT(slices, 1200);  // Of 1200 batches.
}

TEST(BatchTransfer, IsOneUploadAndOneDownloadOfABatch) {
  Chance chance(1);
  TransferRig rig(EchoSpec({MakeInput("a", DataType::kFp32, {-1, 3}), MakeInput("b", DataType::kUint8, {-1}),
                            MakeInput("c", DataType::kFp64, {2}, -1)}));
  const auto transfer = rig.Transfer();
  for (int i = 1; i <= 5; ++i) {
    ASSERT_EQ(Text(rig.Serve(BatchByChance(rig.spec, &chance, 8, 2), transfer.get())), "ok");
    EXPECT_EQ(rig.fake.Calls(FakeCall::kUpload), i);
    EXPECT_EQ(rig.fake.Calls(FakeCall::kMove), 2 * i);
    EXPECT_EQ(rig.fake.Calls(FakeCall::kDownload), i);
  }
}

TEST(BatchTransfer, ATensorOfNothingNeedsNoBytes) {
  Chance chance(2);
  TransferRig rig(EchoSpec({MakeInput("x", DataType::kFp32, {-1, 0, 4})}));
  const auto transfer = rig.Transfer();
  ASSERT_EQ(Text(rig.Serve(BatchByChance(rig.spec, &chance, 3), transfer.get())), "ok");
  EXPECT_EQ(rig.fake.Calls(FakeCall::kUpload), 0);
}

TEST(BatchTransfer, TellsHowLongTheRunTookAndNotHowLongTheCopies) {
  Chance chance(3);
  TransferRig rig(EchoSpec({MakeInput("x", DataType::kFp32, {-1, 4})}));
  const auto transfer = rig.Transfer();
  ASSERT_EQ(Text(rig.Launch(BatchByChance(rig.spec, &chance, 2), transfer.get())), "ok");
  std::vector<RunOutput> outputs;
  int64_t run_ns = 0;
  ASSERT_EQ(Text(transfer->Await(&outputs, &run_ns)), "ok");
  // Two operations of the seven, the table's floats of milliseconds apart: inputs laid out, and the model.
  EXPECT_NEAR(static_cast<double>(run_ns), 2 * FakeProgress::kOperationNs, 1);
}

TEST(BatchTransfer, LeavesOutputsOfUnknownShapeToTheRunner) {
  Chance chance(4);
  ModelSpec spec =
      EchoSpec({MakeInput("a", DataType::kFp32, {-1, 4}), MakeInput("b", DataType::kFp32, {-1, 4})});
  spec.outputs[0] = MakeOutput("y0", DataType::kFp32, {-1, -1});
  TransferRig rig(std::move(spec));
  const auto transfer = rig.Transfer();
  ASSERT_EQ(Text(rig.Launch(BatchByChance(rig.spec, &chance, 2), transfer.get())), "ok");
  const float own[] = {1, 2};
  std::vector<RunOutput> outputs(2);
  outputs[0] = {{2, 1}, reinterpret_cast<const std::byte*>(own), {}};
  int64_t run_ns = 0;
  ASSERT_EQ(Text(transfer->Await(&outputs, &run_ns)), "ok");
  EXPECT_EQ(outputs[0].data, reinterpret_cast<const std::byte*>(own));
  EXPECT_EQ(outputs[0].dims, (Dims{2, 1}));
  EXPECT_EQ(outputs[1].dims, (Dims{2, 4}));
}

TEST(BatchTransfer, AllocatesNothingOnceTheLargestBatchWasThere) {
  Chance chance(5);
  TransferRig rig(
      EchoSpec({MakeInput("a", DataType::kFp32, {-1, 16}), MakeInput("b", DataType::kFp16, {-1, 3})}));
  const auto transfer = rig.Transfer();
  // Of one row: memory is for the largest batch at once.
  ASSERT_EQ(Text(rig.Serve(BatchByChance(rig.spec, &chance, 1), transfer.get())), "ok");
  const int allocations = rig.Allocations();
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(Text(rig.Serve(BatchByChance(rig.spec, &chance, chance.Of(1, 8), 1), transfer.get())), "ok");
  }
  EXPECT_EQ(rig.Allocations(), allocations);
}

TEST(BatchTransfer, TakesNoMoreMemoryThanThePlanOfTheLargestBatch) {
  // 32 KiB each way at 8 rows; and segments, and what is left of 256 bytes behind each tensor.
  constexpr size_t kWays = 2 * 8 * 4 * kKiB;
  constexpr size_t kBesides = 8 * kKiB;
  TransferRig rig(LargeRows(), {.total_bytes = 2 * kWays + kBesides, .pinned_bytes = kWays + kBesides});
  const auto transfer = rig.Transfer();
  for (const int64_t rows : {1, 8, 3}) {
    ASSERT_EQ(Text(rig.Serve(LargeBatch(rig.spec, 64, 5, rows, false), transfer.get())), "ok");
  }
}

TEST(BatchTransfer, SendsUpWhatIsOnTheWireAndOfASliceItsRows) {
  // Where the largest batch does not fit: 8 rows of a 64 KiB request, quantized, and 32 KiB of outputs.
  TransferRig rig(LargeRows(), {.pinned_bytes = 42 * kKiB});
  const auto transfer = rig.Transfer();
  EXPECT_EQ(Text(rig.Serve(LargeBatch(rig.spec, 64, 5, 8, true), transfer.get())), "ok");
  EXPECT_THAT(Text(rig.Serve(LargeBatch(rig.spec, 64, 5, 8, false), transfer.get())),
              HasSubstr("DEVICE_OUT_OF_MEMORY: device 0 could not allocate"));
  EXPECT_EQ(Text(rig.Serve(LargeBatch(rig.spec, 64, 5, 8, true), transfer.get())), "ok");
}

TEST(BatchTransfer, GrowsWithShapesThatVaryAndHoldsNoMemoryTwice) {
  Chance chance(6);
  // Enough for 8 rows of 40'000 bytes both ways, but not besides for as many of 4000 one way.
  TransferRig rig(EchoSpec({MakeInput("x", DataType::kFp32, {-1, -1})}), {.pinned_bytes = 660'000});
  const auto transfer = rig.Transfer();
  const auto serve = [&](int64_t columns) {
    TestBatch batch;
    auto request = std::make_unique<TestRequest>();
    request->Add("x", DataType::kFp32, {1, columns}, chance.Bytes(static_cast<size_t>(columns) * 4));
    auto entry = std::make_shared<Entry>();
    EXPECT_EQ(request->Bind(rig.spec, &entry->bound), "");
    batch.slices.push_back({std::move(entry), 0, 1});
    batch.requests.push_back(std::move(request));
    batch.rows = 1;
    EXPECT_EQ(Text(rig.Serve(batch, transfer.get())), "ok");
    return rig.fake.Calls(FakeCall::kAllocatePinned);
  };
  EXPECT_EQ(serve(1000), 2);
  EXPECT_EQ(serve(0), 2);
  EXPECT_EQ(serve(999), 2);
  EXPECT_EQ(serve(8000), 2);  // As long as 8 of the shorter rows.
  EXPECT_EQ(serve(10'000), 4);
  EXPECT_EQ(serve(82'000), 7);  // There is not enough for the largest batch.
  EXPECT_EQ(serve(1), 7);
}

TEST(BatchTransfer, FreesAllItTook) {
  Chance chance(8);
  TransferRig rig(LargeRows());
  const FakeInUse before = rig.fake.InUse();
  const TestBatch batch = LargeBatch(rig.spec, 3, 0, 3, false);
  const RunPlan& plan = *rig.PlanOf(batch);
  const size_t tensors = rig.fake.InUse().memory;
  {
    const auto transfer = rig.Transfer();
    // With all of it under way.
    ASSERT_EQ(Text(transfer->Begin(plan, batch.slices)), "ok");
  }
  FakeInUse after = rig.fake.InUse();
  EXPECT_EQ(after.memory, tensors);
  after.memory = before.memory;
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace maas
