#include "maas/wire/infer_parameter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "maas/wire/decoding.h"
#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::SizeIs;
using Kind = InferParameter::Kind;

constexpr std::array<std::string_view, 2> kNames = {"timeout", "scale"};

MessageBuilder Double(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  return MessageBuilder()
      .Tag(4, WireType::kFixed64)
      .Raw({reinterpret_cast<const char*>(&bits), sizeof(bits)});
}
MessageBuilder Entry(std::string_view key, const MessageBuilder& value) {
  return MessageBuilder().Bytes(1, key).Message(2, value);
}

struct Values {
  std::array<InferParameter, 2> values;
  Status status;
};

// Reads the entries one after the other.
Values ReadAll(const std::vector<MessageBuilder>& entries) {
  Values out;
  for (const MessageBuilder& entry : entries) {
    MessageBuilder field;
    field.Varint(entry.str().size()).Raw(entry.str());
    Reader in(field.bytes());
    out.status = ReadInferParameter(&in, nullptr, kNames, out.values);
    if (!out.status.ok()) break;
  }
  return out;
}

InferParameter Parameter(Kind kind, uint64_t bits) { return {kind, bits, {}}; }
InferParameter Text(std::string_view text) { return {Kind::kString, 0, text}; }

TEST(InferParameter, IsReadByItsNameWhateverItsType) {
  const MessageBuilder values[] = {MessageBuilder().Number(1, 1), MessageBuilder().Number(2, -7),
                                   MessageBuilder().Bytes(3, "t"), Double(0.5),
                                   MessageBuilder().Number(5, 9)};
  const Kind kinds[] = {Kind::kBool, Kind::kInt64, Kind::kString, Kind::kDouble, Kind::kUint64};
  for (size_t i = 0; i < 5; ++i) {
    const std::vector<MessageBuilder> entries{Entry("other", MessageBuilder().Number(2, 3)),
                                              Entry("scale", values[i])};
    const Values read = ReadAll(entries);
    ASSERT_TRUE(read.status.ok()) << read.status.message();
    EXPECT_FALSE(read.values[0].present());
    EXPECT_EQ(read.values[1].kind, kinds[i]);
  }
}

TEST(InferParameter, TheLastEntryAndTheLastValueInItCount) {
  const std::vector<MessageBuilder> entries{Entry("timeout", MessageBuilder().Bytes(3, "first")),
                                            MessageBuilder()
                                                .Message(2, MessageBuilder().Number(2, 5))
                                                .Bytes(1, "scale")
                                                .Message(2, MessageBuilder().Number(5, 6).Number(99, 1))
                                                .Bytes(1, "timeout")
                                                .Number(7, 7)};
  const Values read = ReadAll(entries);
  ASSERT_TRUE(read.status.ok()) << read.status.message();
  EXPECT_EQ(read.values[0].kind, Kind::kUint64);
  EXPECT_EQ(read.values[0].bits, 6U);
  EXPECT_FALSE(read.values[1].present());
}

TEST(InferParameter, OneWithoutAValueIsNotAbsent) {
  const std::vector<MessageBuilder> entries{MessageBuilder().Bytes(1, "timeout"),
                                            Entry("scale", MessageBuilder().Number(77, 1))};
  const Values read = ReadAll(entries);
  int64_t timeout = 0;
  EXPECT_EQ(ToInteger(nullptr, "timeout", read.values[0], 0, 5, &timeout).message(),
            "parameters.timeout: expected an integer, got no value that is known");
  EXPECT_EQ(read.values[1].kind, Kind::kEmpty);
}

