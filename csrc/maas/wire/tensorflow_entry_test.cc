#include "maas/wire/tensorflow_entry.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

TensorFlowEntry Scan(const MessageBuilder& message) {
  TensorFlowEntry entry;
  const Status status = ScanTensorFlowEntry(Reader(message.bytes()), nullptr, &entry);
  EXPECT_TRUE(status.ok()) << status.message();
  return entry;
}

MessageBuilder Entry(const MessageBuilder& tensor) {
  return MessageBuilder().Bytes(1, "x").Message(2, tensor);
}

TEST(TensorFlowEntry, FindsNameDatatypeShapeAndContent) {
  const MessageBuilder message =
      Entry(MessageBuilder()
                .Number(1, 3)
                .Message(2, MessageBuilder().Message(2, MessageBuilder().Number(1, 5)).Message(2, {}))
                .Bytes(4, "abc"));
  const TensorFlowEntry entry = Scan(message);
  EXPECT_EQ(entry.name, "x");
  EXPECT_EQ(entry.dtype, 3);
  EXPECT_EQ(entry.shape, Dims({5, 0}));
  EXPECT_EQ(AsText(entry.content), "abc");
  EXPECT_EQ(entry.field, 0U);
}

TEST(TensorFlowEntry, CountsValuesInWhateverFormTheyCame) {
  const MessageBuilder message =
      Entry(MessageBuilder().Packed(10, {1, 300}).Number(10, 3).Bytes(10, "").Packed(10, {-1}));
  const TensorFlowEntry entry = Scan(message);
  EXPECT_EQ(entry.field, 10U);
  EXPECT_EQ(entry.second_field, 0U);
  EXPECT_EQ(entry.count, 4U);
  EXPECT_TRUE(entry.packed.empty());
}

TEST(TensorFlowEntry, KnowsWhereValuesLieThatCameInOnePiece) {
  const MessageBuilder message = Entry(MessageBuilder().Floats(5, std::vector<float>{1, 2}));
  const TensorFlowEntry entry = Scan(message);
  EXPECT_EQ(entry.count, 2U);
  EXPECT_EQ(entry.packed.data(), message.bytes().data() + message.bytes().size() - 8);
}

TEST(TensorFlowEntry, RemembersThatValuesAreInMoreThanOneField) {
  const MessageBuilder message =
      Entry(MessageBuilder().Bytes(8, "").Floats(5, std::vector<float>{1}).Packed(7, {}));
  const TensorFlowEntry entry = Scan(message);
  EXPECT_EQ(entry.field, 8U);
  EXPECT_EQ(entry.second_field, 5U);
}

// As protobuf's C++ and Java do; its Python implementation drops such an entry.
TEST(TensorFlowEntry, StepsOverUnknownFieldsOfTheEntryItself) {
  const MessageBuilder message =
      MessageBuilder().Number(9, 1).Bytes(1, "x").Bytes(10, "?").Message(2, MessageBuilder().Number(1, 3));
  const TensorFlowEntry entry = Scan(message);
  EXPECT_EQ(entry.name, "x");
  EXPECT_EQ(entry.dtype, 3);
}

}  // namespace
}  // namespace maas
