#include "maas/wire/tensorflow_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;

// An entry whose value comes in two messages, which together are one.
struct Scanned {
  Scanned(const MessageBuilder& first, const MessageBuilder& second)
      : message(MessageBuilder().Message(2, first).Bytes(1, "x").Message(2, second)) {
    EXPECT_TRUE(ScanTensorFlowEntry(Reader(message.bytes()), nullptr, &entry).ok());
  }

  MessageBuilder message;
  TensorFlowEntry entry;
};

template <typename Element>
std::vector<Element> Varints(const Scanned& scanned, DataType datatype, bool fits = true,
                             int64_t* bad = nullptr) {
  std::vector<Element> elements(scanned.entry.count);
  int64_t unused = 0;
  EXPECT_EQ(ReadVarintValues(scanned.entry, datatype, reinterpret_cast<std::byte*>(elements.data()),
                             bad == nullptr ? &unused : bad),
            fits);
  return elements;
}

TEST(TensorFlowValues, VarintsKeepTheirOrderHoweverTheyCame) {
  const Scanned scanned(MessageBuilder().Packed(10, {1, -2}).Number(10, 300),
                        MessageBuilder().Packed(10, {4}));
  EXPECT_THAT(Varints<int64_t>(scanned, DataType::kInt64), ElementsAre(1, -2, 300, 4));
}

TEST(TensorFlowValues, ShortIntegersMayBeSignedOrNotAndTellWhatDoesNotFit) {
  const Scanned fits(MessageBuilder().Packed(7, {-128, 255}), MessageBuilder());
  EXPECT_THAT(Varints<uint8_t>(fits, DataType::kUint8), ElementsAre(128, 255));
  EXPECT_THAT(Varints<int8_t>(fits, DataType::kInt8), ElementsAre(-128, -1));
  EXPECT_THAT(Varints<int16_t>(fits, DataType::kInt16), ElementsAre(-128, 255));
  int64_t bad = 0;
  Varints<uint8_t>(Scanned(MessageBuilder().Packed(7, {1, 256, -129, 2}), {}), DataType::kUint8, false, &bad);
  EXPECT_EQ(bad, -129);
  Varints<uint16_t>(Scanned(MessageBuilder().Packed(13, {65536}), {}), DataType::kFp16, false, &bad);
  EXPECT_EQ(bad, 65536);
}

TEST(TensorFlowValues, BoolsBecomeZeroAndOne) {
  const Scanned scanned(MessageBuilder().Packed(11, {0, 1, 2, -1, int64_t{1} << 40}), MessageBuilder());
  EXPECT_THAT(Varints<uint8_t>(scanned, DataType::kBool), ElementsAre(0, 1, 1, 1, 1));
}

TEST(TensorFlowValues, FixedValuesKeepTheirOrderHoweverTheyCame) {
  const std::vector<float> first = {1, 2};
  const std::vector<float> last = {4};
  const Scanned scanned(
      MessageBuilder().Floats(5, first).Tag(5, WireType::kFixed32).Raw(std::string("\0\0\x40\x40", 4)),
      MessageBuilder().Floats(5, last));
  std::vector<float> elements(scanned.entry.count);
  ReadFixedValues(scanned.entry, sizeof(float), reinterpret_cast<std::byte*>(elements.data()));
  EXPECT_THAT(elements, ElementsAre(1, 2, 3, 4));
}

TEST(TensorFlowValues, TextsAreVisitedInOrder) {
  const Scanned scanned(MessageBuilder().Bytes(8, "a").Bytes(8, ""), MessageBuilder().Bytes(8, "b"));
  std::vector<std::string> texts;
  VisitTexts(scanned.entry, [&](auto text) { texts.emplace_back(AsText(text)); });
  EXPECT_THAT(texts, ElementsAre("a", "", "b"));
}

TEST(TensorFlowValues, AFieldOfTheSameNumberAndAnotherWireTypeIsNoValue) {
  const Scanned scanned(MessageBuilder().Tag(7, WireType::kFixed32).Raw("1234").Number(7, 5),
                        MessageBuilder());
  EXPECT_THAT(Varints<int32_t>(scanned, DataType::kInt32), ElementsAre(5));
}

}  // namespace
}  // namespace maas