TEST(InferParameter, MalformedEntriesAndTextsAreRefusedUnderAnyName) {
  const auto refusal = [](const MessageBuilder& entry) { return ReadAll({entry}).status; };
  const std::pair<MessageBuilder, std::string_view> cases[] = {
      {MessageBuilder().Raw("\x0a\x05x"), "parameters"},
      {MessageBuilder().Bytes(1, "\xff"), "parameters.key"},
      {MessageBuilder().Bytes(1, std::string(257, 'k')), "parameters.key"},
      {Entry("x", MessageBuilder().Raw("\x10")), "parameters"},
      {Entry("x", MessageBuilder().Raw("\x21")), "parameters"},
      {Entry("x", MessageBuilder().Bytes(3, "\xc0\xaf")), "parameters.string_param"},
      {Entry("x", MessageBuilder().Bytes(3, std::string(kMaxParameterBytes + 1, 't'))),
       "parameters.string_param"},
      {Entry("x", MessageBuilder().Raw("\x0c")), "parameters"},
  };
  for (const auto& [entry, field] : cases) {
    const Status status = refusal(entry);
    ASSERT_FALSE(status.ok()) << field;
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_EQ(status.violations().front().field, field);
  }
}

TEST(InferParameter, AbsentOnesChangeNothing) {
  bool flag = true;
  int64_t integer = 4;
  std::string_view text = "t";
  std::vector<float> floats{1};
  std::vector<int32_t> integers{2};
  EXPECT_TRUE(ToBool(nullptr, "x", {}, &flag).ok());
  EXPECT_TRUE(ToInteger(nullptr, "x", {}, 0, 1, &integer).ok());
  EXPECT_TRUE(ToText(nullptr, "x", {}, 1, &text).ok());
  EXPECT_TRUE(ToFloats(nullptr, "x", {}, &floats).ok());
  EXPECT_TRUE(ToIntegers(nullptr, "x", {}, &integers).ok());
  EXPECT_TRUE(flag);
  EXPECT_EQ(integer, 4);
  EXPECT_EQ(text, "t");
  EXPECT_THAT(floats, SizeIs(1));
  EXPECT_THAT(integers, SizeIs(1));
}

TEST(InferParameter, IntegersComeAsInt64Uint64OrText) {
  const auto read = [](const InferParameter& parameter) {
    int64_t value = -1;
    const Status status = ToInteger(nullptr, "n", parameter, 0, 100, &value);
    return status.ok() ? std::to_string(value) : status.message();
  };
  EXPECT_EQ(read(Parameter(Kind::kInt64, 100)), "100");
  EXPECT_EQ(read(Parameter(Kind::kUint64, 0)), "0");
  EXPECT_EQ(read(Text(" 42 ")), "42");
  EXPECT_EQ(read(Text("101")), "parameters.n: expected 0 to 100, got 101");
  EXPECT_EQ(read(Parameter(Kind::kInt64, ~uint64_t{0})), "parameters.n: expected 0 to 100, got -1");
  EXPECT_EQ(read(Parameter(Kind::kUint64, ~uint64_t{0})),
            "parameters.n: expected 0 to 100, got 18446744073709551615");
  EXPECT_EQ(read(Text("4x")), "parameters.n: expected an integer, got '4x'");
  EXPECT_EQ(read(Text("")), "parameters.n: expected an integer, got ''");
  EXPECT_EQ(read(Text("  ")), "parameters.n: expected an integer, got '  '");
  EXPECT_EQ(read(Parameter(Kind::kBool, 1)), "parameters.n: expected an integer, got a bool");
  EXPECT_EQ(read(Parameter(Kind::kDouble, 0)), "parameters.n: expected an integer, got a double");
  int64_t value = 0;
  EXPECT_EQ(ToInteger(nullptr, "n", Parameter(Kind::kInt64, static_cast<uint64_t>(-3)), 0,
                      std::numeric_limits<int64_t>::max(), &value)
                .message(),
            "parameters.n: expected 0 or more, got -3");
}

TEST(InferParameter, ALongTextIsCutInAMessageAboutIt) {
  int64_t value = 0;
  std::string text(63, 'x');
  for (int i = 0; i < 1000; ++i) text += "ä";
  EXPECT_EQ(ToInteger(nullptr, "n", Text(text), 0, 1, &value).message(),
            "parameters.n: expected an integer, got '" + std::string(63, 'x') + "'...");
}

