// Header fields that outlive the call that brought them: one block of memory for all.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "maas/http2/headers.h"

namespace maas {

class KeptHeaders {
 public:
  void Keep(Headers headers) {
    size_t bytes = 0;
    for (const HeaderField& field : headers)
      bytes += 2 * sizeof(size_t) + field.name.size() + field.value.size();
    block_ = std::make_unique_for_overwrite<char[]>(bytes);
    bytes_ = bytes;
    char* at = block_.get();
    for (const HeaderField& field : headers) at = Write(field.value, Write(field.name, at));
  }
  // As they came; valid until the next Keep().
  std::vector<HeaderField> Fields() const {
    std::vector<HeaderField> fields;
    const char* at = block_.get();
    while (at != block_.get() + bytes_) {
      HeaderField& field = fields.emplace_back();
      at = Read(Read(at, &field.name), &field.value);
    }
    return fields;
  }
  size_t bytes() const { return bytes_; }

 private:
  static char* Write(std::string_view text, char* at) {
    const size_t size = text.size();
    std::memcpy(at, &size, sizeof size);
    if (size > 0) std::memcpy(at + sizeof size, text.data(), size);
    return at + sizeof size + size;
  }
  static const char* Read(const char* at, std::string_view* text) {
    size_t size;
    std::memcpy(&size, at, sizeof size);
    *text = {at + sizeof size, size};
    return at + sizeof size + size;
  }

  std::unique_ptr<char[]> block_;
  size_t bytes_ = 0;
};

}  // namespace maas
