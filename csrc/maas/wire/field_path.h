// Names a field of a request for messages about it, such as "inputs[1].quantization.scales".
//
// A chain of links on the callers' stacks: nothing is built until an error needs the text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "maas/base/status.h"

namespace maas {

struct FieldPath {
  const FieldPath* parent = nullptr;  // Outlives this. Null: the request itself.
  std::string_view name;
  std::ptrdiff_t index = -1;  // Into a repeated field; -1: none.
};

// Empty for a null path.
std::string ToString(const FieldPath* path);

// INVALID_ARGUMENT about the field `name` (an element of it, if index >= 0) of `parent`.
inline Status InvalidField(const FieldPath* parent, std::string_view name, std::string description,
                           std::ptrdiff_t index = -1) {
  const FieldPath path{parent, name, index};
  return Status::Invalid(ToString(&path), std::move(description));
}

// A failure that names a field, said of that field of `parent`. REQUIRES: it has a violation.
inline Status FieldFailure(const FieldPath* parent, const Status& failure) {
  const Violation& violation = failure.violations().front();
  return InvalidField(parent, violation.field, violation.description);
}

}  // namespace maas
