#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/wire/codec.h"
#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

TEST(TensorFlowPredictCodec, ReadsARequestAndWritesItsAnswer) {
  const Codec& codec = TensorFlowPredictCodec();
  const MessageBuilder spec = MessageBuilder().Bytes(1, "m");
  const MessageBuilder tensor = MessageBuilder()
                                    .Number(1, 3)
                                    .Message(2, MessageBuilder().Message(2, MessageBuilder().Number(1, 2)))
                                    .Packed(7, {300, -1});
  const MessageBuilder request =
      MessageBuilder().Message(1, spec).Message(2, MessageBuilder().Bytes(1, "x").Message(2, tensor));
  PredictRequestView view;
  ASSERT_TRUE(codec.decode(request.bytes(), &view).ok());
  EXPECT_FALSE(view.typed);
  const TensorView& x = view.inputs.at(0);

  ASSERT_EQ(codec.form(x.datatype, view.typed), ElementForm::kTranscoded);
  std::string data;
  codec.transcode(x.datatype, x.data, &data);
  const std::vector<OutputHead> outputs = {{x.name, x.datatype, x.shape, data.size(), nullptr, nullptr, 0}};
  ResponseHead head;
  head.model = view.model;
  head.version = 7;
  head.outputs = outputs;
  std::vector<std::byte> buffer(codec.size(head));
  std::byte* hole = nullptr;
  codec.write(head, buffer.data(), &hole);
  std::copy_n(AsBytes(data).begin(), data.size(), hole);

  // The output's entry is the input's, under the number 1.
  const MessageBuilder answered =
      MessageBuilder().Bytes(1, "m").Message(2, MessageBuilder().Number(1, 7)).Bytes(3, "serving_default");
  const MessageBuilder expected =
      MessageBuilder().Message(1, MessageBuilder().Bytes(1, "x").Message(2, tensor)).Message(2, answered);
  EXPECT_EQ((std::string_view{reinterpret_cast<const char*>(buffer.data()), buffer.size()}), expected.str());
}

}  // namespace
}  // namespace maas
