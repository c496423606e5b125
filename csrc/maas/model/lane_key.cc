#include "maas/model/lane_key.h"

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <string>
#include <string_view>

#include "maas/wire/reader.h"
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

constexpr std::string_view kSizeKey = "size 2^";

std::string SizeKey(const ModelSpec& spec, const BoundRequest& request) {
  uint64_t elements = 0;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const auto& dims = spec.inputs[i].dims;
    const bool varies = std::any_of(dims.begin(), dims.end(), [](int64_t size) { return size < 0; });
    if (!varies || request.inputs[i].absent) continue;
    uint64_t product = 1;
    for (const int64_t size : request.inputs[i].dims)
      product *= static_cast<uint64_t>(std::max<int64_t>(size, 1));
    elements += product;
  }
  if (elements == 0) return {};
  return std::string(kSizeKey) + std::to_string(std::bit_width(elements - 1));
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
  request->size_key.clear();
  if (request->solo) {
    request->size_key = SizeKey(spec, *request);
    return;
  }
  bool values = false;
  for (size_t g = 0; g < spec.pad_groups.size(); ++g) {
    if (spec.pad_groups[g].buckets.size() > 1) AppendNumber(&request->lane_key, request->padded[g]);
  }
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    AppendSizes(spec.inputs[i], request->inputs[i], &request->lane_key);
    values = values || spec.inputs[i].batch_axis < 0;
  }
  request->size_key = request->lane_key;
  if (!values) return;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].batch_axis < 0) AppendValues(request->inputs[i], &request->lane_key);
  }
}

std::string SizeKeyText(const ModelSpec& spec, std::string_view key) {
  if (key.starts_with(kSizeKey)) return std::string(key);
  std::string text;
  Reader in(std::as_bytes(std::span(key)));
  const auto number = [&in] {
    uint64_t value = 0;
    const bool read = in.ReadVarint(&value);
    return read && value > 0 ? std::to_string(value - 1) : std::string("-");
  };
  const auto add = [&text](const std::string& part) {
    if (!text.empty()) text += ", ";
    text += part;
  };
  for (const PadGroup& group : spec.pad_groups) {
    if (!in.done() && group.buckets.size() > 1) add("length " + number());
  }
  for (const InputSpec& input : spec.inputs) {
    std::string sizes;
    const bool batched = input.batch_axis >= 0;
    for (int axis = 0; axis < static_cast<int>(input.dims.size()) && !in.done(); ++axis) {
      if (input.dims[static_cast<size_t>(axis)] >= 0) continue;
      if (batched && (axis == input.batch_axis || axis == input.pad_axis)) continue;
      sizes += (sizes.empty() ? "" : ", ") + number();
    }
    if (!sizes.empty()) add(input.name + " [" + sizes + "]");
  }
  return text;
}

}  // namespace maas
