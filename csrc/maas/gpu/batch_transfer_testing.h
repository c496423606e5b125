// Models, requests and batches by chance, and a device on which such a model copies its inputs to its
// outputs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "maas/exec/batch_pack.h"
#include "maas/exec/run_plans.h"
#include "maas/gpu/batch_transfer.h"
#include "maas/gpu/device.h"
#include "maas/gpu/device_tensors.h"
#include "maas/gpu/fake_device_testing.h"
#include "maas/model/bind_testing.h"

namespace maas {

inline std::string Text(const Status& status) {
  return status.ok() ? "ok" : status.reason() + ": " + status.message();
}

class Chance {
 public:
  explicit Chance(uint32_t seed) : random_(seed) {}

  // One of `low` to `high`.
  int64_t Of(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  bool OneIn(int64_t times) { return Of(1, times) == 1; }
  std::string Bytes(size_t count) {
    std::string bytes(count, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

 private:
  std::mt19937 random_;
};

// One output for each input, of its shape and datatype.
inline ModelSpec EchoSpec(std::vector<InputSpec> inputs) {
  ModelSpec spec = MakeSpec(std::move(inputs), {});
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const InputSpec& input = spec.inputs[i];
    OutputSpec output = MakeOutput("y" + std::to_string(i), input.datatype, input.dims);
    output.batch_axis = input.batch_axis;
    for (size_t axis = 0; axis < input.dims.size(); ++axis) {
      output.sources[axis] = {static_cast<int>(i), static_cast<int>(axis)};
    }
    spec.outputs.push_back(std::move(output));
  }
  return spec;
}

// With inputs of all kinds: batched along any axis, padded, filled by the server, shared by all rows.
inline ModelSpec SpecByChance(Chance* chance) {
  const auto type = [chance] {
    return chance->OneIn(2) ? static_cast<DataType>(chance->Of(10, 12))
                            : static_cast<DataType>(chance->Of(1, 13));
  };
  std::vector<InputSpec> inputs;
  const int64_t count = chance->Of(1, 3);
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = "x" + std::to_string(i);
    const auto batch_axis = static_cast<int>(chance->Of(chance->OneIn(4) ? -1 : 0, 2));
    std::vector<int64_t> dims = {chance->Of(1, 3), chance->OneIn(3) ? -1 : chance->Of(1, 5),
                                 chance->Of(1, 4)};
    if (batch_axis >= 0) dims[static_cast<size_t>(batch_axis)] = -1;
    inputs.push_back(MakeInput(name, type(), std::move(dims), batch_axis));
  }
  const bool padded = chance->OneIn(2);
  if (padded) {
    InputSpec ids = MakePadded("ids");
    ids.datatype = type();
    ids.dims.push_back(chance->Of(1, 3));
    const std::string pad = chance->Bytes(8);
    std::copy_n(reinterpret_cast<const std::byte*>(pad.data()), 8, ids.pad_value.begin());
    inputs.push_back(std::move(ids));
    InputSpec mask = MakePadded("mask", AutoFill::kMask);
    mask.datatype = type();
    inputs.push_back(std::move(mask));
    InputSpec lengths = MakeInput("lengths", DataType::kInt32, {-1});
    lengths.pad_group = 0;
    lengths.auto_fill = AutoFill::kLength;
    inputs.push_back(std::move(lengths));
  }
  ModelSpec spec = EchoSpec(std::move(inputs));
  if (padded) spec.pad_groups = {{{3, 8}}};
  // The runner's own.
  if (chance->OneIn(3)) spec.outputs.back().sources.assign(spec.outputs.back().dims.size(), DimSource());
  return spec;
}

// Its requests, and slices of them.
struct TestBatch {
  std::vector<std::unique_ptr<TestRequest>> requests;
  std::vector<Slice> slices;
  int64_t rows = 0;

