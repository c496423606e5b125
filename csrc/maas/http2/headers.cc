#include "maas/http2/headers.h"

#include <cstdint>

namespace maas {

namespace {

void AppendText(std::string_view text, std::string* to) {
  size_t length = text.size();
  while (length >= 0x80) {
    to->push_back(static_cast<char>(length | 0x80));
    length >>= 7;
  }
  to->push_back(static_cast<char>(length));
  to->append(text);
}

std::string_view TakeText(std::string_view* from) {
  size_t length = 0;
  size_t at = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>((*from)[at++]);
    length |= static_cast<size_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  const std::string_view text = from->substr(at, length);
  from->remove_prefix(at + length);
  return text;
}

}  // namespace

std::string EncodeFields(Headers headers) {
  size_t bytes = 0;
  for (const HeaderField& field : headers) bytes += field.name.size() + field.value.size() + 2;
  std::string encoded;
  encoded.reserve(bytes);  // Few texts have lengths of more than one byte.
  for (const HeaderField& field : headers) {
    AppendText(field.name, &encoded);
    AppendText(field.value, &encoded);
  }
  return encoded;
}

HeaderField TakeField(std::string_view* encoded) {
  const std::string_view name = TakeText(encoded);
  return {name, TakeText(encoded)};
}

}  // namespace maas
