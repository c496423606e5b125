#include "maas/wire/tensorflow_predict_decoder.h"

#include <algorithm>
#include <string>
#include <vector>

#include "maas/wire/decoding.h"
#include "maas/wire/predict_decoder.h"
#include "maas/wire/tensorflow_entry.h"
#include "maas/wire/tensorflow_tensor.h"

namespace maas {
namespace {

struct ModelSpecFields {
  std::string_view name;
  std::string_view signature;
  std::string_view label;
  int64_t version = 0;
  bool has_version = false;  // The oneof holds `version`, so that a further one is merged into it.
};

// google.protobuf.Int64Value.
Status DecodeInt64Value(Reader in, const FieldPath* at, int64_t* value) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    uint64_t varint;
    if (tag != VarintTag(1)) {
      if (!in.Skip(tag)) return Malformed(in, at);
      continue;
    }
    if (!in.ReadVarint(&varint)) return Malformed(in, at);
    *value = static_cast<int64_t>(varint);
  }
  return {};
}

Status DecodeModelSpec(Reader in, const FieldPath* at, ModelSpecFields* spec) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "name", kMaxNameBytes, &spec->name));
        break;
      case BytesTag(2): {
        const FieldPath path{at, "version"};
        Reader message;
        if (!in.ReadMessage(&message)) return Malformed(in, at);
        if (!spec->has_version) spec->version = 0;
        MAAS_RETURN_IF_ERROR(DecodeInt64Value(message, &path, &spec->version));
        spec->has_version = true;
        spec->label = {};
        break;
      }
      case BytesTag(3):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "signature_name", kMaxNameBytes, &spec->signature));
        break;
      case BytesTag(4):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "version_label", kMaxLabelBytes, &spec->label));
        spec->has_version = false;
        spec->version = 0;
        break;
      default:
        if (!in.Skip(tag)) return Malformed(in, at);
    }
  }
  return {};
}

Status CheckModelSpec(const ModelSpecFields& spec, const FieldPath* at) {
  if (spec.name.empty()) return InvalidField(at, "name", "expected the name of a model, got none");
  if (spec.version < 0) {
    return InvalidField(at, "version",
                        "expected a number greater than 0, got " + std::to_string(spec.version));
  }
  if (spec.signature.empty() || spec.signature == kTensorFlowSignature) return {};
  return Status(Code::kFailedPrecondition, "SIGNATURE_NOT_FOUND",
                "Serving signature key \"" + std::string(spec.signature) + "\" not found. Expected \"" +
                    std::string(kTensorFlowSignature) + "\" or none");
}

Status ScanInput(Reader* in, std::vector<TensorFlowEntry>* entries) {
  const FieldPath path{nullptr, "inputs", std::ssize(*entries)};
  Reader message;
  if (!in->ReadMessage(&message)) return Malformed(*in, &path);
  TensorFlowEntry entry;
  MAAS_RETURN_IF_ERROR(ScanTensorFlowEntry(message, &path, &entry));
  const auto old = std::find_if(entries->begin(), entries->end(),
                                [&](const TensorFlowEntry& other) { return other.name == entry.name; });
  if (old != entries->end()) {
    *old = entry;
    return {};
  }
  if (entries->size() == kMaxTensors) return TooMany(nullptr, "inputs", kMaxTensors, "entries");
  entries->push_back(entry);
  return {};
}

Status ReadOutputFilter(Reader* in, std::vector<RequestedOutputView>* outputs) {
  if (outputs->size() == kMaxTensors) return TooMany(nullptr, "output_filter", kMaxTensors, "entries");
  return ReadText(in, nullptr, "output_filter", kMaxNameBytes, &outputs->emplace_back().name);
}

}  // namespace

Status DecodeTensorFlowPredictRequest(std::span<const std::byte> message, PredictRequestView* view) {
  Clear(view);
  ModelSpecFields spec;
  const FieldPath spec_path{nullptr, "model_spec"};
  std::vector<TensorFlowEntry> entries;
  Reader in(message);
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, nullptr);
    switch (tag) {
      case BytesTag(1): {
        Reader model_spec;
        if (!in.ReadMessage(&model_spec)) return Malformed(in, nullptr);
        MAAS_RETURN_IF_ERROR(DecodeModelSpec(model_spec, &spec_path, &spec));
        break;
      }
      case BytesTag(2):
        MAAS_RETURN_IF_ERROR(ScanInput(&in, &entries));
        break;
      case BytesTag(3):
        MAAS_RETURN_IF_ERROR(ReadOutputFilter(&in, &view->outputs));
        break;
      default:
        if (!in.Skip(tag)) return Malformed(in, nullptr);
    }
  }
  MAAS_RETURN_IF_ERROR(CheckModelSpec(spec, &spec_path));
  view->model = spec.name;
  view->version = spec.version;
  view->label = spec.label;
  view->inputs.resize(entries.size());
  size_t room = kMaxFilledBytes;
  for (size_t i = 0; i < entries.size(); ++i) {
    const FieldPath path{nullptr, "inputs", static_cast<std::ptrdiff_t>(i)};
    MAAS_RETURN_IF_ERROR(TakeTensorFlowTensor(entries[i], &path, &room, &view->inputs[i]));
  }
  return {};
}

}  // namespace maas
