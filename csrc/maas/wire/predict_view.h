// A decoded request, whatever protocol it came in: views into the message's bytes.
//
// Ownership: borrows every name, id and payload from the message, which must outlive the view; owns only the
// numbers that protobuf stores as varints or may split (shapes, scales, zero points), and the tensors that
// came in a form which has to be converted (TensorView::owned).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/datatype.h"
#include "maas/base/dims.h"
#include "maas/base/shared_region.h"

namespace maas {

struct Quantization {
  std::vector<float> scales;
  std::vector<int32_t> zero_points;
  bool has_axis = false;
  int32_t axis = 0;  // As sent: may be negative or out of range until bound.
};

// Where a tensor lies when it is not in the message: in a region that the client registered.
struct SharedMemoryView {
  std::string_view region;
  uint64_t offset = 0;
  uint64_t size = 0;                     // Bytes.
  std::shared_ptr<SharedRegion> memory;  // Null until it was looked up by name.
};

struct TensorView {
  std::string_view name;
  DataType datatype = DataType::kUnspecified;
  Dims shape;
  std::span<const std::byte> data;
  std::unique_ptr<Quantization> quantization;  // Null when not quantized.
  // What `data` sees when the elements did not lie in the message as the core wants them: little-endian, side
  // by side, BYTES with their lengths before them. Moving the view moves it along.
  std::vector<std::byte> owned;
  std::unique_ptr<SharedMemoryView> shared;  // Null: the message has the data.
};

struct OutputQuantization {
  DataType datatype = DataType::kInt8;
  Quantization params;  // Empty scales: choose them from the answer.
};

struct RequestedOutputView {
  std::string_view name;
  std::unique_ptr<OutputQuantization> quantize;  // Null: the model's own datatype.
  int64_t classification = 0;  // Not 0: instead of values, so many of the largest with their indices.
  std::unique_ptr<SharedMemoryView> shared;  // Null: the answer carries the data.
};

struct PredictRequestView {
  std::string_view id;
  std::string_view model;
  int64_t version = 0;  // 0: none named.
  std::string_view label;
  std::vector<TensorView> inputs;
  std::vector<RequestedOutputView> outputs;  // Empty: all.
  int64_t timeout_us = 0;                    // 0: none.
  uint64_t priority = 0;                     // 0: the model's default; else 1 is the highest.
  bool typed = false;  // The answer's tensors go out as typed values where the protocol has both forms.
};

}  // namespace maas
