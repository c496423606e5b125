#include "maas/model/bind.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "maas/model/bind_quantization.h"
#include "maas/model/lane_key.h"
#include "maas/wire/field_path.h"

namespace maas {
namespace {

constexpr int64_t kNotSeen = -1;

std::string Describe(std::string_view name, DataType datatype, std::span<const int64_t> dims) {
  return '\'' + std::string(name) + "' (" + std::string(Name(datatype)) + ' ' + ToString(dims) + ')';
}
template <typename Spec>
std::string Describe(const Spec& spec) {
  return Describe(spec.name, spec.datatype, WireDims(spec));
}

// "'a', 'b' or 'c'", cut where it grows too long for the headers that carry errors.
template <typename Spec>
std::string ListNames(const std::vector<Spec>& specs) {
  constexpr size_t kMaxBytes = 256;
  std::string out;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (i > 0) out += i + 1 == specs.size() ? " or " : ", ";
    if (out.size() + specs[i].name.size() > kMaxBytes) return out + "...";
    out += '\'' + specs[i].name + '\'';
  }
  return out;
}

// The index of the spec called `name`, -1 if there is none. Clients mostly send in the signature's order, so
// `hint` is tried first.
template <typename Spec>
int Find(const std::vector<Spec>& specs, std::string_view name, size_t hint) {
  if (hint < specs.size() && specs[hint].name == name) return static_cast<int>(hint);
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

Status CheckDatatype(const InputSpec& input, const TensorView& tensor, const FieldPath* at) {
  const bool quantized = tensor.quantization != nullptr;
  if (quantized ? IsFloating(input.datatype) && IsQuantized(tensor.datatype)
                : tensor.datatype == input.datatype) {
    return {};
  }
  if (quantized && !IsFloating(input.datatype)) {
    return InvalidField(at, "quantization",
                        "expected none, as only FP32, FP16 and BF16 inputs are dequantized, for input " +
                            Describe(input) + ", got one");
  }
  std::string expected = "INT8 or UINT8 with quantization";
  if (!quantized) {
    const bool forgotten = IsFloating(input.datatype) && IsQuantized(tensor.datatype);
    expected = std::string(Name(input.datatype)) + (forgotten ? ", or " + expected + ',' : "");
  }
  return InvalidField(at, "datatype",
                      "expected " + expected + " for input " + Describe(input) + ", got " +
                          std::string(Name(tensor.datatype)));
}

// Where clients see the input's dimension `axis`, which varies.
int WireAxis(const InputSpec& input, int axis) {
  if (!input.wire_dims) return axis;
  const auto varying = [](int64_t size) { return size < 0; };
  auto before = std::count_if(input.dims.begin(), input.dims.begin() + axis, varying);
  auto at = std::find_if(input.wire_dims->begin(), input.wire_dims->end(), varying);
  for (; before > 0; --before) at = std::find_if(at + 1, input.wire_dims->end(), varying);
  return static_cast<int>(at - input.wire_dims->begin());
}

// An axis of the clients' shape means nothing in the model's.
Status CheckNoAxis(const FieldPath* at, const std::string& tensor, const Quantization& quantization) {
  if (!quantization.has_axis) return {};
  return InvalidField(at, "axis",
                      "expected none, as the model's own shape is another or not known, for " + tensor +
                          ", got " + std::to_string(quantization.axis));
}

Status BindRows(const ModelSpec& spec, const InputSpec& input, int64_t rows, const FieldPath* at,
                BoundRequest* out) {
  if (rows == out->rows) return {};
  const auto refuse = [&](const std::string& expected) {
    return InvalidField(
        at, "shape",
        "expected " + expected + " in input " + Describe(input) + ", got " + std::to_string(rows),
        WireAxis(input, input.batch_axis));
  };
  if (out->rows != kNotSeen) return refuse(std::to_string(out->rows) + " rows as in the inputs before it");
  if (rows < 1) return refuse("at least 1 row");
  if (rows > spec.max_request_rows)
    return refuse("at most " + std::to_string(spec.max_request_rows) + " rows");
  out->rows = rows;
  return {};
}

Status BindLength(const ModelSpec& spec, const InputSpec& input, int64_t length, const FieldPath* at,
                  BoundRequest* out) {
  const auto group = static_cast<size_t>(input.pad_group);
  if (length == out->lengths[group]) return {};
  const auto refuse = [&](const std::string& expected) {
    return InvalidField(
        at, "shape",
        "expected " + expected + " in input " + Describe(input) + ", got " + std::to_string(length),
        input.pad_axis);
  };
  if (out->lengths[group] != kNotSeen) {
    return refuse(std::to_string(out->lengths[group]) + " as in the inputs before it");
  }
  const std::vector<int64_t>& buckets = spec.pad_groups[group].buckets;
  const auto bucket = std::lower_bound(buckets.begin(), buckets.end(), length);
  if (bucket == buckets.end()) return refuse("at most " + std::to_string(buckets.back()));
  out->lengths[group] = length;
  out->padded[group] = *bucket;
  return {};
}

// Sets *dims to the shape that the model is given.
Status BindShape(const ModelSpec& spec, const InputSpec& input, const Dims& shape, const FieldPath* at,
                 BoundRequest* out, Dims* dims) {
  const std::vector<int64_t>& wire_dims = WireDims(input);
  const int rank = static_cast<int>(wire_dims.size());
  if (shape.rank() != rank) {
    return InvalidField(at, "shape",
                        "expected rank " + std::to_string(rank) + " for input " + Describe(input) +
                            ", got rank " + std::to_string(shape.rank()) + ' ' + ToString(shape));
  }
  for (int axis = 0; axis < rank; ++axis) {
    const int64_t expected = wire_dims[static_cast<size_t>(axis)];
    const bool fits = expected < 0 ? shape[axis] >= 0 : shape[axis] == expected;
    if (fits) continue;
    return InvalidField(at, "shape",
                        "expected " + (expected < 0 ? "0 or more" : std::to_string(expected)) + " in input " +
                            Describe(input) + ", got " + std::to_string(shape[axis]),
                        axis);
  }
  *dims = input.wire_dims ? Reshaped(wire_dims, shape, input.dims) : shape;
  if (input.batch_axis >= 0) MAAS_RETURN_IF_ERROR(BindRows(spec, input, (*dims)[input.batch_axis], at, out));
  if (input.pad_axis >= 0) MAAS_RETURN_IF_ERROR(BindLength(spec, input, (*dims)[input.pad_axis], at, out));
  return {};
}

// Each element is its length, 4 bytes little-endian, and then its bytes.
Status CheckStrings(std::span<const std::byte> data, int64_t count, const FieldPath* at) {
  size_t offset = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t length;
    if (data.size() - offset < sizeof(length)) {
      return InvalidField(at, "data",
                          "expected " + std::to_string(count) +
                              " elements of BYTES, got the end of the data in " + "the length of element " +
                              std::to_string(i));
    }
    std::memcpy(&length, data.data() + offset, sizeof(length));
    offset += sizeof(length);
    if (length > data.size() - offset) {
      return InvalidField(at, "data",
                          "expected " + std::to_string(length) + " bytes in element " + std::to_string(i) +
                              " of BYTES, got " + std::to_string(data.size() - offset));
    }
    offset += length;
  }
  if (offset == data.size()) return {};
  return InvalidField(at, "data",
                      "expected " + std::to_string(offset) + " bytes for " + std::to_string(count) +
                          " elements of BYTES, got " + std::to_string(data.size()));
}

Status ReadShared(TensorView* tensor, const FieldPath* at) {
  const SharedMemoryView& shared = *tensor->shared;
  const FieldPath parameters{at, "parameters"};
  if (shared.size > kMaxSharedMemoryBytes) {
    return InvalidField(&parameters, "shared_memory_byte_size",
                        "expected at most " + std::to_string(kMaxSharedMemoryBytes) + " bytes, got " +
                            std::to_string(shared.size));
  }
  tensor->owned.resize(shared.size);
  if (const Status failure = shared.memory->Read(shared.offset, tensor->owned); !failure.ok()) {
    return FieldFailure(&parameters, failure);
  }
  tensor->data = tensor->owned;
  return {};
}

Status BindData(TensorView* tensor, const FieldPath* at) {
  const int64_t count = ElementCount(tensor->shape);
  if (count < 0) {
    return InvalidField(
        at, "shape",
        "expected at most " + std::to_string(kMaxElements) + " elements, got " + ToString(tensor->shape));
  }
  const bool strings = tensor->datatype == DataType::kBytes;
  const uint64_t expected = static_cast<uint64_t>(count) * ElementSize(tensor->datatype);
  const uint64_t size = tensor->shared != nullptr ? tensor->shared->size : tensor->data.size();
  if (!strings && size != expected) {
    return InvalidField(at, "data",
                        "expected " + std::to_string(expected) + " bytes for " +
                            Describe(tensor->name, tensor->datatype, tensor->shape.span()) + ", got " +
                            std::to_string(size));
  }
  if (tensor->shared != nullptr) MAAS_RETURN_IF_ERROR(ReadShared(tensor, at));
  return strings ? CheckStrings(tensor->data, count, at) : Status();
}

Status BindInput(const ModelSpec& spec, size_t position, TensorView* tensor, BoundRequest* out) {
  const FieldPath path{nullptr, "inputs", static_cast<std::ptrdiff_t>(position)};
  const int index = Find(spec.inputs, tensor->name, position);
  if (index < 0) {
    return InvalidField(&path, "name",
                        "expected " + ListNames(spec.inputs) + ", got '" + std::string(tensor->name) + '\'');
  }
  const InputSpec& input = spec.inputs[static_cast<size_t>(index)];
  BoundInput* const bound = &out->inputs[static_cast<size_t>(index)];
  if (!bound->absent) {
    return InvalidField(&path, "name", "expected each input once, got '" + input.name + "' again");
  }
  MAAS_RETURN_IF_ERROR(CheckDatatype(input, *tensor, &path));
  MAAS_RETURN_IF_ERROR(BindShape(spec, input, tensor->shape, &path, out, &bound->dims));
  MAAS_RETURN_IF_ERROR(BindData(tensor, &path));
  if (tensor->quantization != nullptr) {
    const FieldPath member{&path, "quantization"};
    MAAS_RETURN_IF_ERROR(NormalizeQuantization(&member, input.name, tensor->datatype, tensor->shape.span(),
                                               false, tensor->quantization.get()));
    if (input.wire_dims) {
      MAAS_RETURN_IF_ERROR(CheckNoAxis(&member, "input " + Describe(input), *tensor->quantization));
    }
  }
  bound->data = tensor->data;
  bound->wire_type = tensor->datatype;
  bound->quantization = std::move(tensor->quantization);
  bound->absent = false;
  return {};
}

Status CheckMissing(const ModelSpec& spec, BoundRequest* out) {
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (!out->inputs[i].absent || spec.inputs[i].auto_fill != AutoFill::kNone) continue;
    return Status::Invalid("inputs",
                           "expected input " + Describe(spec.inputs[i]) + ", got none of that name");
  }
  for (size_t g = 0; g < out->lengths.size(); ++g) {
    if (out->lengths[g] != kNotSeen) continue;
    return Status::Invalid("inputs", "expected an input to take the length of pad group " +
                                         std::to_string(g) + " from, got none");
  }
  if (out->rows == kNotSeen) out->rows = 1;
  return {};
}

