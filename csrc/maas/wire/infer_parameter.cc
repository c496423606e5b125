#include "maas/wire/infer_parameter.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "maas/wire/decoding.h"

namespace maas {
namespace {

using Kind = InferParameter::Kind;

std::string_view Describe(Kind kind) {
  constexpr std::string_view kNames[] = {
      "none", "no value that is known", "a bool", "an int64", "a string", "a double", "a uint64"};
  return kNames[static_cast<size_t>(kind)];
}

Status Refuse(const FieldPath* owner, std::string_view name, const std::string& what) {
  const FieldPath parameters{owner, "parameters"};
  return InvalidField(&parameters, name, what);
}

Status WrongType(const FieldPath* owner, std::string_view name, std::string_view expected, Kind kind) {
  return Refuse(owner, name, "expected " + std::string(expected) + ", got " + std::string(Describe(kind)));
}

// A text from the message in an error about it; the headers that carry errors are small.
std::string Quoted(std::string_view text) {
  constexpr size_t kMaxBytes = 64;
  if (text.size() <= kMaxBytes) return '\'' + std::string(text) + '\'';
  // Not in the middle of a character.
  size_t size = kMaxBytes;
  while ((static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  return '\'' + std::string(text.substr(0, size)) + "'...";
}

// The last value that was set is the one that counts.
Status ReadValue(Reader in, const FieldPath* at, InferParameter* out) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    const auto number = [&](Kind kind) -> Status {
      const bool ok = kind == Kind::kDouble ? in.ReadFixed64(&out->bits) : in.ReadVarint(&out->bits);
      out->kind = kind;
      return ok ? Status() : Malformed(in, at);
    };
    switch (tag) {
      case VarintTag(1):
        MAAS_RETURN_IF_ERROR(number(Kind::kBool));
        break;
      case VarintTag(2):
        MAAS_RETURN_IF_ERROR(number(Kind::kInt64));
        break;
      case BytesTag(3):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "string_param", kMaxParameterBytes, &out->text));
        out->kind = Kind::kString;
        break;
      case Fixed64Tag(4):
        MAAS_RETURN_IF_ERROR(number(Kind::kDouble));
        break;
      case VarintTag(5):
        MAAS_RETURN_IF_ERROR(number(Kind::kUint64));
        break;
      default:
        if (!in.Skip(tag)) return Malformed(in, at);
    }
  }
  return {};
}

// Whether the whole of `text` is one number, blanks around it aside.
template <typename Number>
bool ParseNumber(std::string_view text, Number* out) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return false;
  text = text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// Calls `add` with each of the texts between the commas of `text`, until it returns an error.
template <typename Add>
Status ForEachPart(std::string_view text, const Add& add) {
  while (true) {
    const size_t comma = text.find(',');
    MAAS_RETURN_IF_ERROR(add(text.substr(0, comma)));
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

template <typename Number>
Status ParseList(const FieldPath* owner, std::string_view name, std::string_view text,
                 std::string_view expected, std::vector<Number>* out) {
  return ForEachPart(text, [&](std::string_view part) {
    Number number;
    if (!ParseNumber(part, &number))
      return Refuse(owner, name, "expected " + std::string(expected) + ", got " + Quoted(part));
    const FieldPath parameters{owner, "parameters"};
    if (out->size() == kMaxScales) return TooMany(&parameters, name, kMaxScales, "entries");
    out->push_back(number);
    return Status();
  });
}

// A conversion that the language leaves undefined where the value does not fit.
float ToFloat(double value) {
  if (std::isfinite(value) && std::fabs(value) > std::numeric_limits<float>::max())
    return std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(std::copysign(1, value)));
  return static_cast<float>(value);
}

}  // namespace

