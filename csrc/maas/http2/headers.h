// The fields of one HEADERS frame, or of what is to become one, and how they are kept.
//
// Ownership: they borrow their texts. Threads: pure functions.
#pragma once

#include <span>
#include <string>
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

// One string for all: each name and value after its length, seven bits a byte. The usual trailers fit into a
// string that needs no memory of its own.
std::string EncodeFields(Headers headers);
// Takes the first field off the front of *encoded; it borrows from there. REQUIRES: EncodeFields() made it,
// and it is not empty.
HeaderField TakeField(std::string_view* encoded);

}  // namespace maas