  const BoundRequest& any() const { return EntryOf(slices[0]).bound; }
  std::string Packed(const ModelSpec& spec, size_t input, const RunPlan& plan) const {
    std::string packed(plan.inputs[input].bytes, '\xEE');
    PackInput(spec, input, slices, plan.inputs[input].dims, reinterpret_cast<std::byte*>(packed.data()));
    return packed;
  }
};

inline void AddTensorByChance(const InputSpec& input, const Dims& shape, Chance* chance,
                              TestRequest* request) {
  const auto elements = static_cast<size_t>(ElementCount(shape));
  if (!IsFloating(input.datatype) || elements == 0 || chance->OneIn(3)) {
    request->Add(input.name, input.datatype, shape, chance->Bytes(elements * ElementSize(input.datatype)));
    return;
  }
  const bool is_signed = chance->OneIn(2);
  Quantization quantization;
  quantization.has_axis = chance->OneIn(2);
  quantization.axis = static_cast<int32_t>(chance->Of(0, shape.rank() - 1));
  const int64_t scales = quantization.has_axis ? shape[quantization.axis] : 1;
  for (int64_t i = 0; i < scales; ++i) {
    quantization.scales.push_back(static_cast<float>(chance->Of(1, 1000)) / 300.0F);
    quantization.zero_points.push_back(
        static_cast<int32_t>(is_signed ? chance->Of(-128, 127) : chance->Of(0, 255)));
  }
  request->Add(input.name, is_signed ? DataType::kInt8 : DataType::kUint8, shape, chance->Bytes(elements));
  request->Quantized(std::move(quantization));
}

// Of whole requests and slices of larger ones, `rows` rows in all; a request has at most `largest`.
inline TestBatch BatchByChance(const ModelSpec& spec, Chance* chance, int64_t rows, int64_t largest = 12) {
  TestBatch batch;
  // What all requests of a batch have in common.
  const int64_t varying = chance->Of(0, 4);
  const bool long_rows = chance->OneIn(2);
  while (batch.rows < rows) {
    const int64_t own_rows = chance->Of(1, largest);
    const int64_t length = long_rows ? chance->Of(4, 8) : chance->Of(0, 3);
    auto request = std::make_unique<TestRequest>();
    for (const InputSpec& input : spec.inputs) {
      if (input.auto_fill != AutoFill::kNone && !chance->OneIn(4)) continue;
      Dims shape(input.dims);
      for (int axis = 0; axis < shape.rank(); ++axis) {
        if (shape[axis] < 0) shape[axis] = varying;
      }
      if (input.batch_axis >= 0) shape[input.batch_axis] = own_rows;
      if (input.pad_axis >= 0) shape[input.pad_axis] = length;
      AddTensorByChance(input, shape, chance, request.get());
    }
    auto entry = std::make_shared<Entry>();
    EXPECT_EQ(request->Bind(spec, &entry->bound), "");
    const int64_t begin = chance->OneIn(2) ? 0 : chance->Of(0, entry->bound.rows - 1);
    const int64_t taken = std::min(entry->bound.rows - begin, rows - batch.rows);
    batch.slices.push_back({std::move(entry), begin, taken});
    batch.requests.push_back(std::move(request));
    batch.rows += taken;
  }
  return batch;
}

// A device and the streams and plans of one instance on it.
class TransferRig {
 public:
  explicit TransferRig(ModelSpec model, const FakeDeviceSpec& device_spec = {})
      : spec(std::move(model)), fake({device_spec}) {
    EXPECT_EQ(Text(DeviceTable::Make(fake.api(), &table_)), "ok");
    device = table_->device(0);
    for (DeviceStream* stream : {&streams.up, &streams.compute, &streams.down}) {
      EXPECT_EQ(Text(DeviceStream::Make(device, 0, stream)), "ok");
    }
    tensors_ = std::make_unique<DeviceTensors>(device);
    plans_ = std::make_unique<RunPlans>(&spec, tensors_.get());
  }

  std::unique_ptr<BatchTransfer> Transfer() {
    std::unique_ptr<BatchTransfer> transfer;
    EXPECT_EQ(Text(BatchTransfer::Make(device, &spec, &streams, &transfer)), "ok");
    return transfer;
  }
  // Null: its tensors are larger than can be had.
  const RunPlan* PlanOf(const TestBatch& batch) { return plans_->For(batch.any(), batch.rows); }
  // Begins a run of the model on what the plan's inputs are then.
  Status Run(const RunPlan& plan) {
    for (size_t i = 0; i < plan.outputs.size(); ++i) {
      if (plan.outputs[i].data == nullptr) continue;
      MAAS_RETURN_IF_ERROR(
          streams.compute.Copy(plan.outputs[i].data, plan.inputs[i].data, plan.outputs[i].bytes));
    }
    return {};
  }
  Status Launch(const TestBatch& batch, BatchTransfer* transfer) {
    const RunPlan* const plan = PlanOf(batch);
    if (plan == nullptr) return Status(Code::kResourceExhausted, "NO_PLAN", "there is no memory for tensors");
    MAAS_RETURN_IF_ERROR(transfer->Begin(*plan, batch.slices));
    MAAS_RETURN_IF_ERROR(Run(*plan));
    return transfer->Fetch();
  }
  // Also checks what came down.
  Status Await(const TestBatch& batch, BatchTransfer* transfer, const RunPlan& plan) {
    std::vector<RunOutput> outputs;
    int64_t run_ns = -1;
    MAAS_RETURN_IF_ERROR(transfer->Await(&outputs, &run_ns));
    EXPECT_GE(run_ns, 0);
    EXPECT_EQ(outputs.size(), plan.outputs.size());
    for (size_t i = 0; i < plan.outputs.size(); ++i) {
      if (plan.outputs[i].data == nullptr) {
        EXPECT_EQ(outputs[i].data, nullptr);
        continue;
      }
      EXPECT_EQ(outputs[i].dims, plan.outputs[i].dims);
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(outputs[i].data), plan.outputs[i].bytes),
                batch.Packed(spec, i, plan))
          << "output " << i;
    }
    return {};
  }
  Status Serve(const TestBatch& batch, BatchTransfer* transfer) {
    MAAS_RETURN_IF_ERROR(Launch(batch, transfer));
    return Await(batch, transfer, *PlanOf(batch));
  }
  int Allocations() { return fake.Calls(FakeCall::kAllocate) + fake.Calls(FakeCall::kAllocatePinned); }

  const ModelSpec spec;
  FakeDevices fake;

 private:
  std::unique_ptr<DeviceTable> table_;

 public:
  GpuDevice* device = nullptr;
  BatchTransfer::Streams streams;

 private:
  std::unique_ptr<DeviceTensors> tensors_;
  std::unique_ptr<RunPlans> plans_;
};

}  // namespace maas
