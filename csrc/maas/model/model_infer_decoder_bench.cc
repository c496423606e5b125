// Prints what a ModelInfer request and its answer cost beside our own Predict: decoding and binding, and
// writing the head of an answer as large as the request; and what typed values cost.
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"
#include "maas/model/decoder_bench_testing.h"
#include "maas/wire/codec.h"
#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

double Encode(const Codec& codec, const OutputHead& output) {
  const ResponseHead head{"request-1", "model", 1, {&output, 1}, {1000, 2000, 8, 1}};
  std::vector<std::byte> buffer;
  return Measure([&] {
    buffer.resize(codec.size(head));
    std::byte* data;
    codec.write(head, buffer.data(), &data);
  });
}

MessageBuilder Infer(const MessageBuilder& tensor) {
  return MessageBuilder().Bytes(1, "model").Bytes(3, "request-1").Message(5, tensor);
}
MessageBuilder Tensor(std::string_view datatype, std::initializer_list<int64_t> shape) {
  return MessageBuilder().Bytes(1, "x").Bytes(2, datatype).Packed(3, shape);
}

void Compare(const char* what, std::initializer_list<int64_t> dims, size_t bytes) {
  const std::string data(bytes, 'x');
  const MessageBuilder infer = Infer(Tensor("FP32", dims)).Bytes(7, data);
  const MessageBuilder predict =
      MessageBuilder().Bytes(1, "request-1").Bytes(2, "model").Message(5, TensorMessage("x", 12, dims, data));
  std::vector<int64_t> any(dims);
  any[0] = -1;
  const ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, any)});
  const OutputHead output{"y", DataType::kFp32, dims, bytes};
  std::printf("%-34s decode and bind %6.1f ns (Predict %6.1f), encode %6.1f ns (Predict %6.1f)\n", what,
              MeasureDecodeAndBind(ModelInferCodec(), spec, infer.bytes()),
              MeasureDecodeAndBind(PredictCodec(), spec, predict.bytes()), Encode(ModelInferCodec(), output),
              Encode(PredictCodec(), output));
}

void Typed(std::string_view datatype, DataType type, uint32_t field, const std::string& elements) {
  constexpr int64_t kCount = 150528;
  const MessageBuilder contents = MessageBuilder().Bytes(field, elements);
  const MessageBuilder message = Infer(Tensor(datatype, {1, kCount}).Message(5, contents));
  const ModelSpec spec = MakeSpec({MakeInput("x", type, {-1, kCount})});
  std::printf("typed %-6.*s %7zu bytes sent          decode and bind %8.1f us\n",
              static_cast<int>(datatype.size()), datatype.data(), elements.size(),
              MeasureDecodeAndBind(ModelInferCodec(), spec, message.bytes(), 20) / 1000);
}

void Main() {
  Compare("tiny (FP32 [1,16])", {1, 16}, 64);
  Compare("image (FP32 [1,3,224,224], 602 KB)", {1, 3, 224, 224}, 602112);
  MessageBuilder negative;
  for (int i = 0; i < 150528; ++i) negative.Varint(i % 2 == 0 ? ~uint64_t{0} : 5);
  Typed("FP32", DataType::kFp32, 6, std::string(602112, '\1'));
  Typed("BOOL", DataType::kBool, 1, std::string(150528, '\1'));
  Typed("INT32", DataType::kInt32, 2, std::string(150528, '\1'));
  Typed("INT8", DataType::kInt8, 2, negative.str());
}

}  // namespace
}  // namespace maas

int main() { maas::Main(); }
