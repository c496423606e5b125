#include "maas/wire/decoding.h"

#include <gtest/gtest.h>

#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

TEST(Decoding, MalformedBytesAreReportedAtTheMessageThatTheyAreIn) {
  const MessageBuilder cut = MessageBuilder().Varint(5).Raw("ab");
  Reader in(cut.bytes());
  std::span<const std::byte> bytes;
  ASSERT_FALSE(in.ReadBytes(&bytes));
  const FieldPath path{nullptr, "inputs", 2};
  EXPECT_EQ(Malformed(in, &path).violations().front().field, "inputs[2]");
  EXPECT_EQ(Malformed(in, nullptr).violations().front().field, "request");
}

TEST(Decoding, ATextIsBoundedAndUtf8) {
  const auto read = [](std::string_view text, std::string_view* out) {
    const MessageBuilder message = MessageBuilder().Varint(text.size()).Raw(text);
    Reader in(message.bytes());
    const Status status = ReadText(&in, nullptr, "name", 4, out);
    return status.ok() ? "" : status.message();
  };
  std::string_view text;
  EXPECT_EQ(read("abcd", &text), "");
  EXPECT_EQ(text.size(), 4U);
  EXPECT_EQ(read("abcde", &text), "name: expected at most 4 bytes, got 5");
  EXPECT_EQ(read("\xff", &text), "name: expected UTF-8, got bytes that are not");
}

TEST(Decoding, NumbersOf32BitsAreCutAsProtobufCutsThem) {
  EXPECT_EQ(AsInt32((uint64_t{1} << 32) + 5), 5);
  EXPECT_EQ(AsInt32(~uint64_t{0}), -1);
}

}  // namespace
}  // namespace maas