// The size of an output's dimension in the answer to this request; -1 when only the run tells.
int64_t AnswerSize(const ModelSpec& spec, const OutputSpec& output, int axis, const BoundRequest& request) {
  if (axis == output.batch_axis) return request.rows;
  if (axis == output.pad_axis) return request.lengths[static_cast<size_t>(output.pad_group)];
  const int64_t fixed = output.dims[static_cast<size_t>(axis)];
  const DimSource& source = output.sources[static_cast<size_t>(axis)];
  if (fixed >= 0 || source.input < 0) return fixed;
  const InputSpec& input = spec.inputs[static_cast<size_t>(source.input)];
  // A second axis that follows the length is not un-padded.
  if (source.axis == input.pad_axis) return request.padded[static_cast<size_t>(input.pad_group)];
  const BoundInput& bound = request.inputs[static_cast<size_t>(source.input)];
  return bound.absent ? -1 : bound.dims[source.axis];
}

Status BindOutputQuantization(const ModelSpec& spec, const OutputSpec& output, const FieldPath* at,
                              const BoundRequest& request, OutputQuantization* quantize) {
  if (!IsFloating(output.datatype)) {
    return InvalidField(at->parent, at->name,
                        "expected none, as only FP32, FP16 and BF16 outputs are quantized, for output " +
                            Describe(output) + ", got one");
  }
  if (!IsQuantized(quantize->datatype)) {
    return InvalidField(at, "datatype",
                        "expected INT8 or UINT8, got " + std::string(Name(quantize->datatype)));
  }
  Dims shape(output.dims);
  for (int axis = 0; axis < shape.rank(); ++axis) shape[axis] = AnswerSize(spec, output, axis, request);
  if (output.wire_dims || output.any_shape) {
    if (output.wire_dims) shape = Dims(*output.wire_dims);
    MAAS_RETURN_IF_ERROR(CheckNoAxis(at, "output " + Describe(output), quantize->params));
  }
  return NormalizeQuantization(at, output.name, quantize->datatype, shape.span(), true, &quantize->params);
}

