// Decodes arbitrary bytes as a request and as a stream of requests, and binds what decodes to a few models.
//
// Run from the repository's root, seeded with tests/golden/predict/*/message.bin: make fuzz.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"
#include "maas/model/decoder_fuzz_testing.h"
#include "maas/wire/predict_decoder.h"
#include "maas/wire/predict_encoder.h"

namespace maas {
namespace {

// Under the names that the golden messages use, so that the fuzzer gets past the first check.
const std::vector<ModelSpec>& Specs() {
  static const std::vector<ModelSpec> specs = [] {
    std::vector<ModelSpec> out;
    out.push_back(GoldenSpec());
    out.push_back(MakeSpec(
        {MakeInput("x", DataType::kFp32, {-1, 2}), MakeInput("image", DataType::kFp16, {2, -1}, -1)},
        {MakeOutput("probs", DataType::kBf16, {-1}), MakeOutput("logits", DataType::kFp32, {-1, -1})}));
    InputSpec text = MakeInput("s", DataType::kBytes, {-1});
    InputSpec x = MakePadded("x", AutoFill::kMask);
    x.datatype = DataType::kFp32;
    out.push_back(MakeSpec({std::move(x), MakePadded("y"), std::move(text)}));
    out.back().pad_groups = {{{1, 2, 8}}};
    out.push_back(MakeSpec({MakeInput("s", DataType::kBytes, {-1}, -1)}));
    out.push_back(MakeSpec({MakeInput("x", DataType::kFp32, {}, -1)}));
    out.back().batching = false;
    return out;
  }();
  return specs;
}

void CheckBound(const ModelSpec& spec, const BoundRequest& bound) {
  Require(bound.rows >= 1 && bound.rows <= spec.max_request_rows);
  Require(bound.inputs.size() == spec.inputs.size());
  RequireSizes(bound);
  for (const BoundInput& input : bound.inputs) {
    Require(input.absent == (input.wire_type == DataType::kUnspecified));
    if (input.quantization == nullptr) continue;
    Require(input.quantization->scales.size() == input.quantization->zero_points.size());
    Require(!input.quantization->has_axis ||
            (input.quantization->axis >= 0 && input.quantization->axis < input.dims.rank()));
  }
  for (size_t g = 0; g < bound.lengths.size(); ++g) Require(bound.lengths[g] <= bound.padded[g]);
}

void DecodeAndBind(std::span<const std::byte> message) {
  static PredictRequestView view;
  static BoundRequest bound;
  const std::string_view id = PeekRequestId(message);
  for (const ModelSpec& spec : Specs()) {
    // Decoded anew each time: binding takes the quantizations away.
    Status status = DecodePredictRequest(message, &view);
    if (status.ok()) {
      Require(view.id == id);
      status = BindRequest(spec, &view, &bound);
    }
    if (status.ok()) {
      CheckBound(spec, bound);
    } else {
      RequireRefusal(status);
      Require(!EncodeStreamError(id, status).empty());
    }
  }
}

}  // namespace
}  // namespace maas

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> message = std::as_bytes(std::span(data, size));
  maas::DecodeAndBind(message);
  std::vector<std::span<const std::byte>> requests;
  if (maas::SplitPredictStreamRequest(message, &requests).ok()) {
    for (const auto& request : requests) maas::DecodeAndBind(request);
  }
  return 0;
}
