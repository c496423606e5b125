// The fields of one HEADERS frame, or of what is to become one.
#pragma once

#include <span>
#include <string_view>

namespace maas {

// Names are lower case; pseudo-fields begin with ':' and come first.
struct HeaderField {
  std::string_view name;
  std::string_view value;
};

using Headers = std::span<const HeaderField>;

// The value of the first field of that name; empty if there is none.
inline std::string_view FindHeader(Headers headers, std::string_view name) {
  for (const HeaderField& field : headers) {
    if (field.name == name) return field.value;
  }
  return {};
}

}  // namespace maas
