#include "maas/wire/typed_contents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "maas/wire/decoding.h"
#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

constexpr uint32_t kContents = 5;

template <typename T>
std::string BytesOf(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(std::data(values)), values.size() * sizeof(T)};
}

struct Decoded {
  Decoded(DataType type, const Dims& shape, const std::vector<MessageBuilder>& contents) {
    MessageBuilder tensor;
    for (const MessageBuilder& each : contents) tensor.Number(9, 1).Message(kContents, each);
    message = tensor.str();
    view.name = "x";
    view.datatype = type;
    view.shape = shape;
    const FieldPath path{nullptr, "inputs", 0};
    status = DecodeTypedContents(Reader(AsBytes(message)), kContents, &path, &view);
  }

  std::string Data() const {
    EXPECT_TRUE(status.ok()) << status.message();
    return std::string(AsText(view.data));
  }
  bool Borrows() const { return !view.data.empty() && view.owned.empty(); }

  std::string message;
  TensorView view;
  Status status;
};

TEST(TypedContents, ElementsThatLieAsTheCoreWantsThemAreBorrowed) {
  const std::string floats = BytesOf<float>({1.5F, -2});
  const Decoded fp32(DataType::kFp32, {2}, {MessageBuilder().Bytes(6, floats)});
  EXPECT_EQ(fp32.Data(), floats);
  EXPECT_TRUE(fp32.Borrows());
  const std::string doubles = BytesOf<double>({1.5, -2});
  const Decoded fp64(DataType::kFp64, {2}, {MessageBuilder().Bytes(7, doubles)});
  EXPECT_EQ(fp64.Data(), doubles);
  EXPECT_TRUE(fp64.Borrows());
  const Decoded bools(DataType::kBool, {3}, {MessageBuilder().Packed(1, {1, 0, 1})});
  EXPECT_EQ(bools.Data(), std::string("\1\0\1", 3));
  EXPECT_TRUE(bools.Borrows());
}

TEST(TypedContents, EveryIntegerIsConvertedToItsWidth) {
  const auto data = [](DataType type, const MessageBuilder& contents) {
    return Decoded(type, {2}, {contents}).Data();
  };
  EXPECT_EQ(data(DataType::kInt8, MessageBuilder().Packed(2, {-128, 127})), BytesOf<int8_t>({-128, 127}));
  EXPECT_EQ(data(DataType::kInt16, MessageBuilder().Packed(2, {-32768, 32767})),
            BytesOf<int16_t>({-32768, 32767}));
  EXPECT_EQ(data(DataType::kInt32, MessageBuilder().Packed(2, {INT32_MIN, INT32_MAX})),
            BytesOf<int32_t>({INT32_MIN, INT32_MAX}));
  EXPECT_EQ(data(DataType::kInt64, MessageBuilder().Packed(3, {INT64_MIN, INT64_MAX})),
            BytesOf<int64_t>({INT64_MIN, INT64_MAX}));
  EXPECT_EQ(data(DataType::kUint8, MessageBuilder().Packed(4, {0, 255})), BytesOf<uint8_t>({0, 255}));
  EXPECT_EQ(data(DataType::kUint16, MessageBuilder().Packed(4, {0, 65535})), BytesOf<uint16_t>({0, 65535}));
  EXPECT_EQ(data(DataType::kUint32, MessageBuilder().Packed(4, {0, UINT32_MAX})),
            BytesOf<uint32_t>({0, UINT32_MAX}));
  EXPECT_EQ(data(DataType::kUint64, MessageBuilder().Packed(5, {0, -1})), BytesOf<uint64_t>({0, UINT64_MAX}));
}

TEST(TypedContents, VarintsOf32BitFieldsAreCutBeforeTheirRangeIsChecked) {
  const Decoded cut(DataType::kInt8, {1}, {MessageBuilder().Packed(2, {(int64_t{1} << 32) + 5})});
  EXPECT_EQ(cut.Data(), BytesOf<int8_t>({5}));
  const Decoded wide(DataType::kUint8, {1}, {MessageBuilder().Packed(4, {-(int64_t{1} << 32) + 7})});
  EXPECT_EQ(wide.Data(), BytesOf<uint8_t>({7}));
}

