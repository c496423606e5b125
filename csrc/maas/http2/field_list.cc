#include "maas/http2/field_list.h"

#include <cstdint>

namespace maas {

FieldList::FieldList(Headers headers) {
  for (const HeaderField& field : headers) Add(field.name, field.value);
}

FieldList::FieldList(std::string_view encoded) {
  while (!encoded.empty()) {
    const HeaderField field = TakeField(&encoded);
    Add(field.name, field.value);
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
