#include "maas/http2/field_list.h"

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
  std::string encoded;
  for (const HeaderField& field : headers) {
    AppendText(field.name, &encoded);
    AppendText(field.value, &encoded);
  }
  return encoded;
}

FieldList::FieldList(Headers headers) {
  for (const HeaderField& field : headers) Add(field.name, field.value);
}

FieldList::FieldList(std::string_view encoded) {
  while (!encoded.empty()) {
    const std::string_view name = TakeText(&encoded);
    Add(name, TakeText(&encoded));
  }
}

void FieldList::Add(std::string_view name, std::string_view value) {
  // nghttp2 copies both and writes to neither.
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  const nghttp2_nv field{bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  if (size_ < kFew) {
    few_[size_++] = field;
    return;
  }
  if (more_.empty()) more_.assign(few_.begin(), few_.end());
  more_.push_back(field);
  ++size_;
}

}  // namespace maas
