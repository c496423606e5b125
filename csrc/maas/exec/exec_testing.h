// A front and a model version for tests: requests built in a line, a sink that collects, answers decoded.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/exec/entry.h"
#include "maas/model/bind_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/predict_decoder.h"
#include "maas/wire/reader.h"

namespace maas {

template <typename T>
std::string BytesOf(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(std::data(values)), values.size() * sizeof(T)};
}
inline std::string Strings(std::initializer_list<std::string_view> values) {
  std::string out;
  for (std::string_view value : values) {
    out += BytesOf({static_cast<uint32_t>(value.size())});
    out += value;
  }
  return out;
}
template <typename T>
std::vector<T> ValuesOf(std::string_view bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// Every field of one message, by number, in the order of the wire: numbers as they are, the rest as bytes.
struct Fields {
  explicit Fields(std::span<const std::byte> message) {
    Reader in(message);
    while (!in.done()) {
      uint32_t tag;
      std::span<const std::byte> bytes;
      uint64_t number = 0;
      const bool ok =
          in.ReadTag(&tag) && ((tag & 7) == static_cast<uint32_t>(WireType::kVarint) ? in.ReadVarint(&number)
                                                                                     : in.ReadBytes(&bytes));
      if (!ok) {
        ADD_FAILURE() << "an answer does not decode: " << in.error();
        return;
      }
      (tag & 7) == 0 ? numbers[tag >> 3].push_back(static_cast<int64_t>(number))
                     : texts[tag >> 3].push_back(AsText(bytes));
    }
  }
  explicit Fields(std::string_view message) : Fields(std::as_bytes(std::span(message))) {}

  int64_t Number(uint32_t field) { return numbers[field].empty() ? 0 : numbers[field][0]; }
  std::string Text(uint32_t field) { return texts[field].empty() ? "" : std::string(texts[field][0]); }
  std::vector<int64_t> Packed(uint32_t field) {
    std::vector<int64_t> out;
    const std::string packed = Text(field);
    Reader in(std::as_bytes(std::span(packed)));
    uint64_t value;
    while (!in.done() && in.ReadVarint(&value)) out.push_back(static_cast<int64_t>(value));
    return out;
  }

  std::map<uint32_t, std::vector<int64_t>> numbers;
  std::map<uint32_t, std::vector<std::string_view>> texts;
};

struct DecodedTensor {
  std::string name;
  DataType datatype = DataType::kUnspecified;
  std::vector<int64_t> shape;
  std::string data;
  std::vector<float> scales;
  std::vector<int64_t> zero_points;

  std::vector<float> Floats() const { return ValuesOf<float>(data); }
};

// A PredictResponse.
struct DecodedAnswer {
  explicit DecodedAnswer(std::string_view message) {
    Fields fields(message);
    id = fields.Text(1);
    model = fields.Text(2);
    version = fields.Number(3);
    for (std::string_view bytes : fields.texts[4]) {
      Fields in(bytes);
      Fields quantization(
          std::as_bytes(std::span(in.texts[5].empty() ? std::string_view() : in.texts[5][0])));
      outputs.push_back({in.Text(1), static_cast<DataType>(in.Number(2)), in.Packed(3), in.Text(4),
                         ValuesOf<float>(quantization.Text(1)), quantization.Packed(2)});
    }
    const std::string receipt_bytes = fields.Text(5);
    Fields in(receipt_bytes);
    receipt = {in.Number(1), in.Number(2), static_cast<int32_t>(in.Number(3)),
               static_cast<int32_t>(in.Number(4))};
  }

  std::string id;
  std::string model;
  int64_t version = 0;
  std::vector<DecodedTensor> outputs;
  Receipt receipt;
};

// Collects completions; its memory is plain strings. Thread-safe.
class CollectingSink final : public CompletionSink {
 public:
  struct Done {
    int completions = 0;
    Status status;
    std::string bytes;
    bool carries = false;  // Whether the buffer came with it.
  };

  void Reserve(std::span<Buffer> buffers) override {
    MutexLock lock(&mu_);
    ++reservations_;
    for (Buffer& buffer : buffers) {
      if (no_memory_) continue;
      auto memory = std::make_unique<std::string>(buffer.size, '\xEE');
      buffer.data = reinterpret_cast<std::byte*>(memory->data());
      buffer.handle = memory.get();
      memory_[memory.get()] = std::move(memory);
    }
  }
  void Complete(std::span<Completion> done) override {
    MutexLock lock(&mu_);
    ++calls_;
    for (Completion& completion : done) {
      Done& entry = done_[completion.tag];
      ++entry.completions;
      ++total_;
      entry.status = completion.status;
      entry.carries = completion.buffer.handle != nullptr;
      if (entry.carries) {
        const auto it = memory_.find(completion.buffer.handle);
        ASSERT_NE(it, memory_.end()) << "a buffer came back twice";
        entry.bytes = std::move(*it->second);
        memory_.erase(it);
      }
    }
  }

  // REQUIRES for the rest: nobody completes meanwhile.
  Done Of(const void* tag) {
    MutexLock lock(&mu_);
    return done_[const_cast<void*>(tag)];
  }
  size_t unreturned() {
    MutexLock lock(&mu_);
    return memory_.size();
  }
  int64_t total() {
    MutexLock lock(&mu_);
    return total_;
  }
  int calls() {
    MutexLock lock(&mu_);
    return calls_;
  }
  void RunOutOfMemory() {
    MutexLock lock(&mu_);
    no_memory_ = true;
  }

 private:
  Mutex mu_;
  std::map<void*, Done> done_ MAAS_GUARDED_BY(mu_);
  std::map<void*, std::unique_ptr<std::string>> memory_ MAAS_GUARDED_BY(mu_);
  bool no_memory_ MAAS_GUARDED_BY(mu_) = false;
  int reservations_ MAAS_GUARDED_BY(mu_) = 0;
  int calls_ MAAS_GUARDED_BY(mu_) = 0;
  int64_t total_ MAAS_GUARDED_BY(mu_) = 0;
};

// A queue that gathers nothing, as on an idle machine.
inline std::shared_ptr<Version> MakeVersion(ModelSpec spec, const Clock* clock,
                                            int64_t max_queue_rows = 10'000) {
  BatchQueue::Options options;
  options.batch = {spec.max_batch_size, 0};
  options.max_queue_rows = max_queue_rows;
  options.process_cpu_ns = [] { return int64_t{0}; };
  return std::make_shared<Version>(std::move(spec), std::move(options), clock);
}

// One request under way: its bytes, which the core only borrows, and its entry.
struct Call {
  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  // Empties the queue: while an entry waits, or lies dead in its lane, it and its version hold each other.
  ~Call() {
    std::vector<std::shared_ptr<QueueItem>> left;
    if (entry) entry->version->queue.TakeAll(&left);
  }

  std::string message;
  std::shared_ptr<Entry> entry;
};

// Decodes, binds and queues a request as the engine does. `codec`: null for our own, of a stream iff there is
// a group.
inline std::unique_ptr<Call> Send(const std::shared_ptr<Version>& version, CompletionSink* sink,
                                  const MessageBuilder& request, uint64_t group = 0,
                                  const Codec* codec = nullptr) {
  if (codec == nullptr) codec = group == 0 ? &PredictCodec() : &PredictStreamCodec();
  auto call = std::make_unique<Call>();
  call->message = request.str();
  auto entry = std::make_shared<Entry>();
  entry->accepted_ns = version->clock->Now();
  Status status = codec->decode(AsBytes(call->message), &entry->view);
  if (status.ok()) status = BindRequest(version->spec, &entry->view, &entry->bound);
  EXPECT_TRUE(status.ok()) << status.message();
  entry->rows = entry->bound.rows;
  entry->solo = entry->bound.solo;
  entry->lane_key = entry->bound.lane_key;
  entry->version = version;
  entry->reply = {sink, call.get(), group, codec};
  if (!entry->solo && entry->rows > version->spec.max_batch_size)
    entry->split = std::make_unique<SplitAnswer>();
  call->entry = entry;
  EXPECT_EQ(version->queue.Push(entry), PushResult::kOk);
  return call;
}

inline MessageBuilder RequestFor(const MessageBuilder& tensor, std::string_view id = "") {
  return MessageBuilder().Bytes(1, id).Bytes(2, "m").Message(5, tensor);
}

}  // namespace maas
