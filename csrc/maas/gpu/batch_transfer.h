// One batch's way to a device and back: its requests' bytes up, its tensors laid out there, outputs down.
//
// An instance on a device has a few of these, so that one batch goes up and another comes down while a third
// runs; it drives each:
//   transfer.Begin(plan, slices);        // the plan's inputs will lie on the device
//   run the model on streams.compute     // only begin it
//   transfer.Fetch();                    // its outputs will come down
//   transfer.Await(&outputs, &run_ns);   // sleeps until they have
// Tensors cross as they are on the wire, quantized or not, in one upload together with the table of segments
// that lays them out; the host copies each byte once, from the request to pinned memory, and fills or
// converts none. Nothing waits but Await(), allocates but a batch larger than those before, or is shared
// between transfers but the plans' tensors, whose use the stream `compute` puts in order.
//
// What failed says why, and what it left is cleared up by the next Begin(): a transfer can be used again,
// unless its device is lost, when everything fails with DEVICE_LOST.
//
// Ownership: its pinned memory, its own memory on the device, its events. Borrows the requests' bytes during
// Begin() only.
// Threads: one at a time; each step may be another thread's if the one before happens before it. The streams
// are used by Begin() and Fetch(), which so are one thread's for all transfers over the same streams, one
// transfer after the other; Await() may be another's meanwhile.
// Valid transitions: idle -Begin-> begun -Fetch-> fetching -Await-> idle; Begin() from any, which gives up
// what is under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "maas/base/dims.h"
#include "maas/base/status.h"
#include "maas/exec/answer.h"
#include "maas/exec/entry.h"
#include "maas/exec/run_plans.h"
#include "maas/gpu/device.h"
#include "maas/gpu/segment_plan.h"
#include "maas/model/spec.h"

namespace maas {

class BatchTransfer {
  // Keeps the constructor, which leaves the events to Make(), to it.
  struct Key {
    explicit Key() = default;
  };

 public:
  struct Streams {
    DeviceStream up;
    DeviceStream compute;
    DeviceStream down;
  };

  // All but `out` are not owned and outlive this. REQUIRES: the model has no BYTES inputs.
  static Status Make(GpuDevice* device, const ModelSpec* spec, const Streams* streams,
                     std::unique_ptr<BatchTransfer>* out);
  BatchTransfer(Key, GpuDevice* device, const ModelSpec* spec, const Streams* streams)
      : device_(device), spec_(spec), streams_(streams) {}
  BatchTransfer(const BatchTransfer&) = delete;
  BatchTransfer& operator=(const BatchTransfer&) = delete;

  // What is put on `compute` afterwards finds the inputs of the plan as PackInput() would have made them.
  // Blocks where memory grows, and where a batch was given up. REQUIRES: the plan's tensors lie on the
  // device, and until Fetch() the plan and its memory stay.
  Status Begin(const RunPlan& plan, std::span<const Slice> batch);
  // What is put on `compute` before is the run; outputs that the plan has memory for come down, and others
  // are not looked at. REQUIRES: Begin() was ok.
  Status Fetch();
  // Sleeps until the run and all copies are over. Sets those of `outputs`, one per output of the spec, that
  // came down; they lie in pinned memory until the next Begin(). `run_ns`: what laying out the inputs and the
  // run took on the device. REQUIRES: Fetch() was ok.
  Status Await(std::vector<RunOutput>* outputs, int64_t* run_ns);

 private:
  class SegmentWriter;
  // A box of a request's tensor, to be copied to `at` of what goes up, dense.
  struct Staged {
    const std::byte* data = nullptr;
    DataType datatype = DataType::kUnspecified;
    Box from;
    Dims extent;
    size_t at = 0;
  };
  struct Output {
    bool known = false;
    Dims dims;
    size_t at = 0;  // Of what comes down.
  };
  // Where the parts of what goes up begin. What requests sent is last.
  struct UploadLayout {
    size_t output_segments = 0;  // Those of the inputs are first.
    size_t params = 0;
    size_t tensors = 0;
    size_t bytes = 0;
  };

  // Waits until nothing of a batch that was given up is under way.
  Status Settle();
  // Makes the segments, and decides what lies where.
  void LayOut(const RunPlan& plan, std::span<const Slice> batch);
  void LayOutOutputs(const RunPlan& plan);
  // Makes room for the batch, and at once for the largest of the plan's kind where there is as much.
  Status Reserve(const RunPlan& plan, size_t slices);
  // Replaces memory that is too small for the batch by so much each way.
  Status GrowTo(size_t up, size_t down);
  // Fills the pinned memory that goes up.
  void Stage();

  GpuDevice* const device_;
  const ModelSpec* const spec_;
  const Streams* const streams_;

  DeviceEvent uploaded_;
  DeviceEvent started_;  // Timed, as is ended_.
  DeviceEvent ended_;
  DeviceEvent gathered_;  // The outputs have left the plan's tensors.
  DeviceEvent fetched_;
  // Something was put on a stream, and nobody has waited for it.
  bool under_way_ = false;

  // Of the batch; kept for their capacity.
  SegmentTable inputs_;  // From what requests sent to the plan's inputs.
  SegmentTable outputs_;
  std::vector<Staged> staged_;
  std::vector<Output> fetched_outputs_;
  size_t staged_bytes_ = 0;
  size_t output_bytes_ = 0;
  UploadLayout layout_;
  // The lowest of the plan's tensors, from which segments count.
  std::byte* inputs_base_ = nullptr;
  std::byte* outputs_base_ = nullptr;

  PinnedMemory pinned_up_;
  DeviceMemory raw_up_;
  DeviceMemory raw_down_;
  PinnedMemory pinned_down_;
};

}  // namespace maas
