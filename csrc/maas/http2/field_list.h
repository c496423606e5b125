// Header fields in nghttp2's form.
//
// Ownership: borrows the texts. Threads: one at a time.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "maas/http2/headers.h"

namespace maas {

class FieldList {
 public:
  explicit FieldList(Headers headers);
  // REQUIRES: it is EncodeFields()'s.
  explicit FieldList(std::string_view encoded);
  FieldList(const FieldList&) = delete;
  FieldList& operator=(const FieldList&) = delete;

  const nghttp2_nv* data() const { return more_.empty() ? few_.data() : more_.data(); }
  size_t size() const { return size_; }

 private:
  void Add(std::string_view name, std::string_view value);
  static constexpr size_t kFew = 16;
  std::array<nghttp2_nv, kFew> few_;
  std::vector<nghttp2_nv> more_;  // All, if they are not few.
  size_t size_ = 0;
};

}  // namespace maas
