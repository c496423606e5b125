#include "maas/model/lane_key.h"

#include <array>
#include <span>
#include <string>

#include "maas/wire/writer.h"

namespace maas {
namespace {

void AppendVarint(std::string* out, uint64_t value) {
  std::array<std::byte, kMaxVarintBytes> buffer;
  Writer writer(buffer.data());
  writer.Varint(value);
  out->append(reinterpret_cast<const char*>(buffer.data()),
              static_cast<size_t>(writer.position() - buffer.data()));
}

// REQUIRES: number >= -1.
void AppendNumber(std::string* out, int64_t number) { AppendVarint(out, static_cast<uint64_t>(number + 1)); }

void AppendBytes(std::string* out, std::span<const std::byte> bytes) {
  AppendVarint(out, bytes.size());
  if (!bytes.empty()) out->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void AppendSizes(const InputSpec& spec, const BoundInput& input, std::string* out) {
  const int rank = static_cast<int>(spec.dims.size());
  const bool batched = spec.batch_axis >= 0;
  for (int axis = 0; axis < rank; ++axis) {
    if (spec.dims[static_cast<size_t>(axis)] >= 0) continue;
    if (batched && (axis == spec.batch_axis || axis == spec.pad_axis)) continue;
    AppendNumber(out, input.absent ? -1 : input.dims[axis]);
  }
}

void AppendValues(const BoundInput& input, std::string* out) {
  AppendNumber(out, input.absent ? -1 : static_cast<int64_t>(input.wire_type));
  AppendBytes(out, input.data);
  if (input.quantization == nullptr) return;
  AppendBytes(out, std::as_bytes(std::span(input.quantization->scales)));
  AppendBytes(out, std::as_bytes(std::span(input.quantization->zero_points)));
  AppendNumber(out, input.quantization->has_axis ? input.quantization->axis : -1);
}

bool IsSolo(const ModelSpec& spec, const BoundRequest& request) {
  if (!spec.batching) return true;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].batch_axis < 0 && request.inputs[i].data.size() > kMaxSharedInputBytes) return true;
  }
  return false;
}

}  // namespace

void SetLaneKey(const ModelSpec& spec, BoundRequest* request) {
  request->lane_key.clear();
  request->solo = IsSolo(spec, *request);
  if (request->solo) return;
  for (size_t g = 0; g < spec.pad_groups.size(); ++g) {
    if (spec.pad_groups[g].buckets.size() > 1) AppendNumber(&request->lane_key, request->padded[g]);
  }
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    AppendSizes(spec.inputs[i], request->inputs[i], &request->lane_key);
    if (spec.inputs[i].batch_axis < 0) AppendValues(request->inputs[i], &request->lane_key);
  }
}

}  // namespace maas
