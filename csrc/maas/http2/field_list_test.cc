#include "maas/http2/field_list.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace maas {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields Read(const FieldList& list) {
  Fields fields;
  for (size_t i = 0; i < list.size(); ++i) {
    const nghttp2_nv& field = list.data()[i];
    fields.emplace_back(std::string(reinterpret_cast<const char*>(field.name), field.namelen),
                        std::string(reinterpret_cast<const char*>(field.value), field.valuelen));
  }
  return fields;
}

Fields Make(size_t count) {
  Fields fields;
  for (size_t i = 0; i < count; ++i) {
    std::string value(i * 3000 % 20011, 'v');
    if (i % 3 == 0) value += std::string("\0\xff\x80", 3);
    fields.emplace_back("name-" + std::to_string(i), value);
  }
  return fields;
}

std::vector<HeaderField> Views(const Fields& fields) {
  std::vector<HeaderField> views;
  for (const auto& [name, value] : fields) views.push_back({name, value});
  return views;
}

TEST(FieldList, HasTheFieldsInOrder) {
  for (const size_t count : {0U, 1U, 15U, 16U, 17U, 100U}) {
    const Fields fields = Make(count);
    EXPECT_EQ(Read(FieldList(Views(fields))), fields) << count;
  }
}

TEST(FieldList, ReadsWhatWasEncoded) {
  for (const size_t count : {0U, 1U, 16U, 17U, 100U}) {
    const Fields fields = Make(count);
    const std::string encoded = EncodeFields(Views(fields));
    EXPECT_EQ(Read(FieldList(std::string_view(encoded))), fields) << count;
  }
}

}  // namespace
}  // namespace maas
