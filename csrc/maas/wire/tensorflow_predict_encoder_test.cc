#include "maas/wire/tensorflow_predict_encoder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "maas/wire/golden_testing.h"
#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

template <typename Element>
std::string Raw(std::initializer_list<Element> elements) {
  std::string out(elements.size() * sizeof(Element), '\0');
  std::memcpy(out.data(), elements.begin(), out.size());
  return out;
}

// An output as the core has it, under the name of the golden message that it must become.
struct Case {
  const char* golden;
  DataType datatype;
  Dims shape;
  std::string data;
};

std::vector<Case> Cases() {
  std::string floats;
  for (int i = 0; i < 300; ++i) floats += Raw({static_cast<float>(i) / 4});
  const std::string strings =
      std::string("\1\0\0\0a\0\0\0\0\310\0\0\0", 13) + std::string(200, static_cast<char>(0xff));
  return {
      {"float", DataType::kFp32, {2, 150}, floats},
      {"double", DataType::kFp64, {2}, Raw({0.1, -1e300})},
      {"bool", DataType::kBool, {3}, std::string("\1\0\1", 3)},
      {"int8", DataType::kInt8, {3}, Raw<int8_t>({-128, 127, 0})},
      {"uint8", DataType::kUint8, {3}, Raw<uint8_t>({255, 128, 0})},
      {"int16", DataType::kInt16, {2}, Raw<int16_t>({-32768, 32767})},
      {"uint16", DataType::kUint16, {2}, Raw<uint16_t>({65535, 1})},
      {"int32", DataType::kInt32, {2}, Raw<int32_t>({INT32_MIN, INT32_MAX})},
      {"int64", DataType::kInt64, {2}, Raw<int64_t>({INT64_MIN, INT64_MAX})},
      {"uint32", DataType::kUint32, {2}, Raw<uint32_t>({UINT32_MAX, 0})},
      {"uint64", DataType::kUint64, {2}, Raw<uint64_t>({UINT64_MAX, 5})},
      {"half", DataType::kFp16, {2}, Raw<uint16_t>({0x3C00, 0xFFFF})},
      {"bfloat16", DataType::kBf16, {1}, Raw<uint16_t>({0x3F80})},
      {"string", DataType::kBytes, {3}, strings},
      {"scalar", DataType::kFp32, {}, Raw({2.5F})},
      {"empty", DataType::kInt64, {0, 4}, ""},
  };
}

std::string Encode(const Case& c) {
  std::string data = c.data;
  if (TensorFlowElementForm(c.datatype, false) == ElementForm::kTranscoded) {
    data.clear();
    TranscodeToTensorFlow(c.datatype, AsBytes(c.data), &data);
  }
  const std::vector<OutputHead> outputs = {{c.golden == std::string("float") ? "logits" : "y", c.datatype,
                                            c.shape, data.size(), nullptr, nullptr, 0}};
  ResponseHead head;
  head.id = "not in this message";
  head.model = "m";
  head.version = 300;
  head.outputs = outputs;
  head.receipt = {1, 2, 3, 4};
  std::vector<std::byte> buffer(TensorFlowPredictResponseSize(head), std::byte{0xee});
  std::byte* hole = nullptr;
  WriteTensorFlowPredictResponse(head, buffer.data(), &hole);
  std::copy_n(AsBytes(data).begin(), data.size(), hole);
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

TEST(TensorFlowPredictEncoder, WritesWhatProtobufWrites) {
  for (const Case& c : Cases()) {
    const auto path = GoldenFolder("tensorflow_response") / c.golden / "message.bin";
    const std::string golden = ReadGoldenFile(path);
    ASSERT_FALSE(golden.empty()) << path;
    EXPECT_EQ(Encode(c), golden) << c.golden;
  }
}

TEST(TensorFlowPredictEncoder, OnlyWhatTravelsAsItLiesIsNotTranscoded) {
  for (const Case& c : Cases()) {
    // Not BOOL: a model may leave other bytes than 0 and 1, which would be no varints.
    const bool raw = c.datatype == DataType::kFp32 || c.datatype == DataType::kFp64;
    EXPECT_EQ(TensorFlowElementForm(c.datatype, false), raw ? ElementForm::kRaw : ElementForm::kTranscoded)
        << Name(c.datatype);
  }
}

TEST(TensorFlowPredictEncoder, AnAnswerWithoutOutputsHasItsModelSpec) {
  ResponseHead head;
  head.model = "m";
  std::vector<std::byte> buffer(TensorFlowPredictResponseSize(head));
  WriteTensorFlowPredictResponse(head, buffer.data(), nullptr);
  const MessageBuilder expected =
      MessageBuilder().Message(2, MessageBuilder().Bytes(1, "m").Bytes(2, "").Bytes(3, "serving_default"));
  EXPECT_EQ((std::string_view{reinterpret_cast<const char*>(buffer.data()), buffer.size()}), expected.str());
}

}  // namespace
}  // namespace maas