Status CheckClassification(const OutputSpec& output, const RequestedOutputView& wanted, const FieldPath* at) {
  if (wanted.classification < 0) {
    return InvalidField(at, "classification",
                        "expected 1 or more, got " + std::to_string(wanted.classification));
  }
  if (output.datatype != DataType::kBytes && wanted.quantize == nullptr) return {};
  return InvalidField(at, "classification",
                      "expected none, as only numbers that are not quantized are classified, for output " +
                          Describe(output) + ", got " + std::to_string(wanted.classification));
}

Status BindOutput(const ModelSpec& spec, size_t position, RequestedOutputView* wanted, BoundRequest* out) {
  const FieldPath path{nullptr, "outputs", static_cast<std::ptrdiff_t>(position)};
  const int index = Find(spec.outputs, wanted->name, position);
  if (index < 0) {
    return InvalidField(&path, "name",
                        "expected " + ListNames(spec.outputs) + ", got '" + std::string(wanted->name) + '\'');
  }
  const auto same = [index](const BoundOutput& other) { return other.index == index; };
  if (std::any_of(out->outputs.begin(), out->outputs.end(), same)) {
    return InvalidField(&path, "name",
                        "expected each output once, got '" + std::string(wanted->name) + "' again");
  }
  if (wanted->quantize != nullptr) {
    const FieldPath member{&path, "quantize"};
    MAAS_RETURN_IF_ERROR(BindOutputQuantization(spec, spec.outputs[static_cast<size_t>(index)], &member, *out,
                                                wanted->quantize.get()));
  }
  if (wanted->classification != 0) {
    MAAS_RETURN_IF_ERROR(CheckClassification(spec.outputs[static_cast<size_t>(index)], *wanted, &path));
  }
  out->outputs.push_back(
      {index, std::move(wanted->quantize), wanted->classification, std::move(wanted->shared)});
  return {};
}

