// A front over real sockets for tests: an engine whose model is y = 2x, run by a thread that can be held up,
// and a client that speaks HTTP/2 to it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"
#include "maas/front/front_server.h"
#include "maas/front/front_testing.h"
#include "maas/http2/session.h"
#include "maas/net/chunk_testing.h"
#include "maas/net/socket_testing.h"
#include "maas/rpc/rpc_testing.h"
#include "maas/serving/engine.h"

namespace maas {

inline constexpr int64_t kTestPatienceNs = 30'000'000'000;

// Whether `condition` comes to hold.
inline bool Eventually(const std::function<bool()>& condition) {
  const int64_t give_up = SteadyClock::Get()->Now() + kTestPatienceNs;
  while (!condition()) {
    if (SteadyClock::Get()->Now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class FrontClient final : private Http2Session::Owner {
 public:
  class Call final : public Http2Stream {
   public:
    explicit Call(bool reads) {
      if (!reads) hold_window();
    }
    // Of grpc-status; -1: there is none yet.
    int status() const { return grpc_status.empty() ? -1 : std::stoi(grpc_status); }
    // The only message.
    std::string_view message() const {
      return std::string_view(body).substr(std::min<size_t>(5, body.size()));
    }

    std::string grpc_status;
    std::string body;
    bool closed = false;

   private:
    void OnHeaders(Headers headers, bool /*end*/) override {
      if (const auto value = FindHeader(headers, "grpc-status"); !value.empty()) grpc_status = value;
    }
    void OnBody(std::span<const std::byte> bytes) override {
      body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    void OnEnd() override {}
    void OnClosed(uint32_t /*error*/) override { closed = true; }
  };

  explicit FrontClient(uint16_t port, const Http2Session::Options& options = {})
      : socket_(ConnectLocal(AF_INET, port)),
        session_(Http2Session::Role::kClient, options, SteadyClock::Get(), this) {
    EXPECT_TRUE(socket_.valid());
  }

  // Begins a call; with `!reads` its window fills and stays full. Sends it with the next Pump().
  Call* Ask(std::string_view message, std::string_view path = "/maas.v1.PredictService/Predict",
            bool reads = true, bool end = true) {
    return Begin(message, Fields(path), reads, end);
  }
  // The same, which may take as long as grpc-timeout says.
  Call* AskWithin(std::string_view timeout, std::string_view message) {
    std::vector<HeaderField> fields = Fields("/maas.v1.PredictService/Predict");
    fields.push_back({"grpc-timeout", timeout});
    return Begin(message, fields, true, true);
  }
  void Cancel(Call* call) { session_.Reset(call, 8); }

  // Sends and receives until `done` holds. False: it does not within some seconds, or the connection ended.
  bool Pump(const std::function<bool()>& done) {
    const int64_t give_up = SteadyClock::Get()->Now() + kTestPatienceNs;
    while (!done()) {
      if (SteadyClock::Get()->Now() > give_up) return false;
      if (ended_) return false;
      Step();
    }
    return true;
  }
  // Until the call has its status.
  int Await(Call* call) {
    EXPECT_TRUE(Pump([&] { return call->closed; }));
    return call->status();
  }
  // Until the server ends the connection; closes it then.
  bool AwaitEnd() {
    Pump([this] { return ended_; });
    socket_.Close();
    return ended_;
  }
  // Only sends.
  void Send() {
    session_.Produce();
    while (!session_.out().empty()) {
      WriteSome();
      session_.Produce();
    }
  }
  void Close() {
    socket_.Close();
    ended_ = true;
  }
  bool sent_all() { return session_.unsent() == 0 && session_.out().empty(); }
  // Whether the connection ended by a reset rather than in order.
  bool broken() const { return broken_; }
  bool told_to_go() const { return told_to_go_; }
  uint32_t go_away_error() const { return go_away_error_; }
  const FileDescriptor& socket() const { return socket_; }
  Http2Session& session() { return session_; }

 private:
  Http2Stream* OnRequest(int32_t, Headers, bool) override { return nullptr; }
  void OnGoAway(int32_t, uint32_t error) override {
    told_to_go_ = true;
    go_away_error_ = error;
  }

  static std::vector<HeaderField> Fields(std::string_view path) {
    return {{":method", "POST"},    {":scheme", "http"}, {":path", path},
            {":authority", "test"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  }
  Call* Begin(std::string_view message, const std::vector<HeaderField>& fields, bool reads, bool end) {
    Call* const call = calls_.emplace_back(std::make_unique<Call>(reads)).get();
    EXPECT_TRUE(session_.Open(call, fields, false));
    session_.SendBody(call, MakeChunk(Framed(message)));
    if (end) session_.SendEnd(call);
    return call;
  }

  void WriteSome() {
    std::array<iovec, 16> pieces;
    const size_t count = session_.out().Gather(pieces);
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t n = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      session_.out().Pop(static_cast<size_t>(n));
    } else if (errno != EAGAIN) {
      ended_ = broken_ = true;
      session_.out().Pop(session_.out().size());
    }
  }

  void Step() {
    session_.Produce();
    if (!session_.out().empty()) WriteSome();
    if (ended_ || !IsReady(socket_.get(), POLLIN, session_.out().empty() ? 5 : 0)) return;
    std::array<char, 65536> bytes;
    const ssize_t n = recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n == 0) {
      ended_ = true;
    } else if (n < 0) {
      ended_ = broken_ = errno != EAGAIN;
    } else {
      // A session that is over has nothing to say about what still comes.
      static_cast<void>(session_.Received(std::as_bytes(std::span(bytes).first(static_cast<size_t>(n)))));
    }
  }

  FileDescriptor socket_;
  bool ended_ = false;
  bool broken_ = false;
  bool told_to_go_ = false;
  uint32_t go_away_error_ = 0;
  std::vector<std::unique_ptr<Call>> calls_;
  Http2Session session_;
};

class FrontServerTest : public testing::Test {
 protected:
  static constexpr int64_t kMs = 1'000'000;

  FrontServerTest() {
    ModelSpec spec = TwiceSpec();
    spec.max_batch_size = 1 << 16;
    spec.max_request_rows = 1 << 20;
    version_ = MakeVersion(std::move(spec), SteadyClock::Get(), 1 << 22);
    engine_.routes().Set("m", RouteTo(version_));
    runner_ = std::thread([this] { Run(); });
  }
  ~FrontServerTest() override {
    Hold(false);
    server_.reset();
    CloseVersion(version_.get());
    runner_.join();
  }

  void Start() { ASSERT_TRUE(FrontServer::Start(options_, &engine_, &server_).ok()); }
  uint16_t port() const { return server_->port(); }
  // While held, a batch that was taken does not end, and no other is taken.
  void Hold(bool held) {
    MutexLock lock(&mu_);
    held_ = held;
    changed_.SignalAll();
  }
  // The client asks, and its batch is held.
  FrontClient::Call* AskAndHold(FrontClient* client) {
    Hold(true);
    FrontClient::Call* const call = client->Ask(RequestOf(1));
    client->Send();
    EXPECT_TRUE(Eventually([&] { return running_ == 1; }));
    return call;
  }
  // Whether the server's descriptor says that there is something to be seen to.
  bool Told(int wait_ms = 30'000) const { return IsReady(server_->fd(), POLLIN, wait_ms); }
  int64_t waiting() const { return version_->queue.waiting_rows(); }
  uint64_t Ended(std::string_view reason) const {
    for (const auto& [name, count] : server_->counters().ended) {
      if (name == reason) return count;
    }
    ADD_FAILURE() << "there is no reason " << reason;
    return 0;
  }
  bool OpenBecomes(uint64_t count) const {
    return Eventually([&] { return server_->counters().open_connections == count; });
  }

  // A PredictRequest of `rows` rows, from x on.
  static std::string RequestOf(float x, int64_t rows = 1) {
    std::string values;
    for (int64_t row = 0; row < rows; ++row) values += BytesOf({x + static_cast<float>(row)});
    return RequestFor(TensorMessage("x", 12, {rows}, values)).str();
  }
  static std::vector<float> AnswerOf(const FrontClient::Call& call) {
    if (call.message().empty()) return {};
    const DecodedAnswer answer(call.message());
    return answer.outputs.empty() ? std::vector<float>() : answer.outputs[0].Floats();
  }

  FrontOptions options_;
  std::unique_ptr<FrontServer> server_;
  std::atomic<int> running_{0};  // Batches.

 private:
  void Run() {
    Instance instance(version_);
    while (instance.Next()) {
      ++running_;
      {
        MutexLock lock(&mu_);
        while (held_) changed_.Wait(&mu_);
      }
      RunTwice(instance.plan());
      instance.Finish({RunOutput{}});
      instance.Deliver();
      --running_;
    }
  }

  Engine engine_{{.sweep_interval_ns = 1'000'000}, SteadyClock::Get()};
  std::shared_ptr<Version> version_;
  Mutex mu_;
  CondVar changed_;
  bool held_ MAAS_GUARDED_BY(mu_) = false;
  std::thread runner_;
};

}  // namespace maas