Status ReadInferParameter(Reader* in, const FieldPath* owner, std::span<const std::string_view> names,
                          std::span<InferParameter> values) {
  const FieldPath at{owner, "parameters"};
  Reader entry;
  if (!in->ReadMessage(&entry)) return Malformed(*in, &at);
  std::string_view key;
  InferParameter value{Kind::kEmpty, 0, {}};
  while (!entry.done()) {
    uint32_t tag;
    if (!entry.ReadTag(&tag)) return Malformed(entry, &at);
    if (tag == BytesTag(1)) {
      MAAS_RETURN_IF_ERROR(ReadText(&entry, &at, "key", kMaxNameBytes, &key));
    } else if (tag == BytesTag(2)) {
      Reader message;
      if (!entry.ReadMessage(&message)) return Malformed(entry, &at);
      MAAS_RETURN_IF_ERROR(ReadValue(message, &at, &value));
    } else if (!entry.Skip(tag)) {
      return Malformed(entry, &at);
    }
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == key) values[i] = value;
  }
  return {};
}

Status ToBool(const FieldPath* owner, std::string_view name, const InferParameter& parameter, bool* out) {
  if (!parameter.present()) return {};
  if (parameter.kind != Kind::kBool) return WrongType(owner, name, "a bool", parameter.kind);
  *out = parameter.bits != 0;
  return {};
}

Status ToInteger(const FieldPath* owner, std::string_view name, const InferParameter& parameter, int64_t min,
                 int64_t max, int64_t* out) {
  const auto outside = [&](const std::string& got) {
    const bool open = max == std::numeric_limits<int64_t>::max();
    return Refuse(owner, name,
                  "expected " + std::to_string(min) + (open ? " or more" : " to " + std::to_string(max)) +
                      ", got " + got);
  };
  int64_t value = 0;
  switch (parameter.kind) {
    case Kind::kAbsent:
      return {};
    case Kind::kInt64:
      value = static_cast<int64_t>(parameter.bits);
      break;
    case Kind::kUint64:
      if (parameter.bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return outside(std::to_string(parameter.bits));
      value = static_cast<int64_t>(parameter.bits);
      break;
    case Kind::kString:
      if (!ParseNumber(parameter.text, &value))
        return Refuse(owner, name, "expected an integer, got " + Quoted(parameter.text));
      break;
    default:
      return WrongType(owner, name, "an integer", parameter.kind);
  }
  if (value < min || value > max) return outside(std::to_string(value));
  *out = value;
  return {};
}

Status ToText(const FieldPath* owner, std::string_view name, const InferParameter& parameter, size_t limit,
              std::string_view* out) {
  if (!parameter.present()) return {};
  if (parameter.kind != Kind::kString) return WrongType(owner, name, "a string", parameter.kind);
  if (parameter.text.empty() || parameter.text.size() > limit) {
    return Refuse(
        owner, name,
        "expected 1 to " + std::to_string(limit) + " bytes, got " + std::to_string(parameter.text.size()));
  }
  *out = parameter.text;
  return {};
}

Status ToFloats(const FieldPath* owner, std::string_view name, const InferParameter& parameter,
                std::vector<float>* out) {
  switch (parameter.kind) {
    case Kind::kAbsent:
      return {};
    case Kind::kDouble:
      out->push_back(ToFloat(std::bit_cast<double>(parameter.bits)));
      return {};
    case Kind::kInt64:
      out->push_back(static_cast<float>(static_cast<int64_t>(parameter.bits)));
      return {};
    case Kind::kUint64:
      out->push_back(static_cast<float>(parameter.bits));
      return {};
    case Kind::kString:
      return ParseList(owner, name, parameter.text, "a number, or several with commas between", out);
    default:
      return WrongType(owner, name, "a double, or a string of several with commas between", parameter.kind);
  }
}

Status ToIntegers(const FieldPath* owner, std::string_view name, const InferParameter& parameter,
                  std::vector<int32_t>* out) {
  if (!parameter.present()) return {};
  constexpr std::string_view kExpected = "integers of 32 bits with commas between";
  if (parameter.kind == Kind::kString) return ParseList(owner, name, parameter.text, kExpected, out);
  int64_t value = 0;
  MAAS_RETURN_IF_ERROR(ToInteger(owner, name, parameter, std::numeric_limits<int32_t>::min(),
                                 std::numeric_limits<int32_t>::max(), &value));
  out->push_back(static_cast<int32_t>(value));
  return {};
}

}  // namespace maas