TEST(InferParameter, BoolsAndTextsComeAsThemselvesOnly) {
  bool flag = false;
  ASSERT_TRUE(ToBool(nullptr, "b", Parameter(Kind::kBool, 2), &flag).ok());
  EXPECT_TRUE(flag);
  EXPECT_EQ(ToBool(nullptr, "b", Text("true"), &flag).message(),
            "parameters.b: expected a bool, got a string");
  std::string_view text;
  ASSERT_TRUE(ToText(nullptr, "t", Text("abc"), 3, &text).ok());
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(ToText(nullptr, "t", Text("abcd"), 3, &text).message(),
            "parameters.t: expected 1 to 3 bytes, got 4");
  EXPECT_EQ(ToText(nullptr, "t", Text(""), 3, &text).message(), "parameters.t: expected 1 to 3 bytes, got 0");
  const FieldPath owner{nullptr, "inputs", 2};
  EXPECT_EQ(ToText(&owner, "t", Parameter(Kind::kInt64, 1), 3, &text).message(),
            "inputs[2].parameters.t: expected a string, got an int64");
}

TEST(InferParameter, ScalesComeAsOneNumberOrAListInText) {
  const auto read = [](const InferParameter& parameter) {
    std::vector<float> out;
    EXPECT_TRUE(ToFloats(nullptr, "scale", parameter, &out).ok());
    return out;
  };
  EXPECT_THAT(read(Parameter(Kind::kDouble, std::bit_cast<uint64_t>(0.1))), ElementsAre(0.1F));
  EXPECT_THAT(read(Parameter(Kind::kInt64, 2)), ElementsAre(2.0F));
  EXPECT_THAT(read(Parameter(Kind::kUint64, 3)), ElementsAre(3.0F));
  EXPECT_THAT(read(Text("0.1, 2e-3 ,3")), ElementsAre(0.1F, 2e-3F, 3.0F));
  EXPECT_THAT(read(Parameter(Kind::kDouble, std::bit_cast<uint64_t>(-1e300))),
              ElementsAre(-std::numeric_limits<float>::infinity()));
  std::vector<float> out;
  EXPECT_EQ(ToFloats(nullptr, "scale", Text("1,,2"), &out).message(),
            "parameters.scale: expected a number, or several with commas between, got ''");
  EXPECT_EQ(ToFloats(nullptr, "scale", Parameter(Kind::kBool, 1), &out).message(),
            "parameters.scale: expected a double, or a string of several with commas between, got a bool");
}

TEST(InferParameter, ZeroPointsComeAsOneIntegerOrAListInText) {
  std::vector<int32_t> out;
  ASSERT_TRUE(ToIntegers(nullptr, "zero_point", Text("-5,7"), &out).ok());
  ASSERT_TRUE(ToIntegers(nullptr, "zero_point", Parameter(Kind::kInt64, 128), &out).ok());
  EXPECT_THAT(out, ElementsAre(-5, 7, 128));
  EXPECT_EQ(ToIntegers(nullptr, "zero_point", Text("2147483648"), &out).message(),
            "parameters.zero_point: expected integers of 32 bits with commas between, got '2147483648'");
  EXPECT_EQ(ToIntegers(nullptr, "zero_point", Parameter(Kind::kInt64, uint64_t{1} << 31), &out).message(),
            "parameters.zero_point: expected -2147483648 to 2147483647, got 2147483648");
}

TEST(InferParameter, AListHasALimit) {
  std::string text = "1";
  for (size_t i = 1; i < kMaxScales; ++i) text += ",1";
  std::vector<float> out;
  EXPECT_TRUE(ToFloats(nullptr, "scale", Text(text), &out).ok());
  EXPECT_THAT(out, SizeIs(kMaxScales));
  EXPECT_EQ(ToFloats(nullptr, "scale", Text("1"), &out).message(),
            "parameters.scale: expected at most 65536 entries, got more");
}

}  // namespace
}  // namespace maas
