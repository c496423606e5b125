// Prints what decoding and binding one request costs: a tiny one, an image, and each of 64 in a stream's
// message.
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"
#include "maas/model/decoder_bench_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/predict_decoder.h"

namespace maas {
namespace {

MessageBuilder Request(const MessageBuilder& tensor) {
  return MessageBuilder().Bytes(1, "request-1").Bytes(2, "model").Message(5, tensor);
}

class Case {
 public:
  explicit Case(ModelSpec spec) : spec_(std::move(spec)) {}

  void Run(std::span<const std::byte> message) {
    Require(DecodePredictRequest(message, &view_));
    Require(BindRequest(spec_, &view_, &bound_));
  }
  void RunStream(std::span<const std::byte> message) {
    Require(SplitPredictStreamRequest(message, &requests_));
    for (const auto& request : requests_) Run(request);
  }

 private:
  const ModelSpec spec_;
  PredictRequestView view_;
  BoundRequest bound_;
  std::vector<std::span<const std::byte>> requests_;
};

void Main() {
  const MessageBuilder tiny = Request(TensorMessage("x", 12, {1, 16}, std::string(64, 'x')));
  const MessageBuilder image =
      Request(TensorMessage("image", 12, {1, 3, 224, 224}, std::string(602112, 'x')));
  MessageBuilder stream;
  for (int i = 0; i < 64; ++i) stream.Message(1, tiny);

  Case vector(MakeSpec({MakeInput("x", DataType::kFp32, {-1, 16})}));
  Case picture(MakeSpec({MakeInput("image", DataType::kFp32, {-1, 3, 224, 224})}));
  std::printf("decode and bind, tiny request (FP32 [1,16], %zu bytes)   %7.1f ns\n", tiny.bytes().size(),
              Measure([&] { vector.Run(tiny.bytes()); }));
  std::printf("decode and bind, image (FP32 [1,3,224,224], 602 KB)      %7.1f ns\n",
              Measure([&] { picture.Run(image.bytes()); }));
  std::printf("decode and bind, each of a stream message of 64          %7.1f ns\n",
              Measure([&] { vector.RunStream(stream.bytes()); }) / 64);
}

}  // namespace
}  // namespace maas

int main() { maas::Main(); }
