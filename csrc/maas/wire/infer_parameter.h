// The parameters of the Open Inference Protocol: maps from a name to one value of a choice of types.
//
//   map entry := key (1, string), value (2, InferParameter)
//   InferParameter := bool (1) | int64 (2) | string (3) | double (4) | uint64 (5)
//
// Usage:
//   std::array<InferParameter, 2> values;
//   ReadInferParameter(&in, owner, {"timeout", "priority"}, values);       // once per entry of the map
//   ToInteger(owner, "timeout", values[0], 0, kMaxTimeoutUs, &timeout_us);  // untouched if there was none
//
// Clients differ in the types that they send: an integer may come as int64, uint64 or decimal text, a list of
// numbers as text with commas. Ownership: borrows texts from the message. Threads: pure functions.
// Errors: INVALID_ARGUMENT about "parameters.<name>" of the owner (null: the request).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/status.h"
#include "maas/wire/field_path.h"
#include "maas/wire/reader.h"

namespace maas {

inline constexpr size_t kMaxParameterBytes = size_t{1} << 20;

struct InferParameter {
  enum class Kind : uint8_t { kAbsent, kEmpty, kBool, kInt64, kString, kDouble, kUint64 };

  Kind kind = Kind::kAbsent;  // kEmpty: the name was there, but no value that is known.
  uint64_t bits = 0;          // Of a number.
  std::string_view text;

  bool present() const { return kind != Kind::kAbsent; }
};

// Reads one entry of the map into the element of `values` that is called as in `names`; others are checked
// and ignored. The last of several entries with one name wins. REQUIRES: as many values as names.
Status ReadInferParameter(Reader* in, const FieldPath* owner, std::span<const std::string_view> names,
                          std::span<InferParameter> values);

// Each leaves *out as it is when the parameter is absent, and refuses one of another type.
Status ToBool(const FieldPath* owner, std::string_view name, const InferParameter& parameter, bool* out);
Status ToInteger(const FieldPath* owner, std::string_view name, const InferParameter& parameter, int64_t min,
                 int64_t max, int64_t* out);
// One to `limit` bytes.
Status ToText(const FieldPath* owner, std::string_view name, const InferParameter& parameter, size_t limit,
              std::string_view* out);
// One number, or several as text: "0.5, 0.25". At most kMaxScales.
Status ToFloats(const FieldPath* owner, std::string_view name, const InferParameter& parameter,
                std::vector<float>* out);
Status ToIntegers(const FieldPath* owner, std::string_view name, const InferParameter& parameter,
                  std::vector<int32_t>* out);

}  // namespace maas
