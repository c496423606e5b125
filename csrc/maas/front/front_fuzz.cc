// Feeds arbitrary bytes to a connection of the compiled front, with its real methods over a real engine, and
// a server behind that echoes; there is no socket and no model.
//
// The last eight bytes of an input say how the rest is cut into pieces, and what happens after each. Run from
// the repository's root, seeded with tests/golden/front/*/message.bin, what clients sent: make fuzz.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/exec/instance.h"
#include "maas/front/answers.h"
#include "maas/front/front_fuzz_testing.h"
#include "maas/front/loop_sink.h"
#include "maas/front/predict_methods.h"
#include "maas/front/relay_testing.h"
#include "maas/model/bind_testing.h"
#include "maas/rpc/server_connection.h"
#include "maas/serving/engine.h"
#include "maas/wire/predict_encoder.h"

namespace maas {
namespace {

constexpr size_t kControlBytes = 8;
constexpr size_t kMemoryLimit = 8 << 20;

// Under the names that the recorded clients ask for.
ModelSpec Digits() {
  OutputSpec label = MakeOutput("label", DataType::kInt64, {-1});
  OutputSpec probabilities = MakeOutput("probabilities", DataType::kFp32, {-1, 10});
  label.sources = {{0, 0}};
  probabilities.sources = {{0, 0}, {}};
  ModelSpec spec = MakeSpec({MakeInput("image", DataType::kFp32, {-1, 64})}, {label, probabilities});
  spec.name = "digits";
  return spec;
}

// An engine whose only model answers zeros, and the thread's methods and sink: what all connections share.
class Served {
 public:
  Served()
      : version_(Make(&clock)),
        engine_({.sweep_interval_ns = 0}, &clock),
        sink_(
            {}, &engine_, &clock,
            [this](std::function<void()> drain) { posted_.push_back(std::move(drain)); },
            [](const std::vector<Interrupt>&) {}),
        predict_(&sink_) {
    auto route = std::make_shared<Route>();
    route->versions = {{1, version_}};
    route->labels = {{"stable", 1}};
    route->standard = version_;
    engine_.routes().Set("digits", route);
    auto state = std::make_shared<ServingState>();
    state->ready = true;
    state->health = {{"", true}, {"digits", true}};
    answers_.SetState(state);
    predict_.AddTo(&methods);
    answers_.AddTo(&methods);
  }

  // Until nothing waits, in the queue or for the loop.
  void RunAll() {
    engine_.Sweep(clock.Now());  // An instance would wait for others instead of those that are dead.
    while (version_->queue.waiting_rows() > 0) {
      Instance instance(version_);
      Require(instance.Next());
      for (const RunPlan::Tensor& output : instance.plan().outputs) std::memset(output.data, 0, output.bytes);
      instance.Finish({RunOutput{}, RunOutput{}});
      instance.Deliver();
    }
    while (!posted_.empty()) {
      for (const std::function<void()>& work : std::exchange(posted_, {})) work();
    }
  }
  size_t under_way() const { return sink_.under_way(); }

  FakeClock clock{1'000'000'000};
  MethodTable methods;

 private:
  static std::shared_ptr<Version> Make(const Clock* clock) {
    BatchQueue::Options options;
    options.batch = {8, 0};
    options.process_cpu_ns = [] { return int64_t{0}; };
    return std::make_shared<Version>(Digits(), std::move(options), clock);
  }

  std::shared_ptr<Version> version_;
  Engine engine_;
  std::vector<std::function<void()>> posted_;
  LoopSink sink_;
  PredictMethods predict_;
  AnswerMethods answers_;
};

class Conversation {
 public:
  explicit Conversation(Served* served)
      : served_(served),
        behind_(&served->clock, &budget_),
        connection_(std::make_unique<ServerConnection>(Options(), &served->clock, &peer_, &served->methods,
                                                       &behind_)) {}
  ~Conversation() {
    connection_.reset();
    behind_.Pump();
    served_->RunAll();
    Require(served_->under_way() == 0);
    Require(budget_.used() == 0);
  }

  // False: the connection is over.
  bool Receive(std::span<const std::byte> bytes) {
    Http2Session& session = connection_->session();
    while (!bytes.empty()) {
      // As from a socket: where the session wants them.
      std::array<std::byte, 4096> scratch;
      std::array<iovec, 4> room;
      const size_t pieces = session.ReadInto(scratch, room);
      size_t received = 0;
      for (size_t i = 0; i < pieces && !bytes.empty(); ++i) {
        const size_t size = std::min(room[i].iov_len, bytes.size());
        std::memcpy(room[i].iov_base, bytes.data(), size);
        bytes = bytes.subspan(size);
        received += size;
      }
      Require(received > 0);
      if (!session.Received(received)) return false;
    }
    return true;
  }
  void Act(uint8_t what) {
    switch (what & 3) {
      case 0:  // A round of the loop.
        served_->RunAll();
        behind_.Pump();
        Write();
        break;
      case 1:  // Nobody gets around to anything.
        break;
      case 2:  // The model is slow.
        served_->clock.Advance(int64_t{1} << (20 + what / 16));
        connection_->Expire(served_->clock.Now());
        Write();
        break;
      default:  // The peer does not read.
        connection_->session().Produce(1 << 10);
        served_->RunAll();
        break;
    }
    Require(budget_.used() <= kMemoryLimit);
  }
  void Stop() {
    connection_->session().BeginShutdown();
    connection_->StopStreams();
  }
  void Write() { frames_.Add(TakeOutput(&connection_->session())); }

 private:
  ServerConnection::Options Options() {
    ServerConnection::Options options;
    options.http2.stream_window = 65535;
    options.http2.connection_window = 256 << 10;
    options.http2.min_ping_interval_ns = 5'000'000'000;
    options.max_message_bytes = 64 << 10;
    options.tenant_key = "tenant";
    options.budget = &budget_;
    options.encode_details = &EncodeStatus;
    return options;
  }

  Served* const served_;
  const Peer peer_{"ipv4:192.0.2.7:4711", "", "", {}};
  MemoryBudget budget_{kMemoryLimit};
  Behind behind_;
  FrameCheck frames_;
  std::unique_ptr<ServerConnection> connection_;
};

void Converse(std::span<const std::byte> input) {
  static Served served;
  const size_t control_size = std::min(kControlBytes, input.size());
  const auto control = input.last(control_size);
  input = input.first(input.size() - control_size);
  Conversation conversation(&served);
  for (size_t turn = 0; !input.empty(); ++turn) {
    const auto how = std::to_integer<uint8_t>(control[turn % control_size]);
    const size_t cut = how == 0 ? input.size() : (how >> 2) * (how >> 2) + size_t{1};
    const size_t size = std::min(cut, input.size());
    if (!conversation.Receive(input.first(size))) break;
    input = input.subspan(size);
    conversation.Act(how);
    if (how == 0xff) conversation.Stop();
  }
  conversation.Write();
}

}  // namespace
}  // namespace maas

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  maas::Converse(std::as_bytes(std::span(data, size)));
  return 0;
}
