// Prints what TensorFlow Serving's request and answer cost, beside our own: decoding and binding, and
// encoding an answer that is as large as the request.
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"
#include "maas/model/decoder_bench_testing.h"
#include "maas/wire/codec.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/tensorflow_types.h"

namespace maas {
namespace {

// As exec/answer.cc does it, but for copying elements that go out as they are.
double Encode(const Codec& codec, const OutputHead& output, std::span<const std::byte> data) {
  std::vector<std::byte> buffer;
  OutputHead head = output;
  ResponseHead response;
  response.model = "model";
  response.version = 1;
  response.outputs = {&head, 1};
  std::string transcoded;
  return Measure([&] {
    if (codec.form(head.datatype, false) == ElementForm::kTranscoded) {
      transcoded.clear();
      codec.transcode(head.datatype, data, &transcoded);
      head.data_size = transcoded.size();
    }
    buffer.resize(codec.size(response));
    std::byte* hole = nullptr;
    codec.write(response, buffer.data(), &hole);
  });
}

MessageBuilder Ours(const OutputHead& tensor, std::string_view data) {
  MessageBuilder shape;
  for (int64_t dim : tensor.shape) shape.Varint(static_cast<uint64_t>(dim));
  return MessageBuilder()
      .Bytes(2, "model")
      .Message(5, MessageBuilder()
                      .Bytes(1, tensor.name)
                      .Number(2, static_cast<int64_t>(tensor.datatype))
                      .Message(3, shape)
                      .Bytes(4, data));
}

MessageBuilder Theirs(const OutputHead& tensor, uint32_t field, std::string_view values) {
  MessageBuilder shape;
  for (int64_t dim : tensor.shape) shape.Message(2, MessageBuilder().Number(1, dim));
  const auto type = static_cast<int64_t>(TensorFlowOf(tensor.datatype).type);
  const MessageBuilder proto = MessageBuilder().Number(1, type).Message(2, shape).Bytes(field, values);
  return MessageBuilder()
      .Message(1, MessageBuilder().Bytes(1, "model"))
      .Message(2, MessageBuilder().Bytes(1, tensor.name).Message(2, proto));
}

void Print(const char* what, double ours, double content, double values) {
  std::printf("%-34s ours %9.1f ns   tensor_content %9.1f ns   typed values %9.1f ns\n", what, ours, content,
              values);
}

void Run(const char* what, DataType type, const Dims& shape) {
  const size_t size = static_cast<size_t>(ElementCount(shape)) * ElementSize(type);
  const std::string data(size, '\1');
  const OutputHead tensor{"x", type, shape, size, nullptr, nullptr, 0};
  std::string values = data;
  if (TensorFlowPredictCodec().form(type, false) == ElementForm::kTranscoded) {
    values.clear();
    TensorFlowPredictCodec().transcode(type, AsBytes(data), &values);
  }
  std::vector<int64_t> dims(shape.begin(), shape.end());
  dims[0] = -1;
  const ModelSpec spec = MakeSpec({MakeInput("x", type, dims)});
  const Codec& theirs = TensorFlowPredictCodec();
  std::printf("%s\n", what);
  const auto decode = [&spec](const Codec& codec, const MessageBuilder& message) {
    return MeasureDecodeAndBind(codec, spec, message.bytes());
  };
  Print("  decode and bind", decode(PredictCodec(), Ours(tensor, data)),
        decode(theirs, Theirs(tensor, 4, data)),
        decode(theirs, Theirs(tensor, TensorFlowOf(type).values.field, values)));
  // Answers always hold typed values.
  const double answer = Encode(theirs, tensor, AsBytes(data));
  Print("  encode the answer's head", Encode(PredictCodec(), tensor, AsBytes(data)), answer, answer);
}

}  // namespace
}  // namespace maas

int main() {
  using maas::DataType;
  maas::Run("tiny (FP32 [1,16])", DataType::kFp32, {1, 16});
  maas::Run("image (FP32 [1,3,224,224], 602 KB)", DataType::kFp32, {1, 3, 224, 224});
  maas::Run("tokens (INT64 [1,128])", DataType::kInt64, {1, 128});
}
