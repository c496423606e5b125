// Decodes arbitrary bytes as a request of the Open Inference Protocol, binds what decodes to a few models,
// and sends the inputs out as typed values and reads them back.
//
// Run from the repository's root, seeded with tests/golden/model_infer/*/message.bin: make fuzz.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "maas/base/shared_region.h"
#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"
#include "maas/model/decoder_fuzz_testing.h"
#include "maas/wire/codec.h"
#include "maas/wire/decoding.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/typed_contents.h"

namespace maas {
namespace {

// Under the names that the golden messages use, so that the fuzzer gets past the first check.
const std::vector<ModelSpec>& Specs() {
  static const std::vector<ModelSpec> specs = [] {
    std::vector<ModelSpec> out;
    out.push_back(GoldenSpec());
    out.push_back(MakeSpec(
        {MakeInput("image", DataType::kFp32, {-1, 3}), MakeInput("x", DataType::kFp32, {-1, 2}, -1)},
        {MakeOutput("probs", DataType::kBf16, {-1}), MakeOutput("logits", DataType::kFp32, {-1, -1})}));
    for (int type = 1; type < kDataTypeCount; ++type) {
      out.push_back(MakeSpec({MakeInput("x", static_cast<DataType>(type), {-1}, -1)}));
    }
    out.back().batching = false;
    return out;
  }();
  return specs;
}

// What is sent out in typed form is read back as it was; a bool only as true or false.
void RoundTrip(const BoundInput& input) {
  const DataType type = input.wire_type;
  if (input.absent || TypedField(type) == 0 || IsTypedAsRaw(type) || input.data.empty()) return;
  std::string typed;
  AppendTyped(type, input.data, &typed);
  MessageBuilder contents;
  type == DataType::kBytes ? contents.Raw(typed) : contents.Bytes(TypedField(type), typed);
  const MessageBuilder tensor = MessageBuilder().Message(5, contents);
  TensorView view;
  view.datatype = type;
  view.shape = input.dims;
  Require(DecodeTypedContents(Reader(tensor.bytes()), 5, nullptr, &view).ok());
  const auto same = [type](std::byte a, std::byte b) {
    return type == DataType::kBool ? (a == std::byte{0}) == (b == std::byte{0}) : a == b;
  };
  Require(std::equal(view.data.begin(), view.data.end(), input.data.begin(), input.data.end(), same));
}

// A region of 64 KiB, whose name is gone as soon as it is open.
const std::shared_ptr<SharedRegion>& Memory() {
  static const std::shared_ptr<SharedRegion> memory = [] {
    constexpr uint64_t kSize = 65536;
    const std::string key = "/maas_fuzz_" + std::to_string(getpid());
    const int fd = shm_open(key.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    Require(fd >= 0 && ftruncate(fd, kSize) == 0);
    std::shared_ptr<SharedRegion> region;
    Require(SharedRegion::Open("r", key, 0, kSize, &region).ok());
    shm_unlink(key.c_str());
    close(fd);
    return region;
  }();
  return memory;
}

// As the engine does before it binds, except that here every name is that of one region.
bool FindSharedMemory(PredictRequestView* view) {
  for (TensorView& tensor : view->inputs) {
    if (tensor.shared == nullptr) continue;
    tensor.shared->memory = Memory();
    if (!Memory()->CheckRange(tensor.shared->offset, tensor.shared->size).ok()) return false;
  }
  return true;
}

void DecodeAndBind(std::span<const std::byte> message) {
  static PredictRequestView view;
  static BoundRequest bound;
  const Codec& codec = ModelInferCodec();
  if (const Status status = codec.decode(message, &view); !status.ok()) return RequireRefusal(status);
  size_t owned = 0;
  for (const TensorView& tensor : view.inputs) owned += tensor.owned.size();
  Require(owned <= 8 * message.size());
  Require(view.inputs.size() <= kMaxTensors && view.timeout_us >= 0 && view.version >= 0);
  for (const ModelSpec& spec : Specs()) {
    // Decoded anew each time: binding takes the quantizations away.
    Require(codec.decode(message, &view).ok());
    if (!FindSharedMemory(&view)) return;
    const Status status = BindRequest(spec, &view, &bound);
    if (!status.ok()) {
      RequireRefusal(status);
      continue;
    }
    RequireSizes(bound);
    for (const BoundInput& input : bound.inputs) RoundTrip(input);
  }
}

}  // namespace
}  // namespace maas

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  maas::DecodeAndBind(std::as_bytes(std::span(data, size)));
  return 0;
}