// Clears, but keeps the memory: requests are bound into the same object again and again.
void Reset(const ModelSpec& spec, BoundRequest* out) {
  out->inputs.clear();
  out->inputs.resize(spec.inputs.size());
  for (BoundInput& input : out->inputs) input.absent = true;
  out->outputs.clear();
  out->rows = kNotSeen;
  out->lengths.assign(spec.pad_groups.size(), kNotSeen);
  out->padded.assign(spec.pad_groups.size(), kNotSeen);
}

}  // namespace

Status BindRequest(const ModelSpec& spec, PredictRequestView* view, BoundRequest* out) {
  Reset(spec, out);
  for (size_t i = 0; i < view->inputs.size(); ++i) {
    MAAS_RETURN_IF_ERROR(BindInput(spec, i, &view->inputs[i], out));
  }
  MAAS_RETURN_IF_ERROR(CheckMissing(spec, out));
  for (size_t i = 0; i < view->outputs.size(); ++i) {
    MAAS_RETURN_IF_ERROR(BindOutput(spec, i, &view->outputs[i], out));
  }
  if (view->outputs.empty()) {
    for (size_t i = 0; i < spec.outputs.size(); ++i)
      out->outputs.push_back({static_cast<int>(i), nullptr, 0, nullptr});
  }
  SetLaneKey(spec, out);
  return {};
}

}  // namespace maas
