// A decoded maas.v1.PredictRequest: views into the message's bytes, nothing of a payload is copied.
//
// Ownership: borrows every name, id and payload from the message, which must outlive the view; owns only the
// numbers that protobuf stores as varints or may split (shapes, scales, zero points).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/datatype.h"
#include "maas/base/dims.h"

namespace maas {

struct Quantization {
  std::vector<float> scales;
  std::vector<int32_t> zero_points;
  bool has_axis = false;
  int32_t axis = 0;  // As sent: may be negative or out of range until bound.
};

struct TensorView {
  std::string_view name;
  DataType datatype = DataType::kUnspecified;
  Dims shape;
  std::span<const std::byte> data;
  std::unique_ptr<Quantization> quantization;  // Null when not quantized.
};

struct OutputQuantization {
  DataType datatype = DataType::kInt8;
  Quantization params;  // Empty scales: choose them from the answer.
};

struct RequestedOutputView {
  std::string_view name;
  std::unique_ptr<OutputQuantization> quantize;  // Null: the model's own datatype.
};

struct PredictRequestView {
  std::string_view id;
  std::string_view model;
  int64_t version = 0;  // 0: none named.
  std::string_view label;
  std::vector<TensorView> inputs;
  std::vector<RequestedOutputView> outputs;  // Empty: all.
  int64_t timeout_us = 0;                    // 0: none.
};

}  // namespace maas
