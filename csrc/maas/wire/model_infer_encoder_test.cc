#include "maas/wire/model_infer_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "maas/wire/golden_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/reader.h"

namespace maas {
namespace {

std::string Golden(std::string_view name) {
  return ReadGoldenFile(GoldenFolder("model_infer_response") / name / "message.bin");
}

using SizeFn = size_t (*)(const ResponseHead&);
using WriteFn = void (*)(const ResponseHead&, std::byte*, std::byte**);

// Writes into a buffer of exactly the size that was said, and fills the holes.
std::string Encode(const ResponseHead& head, const std::vector<std::string>& payloads, SizeFn size,
                   WriteFn write) {
  std::vector<std::byte> buffer(size(head), std::byte{0xee});
  std::vector<std::byte*> data(head.outputs.size());
  write(head, buffer.data(), data.data());
  for (size_t i = 0; i < payloads.size(); ++i) {
    EXPECT_EQ(payloads[i].size(), head.outputs[i].data_size);
    std::copy_n(AsBytes(payloads[i]).begin(), payloads[i].size(), data[i]);
  }
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}
std::string EncodeUnary(const ResponseHead& head, const std::vector<std::string>& payloads) {
  return Encode(head, payloads, ModelInferResponseSize, WriteModelInferResponse);
}

// The response that make_model_infer_golden.py calls "full", with each output's bytes.
struct FullResponse {
  FullResponse() {
    for (int i = 0; i < 1200; ++i) payloads[0] += static_cast<char>(i % 251);
    shared.region = "out";
    shared.offset = 16;
    shared.size = 64;
    outputs[3].shared = &shared;
    outputs[3].shared_size = 1;
    head.id = "r1";
    head.model = "resnet";
    head.version = 3;
    head.outputs = outputs;
    head.receipt = {12345, 6, 64, 2};
  }

  Quantization per_axis{{0.5F, 0.1F}, {128, -1}, true, 0};
  Quantization single{{0.25F}, {-3}, false, 0};
  SharedMemoryView shared;
  std::vector<OutputHead> outputs = {{"logits", DataType::kFp32, {1, 300}, 1200},
                                     {"probs", DataType::kUint8, {2, 1}, 2, &per_axis},
                                     {"none", DataType::kInt64, {0, 4}},
                                     {"one", DataType::kInt8, {}, 0, &single}};
  std::vector<std::string> payloads = {"", "\x07\x09", "", ""};
  ResponseHead head;
};

TEST(ModelInferEncoder, WritesWhatProtobufWrites) {
  const FullResponse full;
  EXPECT_EQ(EncodeUnary(full.head, full.payloads), Golden("full"));
  EXPECT_EQ(EncodeUnary({}, {}), Golden("minimal"));
}

TEST(ModelInferEncoder, WrapsTheAnswerOfAStreamAndMarksItAsTheLast) {
  const FullResponse full;
  EXPECT_EQ(Encode(full.head, full.payloads, ModelStreamInferResponseSize, WriteModelStreamInferResponse),
            Golden("stream"));
}

TEST(ModelInferEncoder, PutsTypedValuesIntoTheFieldsOfTheirDatatypes) {
  const OutputHead outputs[] = {{"f", DataType::kFp32, {2}, 8},
                                {"i", DataType::kInt8, {2}, 11},
                                {"s", DataType::kBytes, {2}, 6},
                                {"b", DataType::kBool, {2}, 2},
                                {"none", DataType::kInt64, {0}}};
  ResponseHead head{"", "m", 1, outputs, {}};
  head.typed = true;
  const float floats[] = {0.5F, -3.0F};
  const std::vector<std::string> payloads = {
      std::string(reinterpret_cast<const char*>(floats), sizeof(floats)),
      MessageBuilder().Varint(~uint64_t{0}).Varint(5).str(),
      MessageBuilder().Bytes(8, "ab").Bytes(8, "").str(), std::string("\1\0", 2), ""};
  EXPECT_EQ(EncodeUnary(head, payloads), Golden("typed"));
}

TEST(ModelInferEncoder, TheSizeDoesNotDependOnTheScalesThatAreChosenLater) {
  Quantization q{std::vector<float>(3, 1.0F), {0, 0, 0}, true, 1};
  const OutputHead output{"y", DataType::kInt8, {1, 3}, 3, &q};
  const ResponseHead head{"", "m", 1, {&output, 1}, {}};
  const size_t size = ModelInferResponseSize(head);
  q.scales = {std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max(), 0.1F};
  EXPECT_EQ(ModelInferResponseSize(head), size);
  const std::string message = EncodeUnary(head, {"abc"});
  EXPECT_THAT(message, testing::HasSubstr("1.40129846e-45,3.40282347e+38,1.00000001e-01"));
  q.scales.resize(1);
  q.zero_points.resize(1);
  const size_t single = ModelInferResponseSize(head);
  q.scales[0] = 1e-20F;
  EXPECT_EQ(ModelInferResponseSize(head), single);
}

TEST(ModelInferEncoder, SizesMessagesAtTheBoundariesOfTheirLengths) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{126}, size_t{127}, size_t{128},
                            size_t{16383}, size_t{16384}, size_t{2097151}, size_t{2097152}}) {
    for (const bool typed : {false, true}) {
      const OutputHead output{"x", DataType::kFp32, {static_cast<int64_t>(size)}, size};
      ResponseHead head{"i", "m", 1, {&output, 1}, {}};
      head.typed = typed;
      const std::string payload(size, 'p');
      const std::string message =
          Encode(head, {payload}, ModelStreamInferResponseSize, WriteModelStreamInferResponse);
      ASSERT_EQ(message.substr(message.size() - size), payload);
      // The one field that the message is ends with it.
      Reader in(AsBytes(message));
      uint32_t tag;
      ASSERT_TRUE(in.ReadTag(&tag) && in.Skip(tag) && in.done()) << size;
    }
  }
}

}  // namespace
}  // namespace maas
