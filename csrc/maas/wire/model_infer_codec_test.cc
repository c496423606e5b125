#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/wire/codec.h"
#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

TEST(ModelInferCodec, EveryDatatypeHasARawFormAndAllButTwoATypedOne) {
  for (const Codec* codec : {&ModelInferCodec(), &ModelStreamInferCodec()}) {
    for (int i = 1; i < kDataTypeCount; ++i) {
      const auto type = static_cast<DataType>(i);
      EXPECT_EQ(codec->form(type, false), ElementForm::kRaw);
      const bool same = type == DataType::kFp32 || type == DataType::kFp64;
      const bool none = type == DataType::kFp16 || type == DataType::kBf16;
      EXPECT_EQ(codec->form(type, true), same   ? ElementForm::kRaw
                                         : none ? ElementForm::kNone
                                                : ElementForm::kTranscoded)
          << Name(type);
    }
  }
}

TEST(ModelInferCodec, TranscodesWhatItSaysItDoes) {
  const Codec& codec = ModelInferCodec();
  for (int i = 1; i < kDataTypeCount; ++i) {
    const auto type = static_cast<DataType>(i);
    if (codec.form(type, true) != ElementForm::kTranscoded) continue;
    // One element: the number 1, or the text of one byte.
    std::string raw(type == DataType::kBytes ? 5 : ElementSize(type), '\0');
    raw[0] = '\1';
    std::string typed;
    codec.transcode(type, AsBytes(raw), &typed);
    EXPECT_EQ(typed, type == DataType::kBytes ? std::string("\x42\1\0", 3) : "\1") << Name(type);
  }
}

TEST(ModelInferCodec, AStreamsAnswerIsLongerByItsFrameAndItsMark) {
  const ResponseHead head{"i", "m", 1, {}, {}};
  const size_t unary = ModelInferCodec().size(head);
  const size_t stream = ModelStreamInferCodec().size(head);
  EXPECT_GT(stream, unary);
  std::vector<std::byte> out(stream);
  ModelStreamInferCodec().write(head, out.data(), nullptr);
  EXPECT_EQ(out[0], std::byte{0x12}) << "infer_response";
  ModelInferCodec().write(head, out.data(), nullptr);
  EXPECT_EQ(out[0], std::byte{0x0a}) << "model_name";
}

TEST(ModelInferCodec, DecodesItsRequests) {
  const MessageBuilder message = MessageBuilder().Bytes(1, "m").Bytes(2, "5");
  for (const Codec* codec : {&ModelInferCodec(), &ModelStreamInferCodec()}) {
    PredictRequestView view;
    ASSERT_TRUE(codec->decode(message.bytes(), &view).ok());
    EXPECT_EQ(view.model, "m");
    EXPECT_EQ(view.version, 5);
  }
}

}  // namespace
}  // namespace maas
