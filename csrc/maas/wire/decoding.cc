#include "maas/wire/decoding.h"

#include "maas/wire/utf8.h"

namespace maas {

Status Malformed(const Reader& in, const FieldPath* at) {
  const std::string field = at == nullptr ? "request" : ToString(at);
  return Status::Invalid(field,
                         "expected a protobuf message, got malformed bytes: " + std::string(in.error()));
}

Status TooMany(const FieldPath* parent, std::string_view name, size_t limit, std::string_view of) {
  return InvalidField(parent, name,
                      "expected at most " + std::to_string(limit) + ' ' + std::string(of) + ", got more");
}

Status ReadText(Reader* in, const FieldPath* parent, std::string_view name, size_t limit,
                std::string_view* text) {
  std::span<const std::byte> bytes;
  if (!in->ReadBytes(&bytes)) return Malformed(*in, parent);
  if (bytes.size() > limit) {
    return InvalidField(
        parent, name,
        "expected at most " + std::to_string(limit) + " bytes, got " + std::to_string(bytes.size()));
  }
  *text = AsText(bytes);
  if (!IsUtf8(*text)) return InvalidField(parent, name, "expected UTF-8, got bytes that are not");
  return {};
}

Status ReadShape(Reader* in, const FieldPath* tensor, bool packed, Dims* shape) {
  return ReadVarints(in, tensor, packed, [=](uint64_t value) -> Status {
    if (shape->rank() == kMaxRank) return TooMany(tensor, "shape", kMaxRank, "dimensions");
    shape->push_back(static_cast<int64_t>(value));
    return {};
  });
}

void Clear(PredictRequestView* view) {
  view->id = {};
  view->model = {};
  view->version = 0;
  view->label = {};
  view->inputs.clear();
  view->outputs.clear();
  view->timeout_us = 0;
  view->priority = 0;
  view->typed = false;
}

}  // namespace maas