TEST(TypedContents, PiecesAreJoinedPackedOrNotInOneMessageOrSeveral) {
  const std::string one = BytesOf<float>({1});
  const Decoded floats(DataType::kFp32, {4},
                       {MessageBuilder().Bytes(6, one).Tag(6, WireType::kFixed32).Raw(BytesOf<float>({2})),
                        MessageBuilder(), MessageBuilder().Bytes(6, "").Bytes(6, BytesOf<float>({3, 4}))});
  EXPECT_EQ(floats.Data(), BytesOf<float>({1, 2, 3, 4}));
  EXPECT_FALSE(floats.Borrows());
  const Decoded doubles(
      DataType::kFp64, {2},
      {MessageBuilder().Tag(7, WireType::kFixed64).Raw(BytesOf<double>({1})).Bytes(7, BytesOf<double>({2}))});
  EXPECT_EQ(doubles.Data(), BytesOf<double>({1, 2}));
  const Decoded integers(DataType::kInt16, {2, 2},
                         {MessageBuilder().Number(2, -1).Packed(2, {2, 3}), MessageBuilder().Number(2, 4)});
  EXPECT_EQ(integers.Data(), BytesOf<int16_t>({-1, 2, 3, 4}));
}

TEST(TypedContents, ABoolOfAnyNumberButZeroIsTrue) {
  const Decoded bools(DataType::kBool, {4}, {MessageBuilder().Packed(1, {2, 0, 1, int64_t{1} << 40})});
  EXPECT_EQ(bools.Data(), std::string("\1\0\1\1", 4));
  EXPECT_FALSE(bools.Borrows());
}

TEST(TypedContents, TextsGetTheirLengthsBeforeThem) {
  const Decoded texts(DataType::kBytes, {3},
                      {MessageBuilder().Bytes(8, "abc").Bytes(8, ""), MessageBuilder().Bytes(8, "\xff")});
  EXPECT_EQ(texts.Data(), std::string("\3\0\0\0abc\0\0\0\0\1\0\0\0\xff", 16));
}

TEST(TypedContents, OneElementOfAScalarCounts) {
  EXPECT_EQ(Decoded(DataType::kInt32, {}, {MessageBuilder().Number(2, 7)}).Data(), BytesOf<int32_t>({7}));
}

TEST(TypedContents, NothingIsLeftToTheSignature) {
  EXPECT_EQ(Decoded(DataType::kFp32, {2}, {MessageBuilder()}).Data(), "");
  EXPECT_EQ(Decoded(DataType::kFp16, {2}, {MessageBuilder().Bytes(2, "").Number(77, 1)}).Data(), "");
  EXPECT_EQ(Decoded(DataType::kFp32, {-1}, {MessageBuilder().Bytes(6, "1234")}).Data(), "")
      << "a shape that is none is refused with the signature at hand";
}

TEST(TypedContents, ARefusalNamesTheElementAndTheValue) {
  const auto message = [](DataType type, const Dims& shape, const MessageBuilder& contents) {
    const Decoded decoded(type, shape, {contents});
    return decoded.status.ok() ? "" : decoded.status.message();
  };
  const std::string at = "inputs[0].contents.";
  EXPECT_EQ(message(DataType::kInt8, {2}, MessageBuilder().Packed(2, {1, 300})),
            at + "int_contents[1]: expected -128 to 127, got 300");
  EXPECT_EQ(message(DataType::kInt16, {1}, MessageBuilder().Number(2, -40000)),
            at + "int_contents[0]: expected -32768 to 32767, got -40000");
  EXPECT_EQ(message(DataType::kUint8, {3}, MessageBuilder().Packed(4, {1, 2}).Number(4, -1)),
            at + "uint_contents[2]: expected 0 to 255, got 4294967295");
  EXPECT_EQ(message(DataType::kInt32, {2}, MessageBuilder().Packed(2, {1, 2, 3})),
            at + "int_contents: expected 2 elements for 'x' (INT32 [2]), got 3");
  EXPECT_EQ(message(DataType::kBytes, {0}, MessageBuilder().Bytes(8, "")),
            at + "bytes_contents: expected 0 elements for 'x' (BYTES [0]), got 1");
  EXPECT_EQ(message(DataType::kFp32, {1}, MessageBuilder().Packed(2, {1})),
            at + "int_contents: expected none, as the elements of FP32 belong into fp32_contents, got some");
  EXPECT_EQ(
      message(DataType::kFp32, {1}, MessageBuilder().Bytes(6, "1234").Bytes(8, "")),
      at + "bytes_contents: expected none, as the elements of FP32 belong into fp32_contents, got some");
  EXPECT_EQ(message(DataType::kFp16, {1}, MessageBuilder().Bytes(6, "1234")),
            at + "fp32_contents: expected none, as FP16 has no typed form and needs raw contents, got some");
}

