// Feeds arbitrary bytes to a connection of the compiled front, with its real methods over a real engine, and
// a server behind that echoes; there is no socket and no model.
//
// The last eight bytes of an input say how the rest is cut into pieces, and what happens after each. Run from
// the repository's root, seeded with tests/golden/front/*/message.bin, what clients sent: make fuzz.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/exec/instance.h"
#include "maas/front/answers.h"
#include "maas/front/loop_sink.h"
#include "maas/front/predict_methods.h"
#include "maas/front/relay.h"
#include "maas/front/relay_testing.h"
#include "maas/model/bind_testing.h"
#include "maas/rpc/server_connection.h"
#include "maas/serving/engine.h"
#include "maas/wire/predict_encoder.h"

namespace maas {
namespace {

constexpr size_t kControlBytes = 8;
constexpr size_t kMemoryLimit = 8 << 20;
constexpr uint32_t kRstStream = 3;

// As assert() does, but in every build: the fuzzer reports what stops the program.
void Require(bool condition) {
  if (!condition) std::abort();
}

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
    state->models = {{"digits", {"1"}}};
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

// The server behind: sends back what it gets.
class EchoServer final : public Http2Session::Owner {
 public:
  explicit EchoServer(const Clock* clock) : session(Http2Session::Role::kServer, {}, clock, this) {}
  ~EchoServer() { Require(session.streams() == streams_.size()); }
  Http2Stream* OnRequest(int32_t /*stream*/, Headers headers, bool /*end*/) override {
    for (const HeaderField& field : headers) Require(!field.name.empty());
    auto stream = std::make_unique<Stream>(this);
    Http2Stream* const key = stream.get();
    streams_[key] = std::move(stream);
    return key;
  }

 private:
  class Stream final : public Http2Stream {
   public:
    explicit Stream(EchoServer* server) : server_(server) {}
    void OnHeaders(Headers /*headers*/, bool /*end*/) override {}
    void OnBody(std::span<const std::byte> bytes) override {
      Begin();
      server_->session.SendBody(this, MakeChunk({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    }
    void OnEnd() override {
      Begin();
      const HeaderField trailers[] = {{"grpc-status", "0"}};
      server_->session.SendTrailers(this, trailers);
    }
    void OnClosed(uint32_t /*error*/) override { server_->streams_.erase(this); }

   private:
    void Begin() {
      if (std::exchange(begun_, true)) return;
      const HeaderField fields[] = {{":status", "200"}, {"content-type", "application/grpc"}};
      server_->session.SendHeaders(this, fields);
    }
    EchoServer* const server_;
    bool begun_ = false;
  };

  std::map<Http2Stream*, std::unique_ptr<Stream>> streams_;

 public:
  Http2Session session;  // Last: it ends the streams.
};

// Relays to a server in the same memory.
class Behind final : public Fallback, private Http2Session::Owner, private Relay::Owner {
 public:
  Behind(const Clock* clock, MemoryBudget* budget)
      : budget_(budget), server_(clock), session_(Http2Session::Role::kClient, {}, clock, this) {}
  ~Behind() { Require(relays_.empty()); }

  Http2Stream* OnRequest(Http2Session* session, int32_t /*stream*/, Headers headers, bool end) override {
    return Join(session, headers, end);
  }
  Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                         std::span<const std::byte> message) override {
    return Join(session, headers, MakeChunk({reinterpret_cast<const char*>(message.data()), message.size()}),
                call);
  }
  void Pump() {
    bool moved = true;
    while (moved) {
      for (Relay* relay : std::exchange(held_, {})) {
        if (relay->Flush()) held_.push_back(relay);
      }
      moved = Carry(&session_, &server_.session) > 0;
      moved = Carry(&server_.session, &session_) > 0 || moved;
    }
  }

 private:
  template <typename... Args>
  Http2Stream* Join(Http2Session* client, Args&&... args) {
    auto relay = std::make_unique<Relay>(client, &session_, budget_, static_cast<Relay::Owner*>(this));
    if (!relay->Open(std::forward<Args>(args)...)) return nullptr;
    Relay* const key = relay.get();
    relays_[key] = std::move(relay);
    return key->client_stream();
  }
  Http2Stream* OnRequest(int32_t, Headers, bool) override { return nullptr; }
  void OnHeld(Relay* relay) override { held_.push_back(relay); }
  void OnQueued(bool /*client*/) override {}
  void OnOver(Relay* relay) override {
    std::erase(held_, relay);
    relays_.erase(relay);
  }

  MemoryBudget* const budget_;
  std::vector<Relay*> held_;
  std::map<Relay*, std::unique_ptr<Relay>> relays_;
  EchoServer server_;
  Http2Session session_;  // Last: it ends the relays' streams.
};

// Reads what a connection sends: whole frames, none of a stream that has ended.
class FrameCheck {
 public:
  void Add(std::string_view bytes) {
    bytes_ += bytes;
    size_t at = 0;
    for (size_t size = 0;
         bytes_.size() - at >= kHead && bytes_.size() - at - kHead >= (size = Number(at, 3));) {
      Frame(Number(at + 3, 1), Number(at + 4, 1), Number(at + 5, 4));
      at += kHead + size;
    }
    bytes_.erase(0, at);
  }

 private:
  static constexpr size_t kHead = 9;
  uint32_t Number(size_t at, size_t size) const {
    uint32_t number = 0;
    for (size_t i = 0; i < size; ++i) number = number << 8 | static_cast<uint8_t>(bytes_[at + i]);
    return number;
  }
  void Frame(uint32_t type, uint32_t flags, uint32_t stream) {
    constexpr uint32_t kData = 0;
    constexpr uint32_t kHeaders = 1;
    constexpr uint32_t kEndStream = 1;
    if (stream == 0) return;
    Ended& ended = ended_[stream];
    if (type == kData || type == kHeaders) {
      Require(!ended.in_order && !ended.reset);
      ended.in_order = (flags & kEndStream) != 0;
    } else if (type == kRstStream) {
      Require(!ended.reset);
      ended.reset = true;
    }
  }

  struct Ended {
    bool in_order = false;
    bool reset = false;
  };
  std::string bytes_;
  std::map<uint32_t, Ended> ended_;
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
