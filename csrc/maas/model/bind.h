// Checks a decoded request against a model's spec and binds its tensors to the inputs, in the spec's order.
//
// Every error names the field in the request, what was expected and what came. Threads: pure function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "maas/base/dims.h"
#include "maas/base/status.h"
#include "maas/model/spec.h"
#include "maas/wire/predict_view.h"

namespace maas {

struct BoundInput {
  std::span<const std::byte> data;  // Borrowed from the message. Empty and `absent` when the server fills it.
  Dims dims;                        // As sent, in the model's shape where clients have another.
  DataType wire_type = DataType::kUnspecified;  // Of `data`; differs from the spec's iff quantized.
  std::unique_ptr<Quantization> quantization;  // Null, or normalised: zero_points as many as scales, and axis
                                               // (when has_axis) in 0..rank-1.
  bool absent = false;
};

struct BoundOutput {
  int index = 0;                                 // Into ModelSpec::outputs.
  std::unique_ptr<OutputQuantization> quantize;  // Null, or normalised like BoundInput's; axis counts from
                                                 // the front of the output's shape.
  int64_t classification = 0;                    // Not 0: so many of the largest values instead of all.
  std::unique_ptr<SharedMemoryView> shared;      // Null: the answer carries the data.
};

struct BoundRequest {
  std::vector<BoundInput> inputs;    // One per ModelSpec::inputs.
  std::vector<BoundOutput> outputs;  // In the order asked for; all when none was named.
  int64_t rows = 1;                  // >= 1. 1 when no input has a batch axis.
  std::vector<int64_t>
      lengths;                  // Per pad group: this request's real length. All rows of one request have it.
  std::vector<int64_t> padded;  // Per pad group: the bucket that it is rounded up to.
  // Requests may share a batch iff their keys are equal. Empty when the model has one shape only,
  // and when `solo`. Holds the dims that may vary (padded ones rounded up) and the bytes of inputs without a
  // batch axis; see lane_key.h.
  std::string lane_key;
  // Requests with equal keys take about the same time: the sizes that vary. Empty when none do; see
  // lane_key.h.
  std::string size_key;
  bool solo = false;  // Never shares a batch: batching is off, or an input without batch axis is over 64 KiB.
};

// The most that an input in shared memory may take: it is copied, and a client's region can be as large as it
// likes.
inline constexpr uint64_t kMaxSharedMemoryBytes = uint64_t{1} << 30;

// Takes the quantizations and the shared memory of outputs out of *view. On error *out is unspecified.
// REQUIRES: tensors in shared memory have been looked up; those of inputs are read into the view here, once
// it is known that the model has such an input.
// Checks: the version (already resolved) is the caller's business. Here: unknown, missing and duplicate
// inputs; datatype (a quantized tensor may stand for FP32, FP16 and BF16 inputs; an int8/uint8 input takes
// its own values untouched and refuses `quantization`); rank; every fixed dimension; equal rows over the
// batched inputs; rows >= 1 and <= max_request_rows; equal lengths in a pad group, at most its last bucket;
// byte count (of a tensor in shared memory before it is read); BYTES elements' length prefixes; scales finite
// and > 0, one or as many as the axis; zero points in range; axis in range; unknown and duplicate outputs;
// quantized outputs of a floating datatype only, scales as many as the axis where its size is known before
// the run; classification of numbers only, and not with `quantize`. A tensor that clients see in another
// shape is checked against theirs, and its quantization has no axis. A dimension that may vary may be 0, rows
// apart. An input that the server would fill is taken as it is if the request does send it; it is then padded
// with pad_value as any other.
Status BindRequest(const ModelSpec& spec, PredictRequestView* view, BoundRequest* out);

}  // namespace maas
