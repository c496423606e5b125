#include "maas/wire/predict_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "maas/wire/golden_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/predict_decoder.h"

namespace maas {
namespace {

std::string Golden(std::string_view name) {
  return ReadGoldenFile(GoldenFolder("response") / name / "message.bin");
}

// The response that make_golden.py calls "full", with each output's bytes.
struct FullResponse {
  FullResponse() {
    for (int i = 0; i < 1200; ++i) payloads[0] += static_cast<char>(i % 251);
    head.id = "r1";
    head.model = "resnet";
    head.version = 3;
    head.outputs = outputs;
    head.receipt = {12345, int64_t{1} << 40, 64, 2, 300, int64_t{1} << 41};
  }

  Quantization per_axis{{0.5F, 0.25F}, {128, -1}, true, 0};
  Quantization none;
  std::vector<OutputHead> outputs = {{"logits", DataType::kFp32, {1, 300}, 1200, nullptr},
                                     {"probs", DataType::kUint8, {2, 1}, 2, &per_axis},
                                     {"none", DataType::kInt64, {0, 4}, 0, nullptr},
                                     {"one", DataType::kFp16, {}, 2, &none}};
  std::vector<std::string> payloads = {"", "\x07\x09", "", "\x01\x02"};
  ResponseHead head;
};

using WriteFn = void (*)(const ResponseHead&, std::byte*, std::byte**);

// Writes into a buffer of exactly `size` bytes and fills the holes.
std::string Encode(const ResponseHead& head, const std::vector<std::string>& payloads, size_t size,
                   WriteFn write) {
  std::vector<std::byte> buffer(size, std::byte{0xee});
  std::vector<std::byte*> data(head.outputs.size());
  write(head, buffer.data(), data.data());
  for (size_t i = 0; i < data.size(); ++i) {
    EXPECT_EQ(payloads[i].size(), head.outputs[i].data_size);
    std::copy_n(AsBytes(payloads[i]).begin(), payloads[i].size(), data[i]);
  }
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

TEST(PredictEncoder, WritesWhatProtobufWrites) {
  const FullResponse full;
  EXPECT_EQ(Encode(full.head, full.payloads, PredictResponseSize(full.head), WritePredictResponse),
            Golden("full"));
}

TEST(PredictEncoder, LeavesOutWhatIsEmptyButTheReceipt) {
  const ResponseHead head;
  const std::string message = Encode(head, {}, PredictResponseSize(head), WritePredictResponse);
  EXPECT_FALSE(message.empty());
  EXPECT_EQ(message, Golden("minimal"));
}

TEST(PredictEncoder, PointsEachHoleIntoTheMessage) {
  const FullResponse full;
  std::vector<std::byte> buffer(PredictResponseSize(full.head));
  std::vector<std::byte*> data(full.outputs.size());
  WritePredictResponse(full.head, buffer.data(), data.data());
  for (size_t i = 0; i < data.size(); ++i) {
    ASSERT_GE(data[i], buffer.data());
    ASSERT_LE(data[i] + full.outputs[i].data_size, buffer.data() + buffer.size());
    if (i > 0) {
      EXPECT_GE(data[i], data[i - 1] + full.outputs[i - 1].data_size);
    }
  }
}

TEST(PredictEncoder, ConcatenatesStreamAnswersToAMessage) {
  const FullResponse full;
  const ResponseHead minimal;
  const Status bad = Status::Invalid("inputs[0].shape", "expected rank 2, got rank 1");
  EXPECT_EQ(Encode(full.head, full.payloads, StreamAnswerSize(full.head), WriteStreamAnswer) +
                Encode(minimal, {}, StreamAnswerSize(minimal), WriteStreamAnswer) +
                EncodeStreamError("r3", bad),
            Golden("stream"));
}

TEST(PredictEncoder, SizesMessagesAtTheBoundariesOfTheirLengths) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{126}, size_t{127}, size_t{128},
                            size_t{16383}, size_t{16384}, size_t{2097151}, size_t{2097152}}) {
    const OutputHead output{"x", DataType::kUint8, {static_cast<int64_t>(size)}, size, nullptr};
    const ResponseHead head{"i", "m", 1, {&output, 1}, {}};
    const std::string payload(size, 'p');
    const std::string message = Encode(head, {payload}, StreamAnswerSize(head), WriteStreamAnswer);
    // The response inside an answer has the fields id and outputs under other numbers than a request has
    // them; as a stream of requests only the framing is looked at.
    std::vector<std::span<const std::byte>> entries;
    ASSERT_TRUE(SplitPredictStreamRequest(AsBytes(message), &entries).ok()) << size;
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(PeekRequestId(entries[0]), "i");
    const std::string bytes = message.substr(message.find(payload));
    EXPECT_EQ(bytes.substr(0, size), payload);
  }
}

}  // namespace
}  // namespace maas
