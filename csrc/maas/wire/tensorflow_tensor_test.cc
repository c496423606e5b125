#include "maas/wire/tensorflow_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

// An entry's message, of `dtype` and of one dimension.
MessageBuilder Entry(int dtype, int64_t size, const MessageBuilder& values) {
  MessageBuilder tensor;
  tensor.Number(1, dtype).Message(2, MessageBuilder().Message(2, MessageBuilder().Number(1, size)));
  return MessageBuilder().Bytes(1, "x").Bytes(2, tensor.str() + values.str());
}

Status Take(const MessageBuilder& message, size_t* room, TensorView* tensor) {
  const FieldPath at{nullptr, "inputs", 0};
  TensorFlowEntry entry;
  const Status status = ScanTensorFlowEntry(Reader(message.bytes()), &at, &entry);
  return status.ok() ? TakeTensorFlowTensor(entry, &at, room, tensor) : status;
}

bool Borrows(const TensorView& tensor, const MessageBuilder& message) {
  return tensor.owned.empty() && tensor.data.data() >= message.bytes().data() &&
         tensor.data.data() + tensor.data.size() <= message.bytes().data() + message.bytes().size();
}

TEST(TensorFlowTensor, CopiesNothingThatTheMessageHasAsTheCoreWantsIt) {
  size_t room = kMaxFilledBytes;
  const std::vector<float> floats = {1, 2};
  const std::vector<MessageBuilder> messages = {
      Entry(1, 2, MessageBuilder().Floats(5, floats)),
      Entry(2, 2, MessageBuilder().Bytes(6, std::string(16, 'd'))),
      Entry(10, 2, MessageBuilder().Packed(11, {1, 0})),
      Entry(3, 2, MessageBuilder().Bytes(4, "12345678")),
  };
  for (const MessageBuilder& message : messages) {
    TensorView tensor;
    ASSERT_TRUE(Take(message, &room, &tensor).ok());
    EXPECT_TRUE(Borrows(tensor, message)) << Name(tensor.datatype);
  }
  EXPECT_EQ(room, kMaxFilledBytes);
}

TEST(TensorFlowTensor, OwnsWhatItConverts) {
  size_t room = kMaxFilledBytes;
  TensorView tensor;
  ASSERT_TRUE(Take(Entry(9, 2, MessageBuilder().Packed(10, {7, -7})), &room, &tensor).ok());
  EXPECT_EQ(tensor.data.data(), tensor.owned.data());
  const TensorView moved = std::move(tensor);
  EXPECT_EQ(moved.data.data(), moved.owned.data());
  EXPECT_THAT(moved.data, SizeIs(16));
}

TEST(TensorFlowTensor, WhatIsRepeatedIsTakenFromTheRoomOfTheRequest) {
  size_t room = 100;
  TensorView tensor;
  const std::vector<float> one = {0.0F};
  ASSERT_TRUE(Take(Entry(1, 11, MessageBuilder().Floats(5, one)), &room, &tensor).ok());
  EXPECT_EQ(room, 60U);
  EXPECT_THAT(tensor.data, SizeIs(44));
  EXPECT_THAT(tensor.data, Each(std::byte{0}));
  ASSERT_TRUE(Take(Entry(7, 4, MessageBuilder().Bytes(8, "abc").Bytes(8, "d")), &room, &tensor).ok());
  EXPECT_EQ(room, 50U);
  EXPECT_EQ(AsText(tensor.data).substr(7), std::string("\1\0\0\0d\1\0\0\0d\1\0\0\0d", 15));
  const Status status = Take(Entry(1, 14, MessageBuilder().Floats(5, one)), &room, &tensor);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.violations().at(0).field, "inputs[0].float_val");
  EXPECT_EQ(room, 50U);
}

TEST(TensorFlowTensor, ARefusalNamesTheTensorItsDatatypeAndItsShape) {
  size_t room = kMaxFilledBytes;
  TensorView tensor;
  const Status many = Take(Entry(6, 2, MessageBuilder().Packed(7, {1, 2, 3})), &room, &tensor);
  EXPECT_EQ(many.message(), "inputs[0].int_val: expected at most 2 values of 'x' (DT_INT8 [2]), got 3");
  const Status wide = Take(Entry(6, 2, MessageBuilder().Packed(7, {1, 256})), &room, &tensor);
  EXPECT_EQ(wide.message(), "inputs[0].int_val: expected numbers of 8 bits of 'x' (DT_INT8 [2]), got 256");
  const Status complex = Take(Entry(8, 1, MessageBuilder()), &room, &tensor);
  EXPECT_THAT(complex.message(), HasSubstr("for 'x', got DT_COMPLEX64"));
  const Status reference = Take(Entry(101, 1, MessageBuilder()), &room, &tensor);
  EXPECT_THAT(reference.message(), HasSubstr("for 'x', got 101"));
}

}  // namespace
}  // namespace maas