TEST(TypedContents, MalformedOnesAreRefused) {
  const auto message = [](DataType type, const MessageBuilder& contents) {
    const Decoded decoded(type, {1}, {contents});
    return decoded.status.ok() ? "" : decoded.status.message();
  };
  const std::string malformed = "inputs[0].contents: expected a protobuf message, got malformed bytes: ";
  EXPECT_EQ(message(DataType::kFp32, MessageBuilder().Bytes(6, "123")),
            "inputs[0].contents.fp32_contents: expected numbers of 4 bytes, got 3 bytes");
  EXPECT_EQ(
      message(DataType::kInt8, MessageBuilder().Bytes(2, "\x80")),
      "inputs[0].contents.int_contents: expected packed numbers, got malformed bytes: truncated varint");
  EXPECT_EQ(message(DataType::kInt64, MessageBuilder().Bytes(3, std::string(10, '\x80') + '\1')),
            malformed + "a varint is longer than 10 bytes");
  EXPECT_EQ(message(DataType::kInt64, MessageBuilder().Raw("\x18\x80")), malformed + "truncated varint");
  EXPECT_EQ(message(DataType::kFp64, MessageBuilder().Raw("\x39\1")), malformed + "truncated value");
  EXPECT_EQ(message(DataType::kBytes, MessageBuilder().Raw("\x42\x05x")),
            malformed + "a length goes past the end of the message");
}

TEST(TypedContents, MemoryIsBoundedByWhatWasSent) {
  const Decoded many(DataType::kInt64, {int64_t{1} << 40}, {MessageBuilder().Packed(3, {1})});
  EXPECT_FALSE(many.status.ok());
  EXPECT_EQ(many.view.owned.capacity(), 0U);
  const Decoded ones(DataType::kInt64, {1000}, {MessageBuilder().Bytes(3, std::string(1000, '\1'))});
  EXPECT_EQ(ones.Data().size(), 8000U);
}

TEST(TypedContents, WhatIsAppendedReadsBackAsItWas) {
  const auto round_trip = [](DataType type, const std::string& raw, int64_t count) {
    std::string typed = "before";
    AppendTyped(type, AsBytes(raw), &typed);
    EXPECT_EQ(typed.substr(0, 6), "before");
    typed.erase(0, 6);
    MessageBuilder contents;
    type == DataType::kBytes ? contents.Raw(typed) : contents.Bytes(TypedField(type), typed);
    EXPECT_EQ(Decoded(type, {count}, {contents}).Data(), raw) << Name(type);
  };
  round_trip(DataType::kInt8, BytesOf<int8_t>({-128, -1, 0, 127}), 4);
  round_trip(DataType::kInt16, BytesOf<int16_t>({-32768, 300}), 2);
  round_trip(DataType::kInt32, BytesOf<int32_t>({INT32_MIN, INT32_MAX}), 2);
  round_trip(DataType::kInt64, BytesOf<int64_t>({INT64_MIN, 0, INT64_MAX}), 3);
  round_trip(DataType::kUint8, BytesOf<uint8_t>({0, 255}), 2);
  round_trip(DataType::kUint16, BytesOf<uint16_t>({65535}), 1);
  round_trip(DataType::kUint32, BytesOf<uint32_t>({UINT32_MAX, 1}), 2);
  round_trip(DataType::kUint64, BytesOf<uint64_t>({UINT64_MAX}), 1);
  round_trip(DataType::kBytes, std::string("\0\0\0\0\2\0\0\0hi\0\0\0\0", 14), 3);
  round_trip(DataType::kInt8, "", 0);
  round_trip(DataType::kBool, std::string("\0\1\1", 3), 3);
}

TEST(TypedContents, AByteThatIsTrueToAModelIsAppendedAsOne) {
  std::string typed;
  AppendTyped(DataType::kBool, AsBytes(std::string("\x80\0\xff\2", 4)), &typed);
  EXPECT_EQ(typed, std::string("\1\0\1\1", 4));
}

}  // namespace
}  // namespace maas
