#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/wire/codec.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/predict_decoder.h"
#include "maas/wire/reader.h"

namespace maas {
namespace {

ResponseHead HeadOf(std::span<const OutputHead> outputs) {
  return {"id", "m", 3, outputs, {1, 2, 3, 4}, false};
}

std::string Written(const Codec& codec, const ResponseHead& head) {
  std::string out(codec.size(head), '\0');
  std::vector<std::byte*> data(head.outputs.size());
  codec.write(head, reinterpret_cast<std::byte*>(out.data()), data.data());
  return out;
}

TEST(PredictCodec, BothFormsReadTheSameRequest) {
  const std::string message = MessageBuilder().Bytes(1, "a").Bytes(2, "m").str();
  for (const Codec* codec : {&PredictCodec(), &PredictStreamCodec()}) {
    PredictRequestView view;
    ASSERT_TRUE(codec->decode(std::as_bytes(std::span(message)), &view).ok());
    EXPECT_EQ(view.id, "a");
    EXPECT_EQ(view.model, "m");
  }
}

TEST(PredictCodec, AnAnswerOfAStreamHoldsTheAnswerOfACall) {
  const std::vector<OutputHead> outputs = {{"y", DataType::kFp32, Dims({2}), 8, nullptr, nullptr, 0}};
  const std::string call = Written(PredictCodec(), HeadOf(outputs));
  const std::string entry = Written(PredictStreamCodec(), HeadOf(outputs));
  // answers = 1 { id = 1, response = 2 }
  EXPECT_EQ(entry, MessageBuilder().Message(1, MessageBuilder().Bytes(1, "id").Bytes(2, call)).str());
}

TEST(PredictCodec, EveryDatatypeGoesOutAsItIs) {
  for (int type = 1; type < kDataTypeCount; ++type) {
    EXPECT_EQ(PredictCodec().form(static_cast<DataType>(type), false), ElementForm::kRaw);
    EXPECT_EQ(PredictStreamCodec().form(static_cast<DataType>(type), false), ElementForm::kRaw);
  }
}

}  // namespace
}  // namespace maas
