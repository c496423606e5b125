#include "maas/wire/model_infer_error.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "maas/wire/decoding.h"
#include "maas/wire/encoding.h"
#include "maas/wire/utf8.h"

namespace maas {
namespace {

// What is said of a model, in two halves around the version that was asked for, if that is named.
struct Sentence {
  std::string_view reason;
  bool names_version;
  std::string_view state;
};
constexpr std::array<Sentence, 5> kSentences = {{
    {"MODEL_NOT_FOUND", false, "is not found"},
    {"VERSION_NOT_FOUND", true, "is not found"},
    {"LABEL_NOT_FOUND", true, "is not found"},
    {"NO_VERSION_AVAILABLE", false, "has no available versions"},
    {"VERSION_NOT_AVAILABLE", true, "is not at ready state"},
}};

const Sentence* FindSentence(std::string_view reason) {
  const auto* found = std::find_if(kSentences.begin(), kSentences.end(),
                                   [reason](const Sentence& each) { return each.reason == reason; });
  return found == kSentences.end() ? nullptr : found;
}

// Characters, not bytes.
constexpr size_t kMaxEcho = 256;
constexpr size_t kMaxBytesPerCharacter = 4;

std::string_view Echo(std::string_view name) {
  if (name.size() > kMaxEcho * kMaxBytesPerCharacter) return {};
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return static_cast<size_t>(std::count_if(name.begin(), name.end(), begins)) > kMaxEcho ? std::string_view()
                                                                                         : name;
}

// The entry of ModelInferResponse.parameters: triton_final_response, true.
constexpr uint32_t kParametersField = 4;
constexpr std::string_view kFinalResponse = "triton_final_response";
constexpr size_t kTrueSize = VarintFieldSize(1, 1);
constexpr size_t kFinalSize = BytesFieldSize(1, kFinalResponse.size()) + BytesFieldSize(2, kTrueSize);

}  // namespace

std::vector<std::string_view> NotServingReasons() {
  std::vector<std::string_view> reasons;
  reasons.reserve(kSentences.size());
  for (const Sentence& each : kSentences) reasons.push_back(each.reason);
  return reasons;
}

bool IsNotServing(std::string_view reason) { return FindSentence(reason) != nullptr; }

std::string TritonPhrase(std::string_view reason, std::string_view model, std::string_view version) {
  const Sentence* sentence = FindSentence(reason);
  if (sentence == nullptr || (sentence->names_version && version.empty())) return {};
  std::string text = "Request for unknown model: '";
  text.append(model).append("' ");
  if (sentence->names_version) text.append("version ").append(version).append(" ");
  return text.append(sentence->state);
}

ModelInferNames PeekModelInferNames(std::span<const std::byte> message) {
  std::array<std::span<const std::byte>, 3> names;
  Reader in(message);
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return {};
    switch (tag) {
      case BytesTag(1):
      case BytesTag(2):
      case BytesTag(3):
        if (!in.ReadBytes(&names[(tag >> 3) - 1])) return {};
        break;
      default:
        if (!in.Skip(tag)) return {};
    }
  }
  for (const auto& name : names) {
    if (!IsUtf8(AsText(name))) return {};
  }
  return {AsText(names[0]), AsText(names[1]), AsText(names[2])};
}

Status WithTritonPhrase(const Status& status, const ModelInferNames& names) {
  std::string text = TritonPhrase(status.reason(), names.model, names.version);
  if (text.empty()) return status;
  text.append(": ").append(status.message());
  return Status(status.code(), status.reason(), std::move(text)).WithRetryAfter(status.retry_after_ns());
}

std::string EncodeModelStreamInferError(const Status& status, const ModelInferNames& names) {
  const std::string message = ToUtf8(status.message());
  const std::string_view model = Echo(names.model);
  const std::string_view version = Echo(names.version);
  const std::string_view id = Echo(names.id);
  const size_t response = TextSize(1, model) + TextSize(2, version) + TextSize(3, id) +
                          BytesFieldSize(kParametersField, kFinalSize);
  std::string out(TextSize(1, message) + BytesFieldSize(2, response), '\0');
  Writer writer(reinterpret_cast<std::byte*>(out.data()));
  WriteText(&writer, 1, message);
  writer.BytesHead(2, response);
  WriteText(&writer, 1, model);
  WriteText(&writer, 2, version);
  WriteText(&writer, 3, id);
  writer.BytesHead(kParametersField, kFinalSize);
  writer.BytesField(1, kFinalResponse);
  writer.BytesHead(2, kTrueSize);
  writer.VarintField(1, 1);
  assert(writer.position() == reinterpret_cast<std::byte*>(out.data()) + out.size());
  return out;
}

}  // namespace maas
