// Methods that tests watch and steer, and a connection that serves them. Threads: one at a time.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "maas/rpc/method.h"
#include "maas/rpc/rpc_testing.h"
#include "maas/rpc/server_call.h"
#include "maas/rpc/server_connection.h"

namespace maas {

// Of grpc-status.
inline constexpr int kOk = 0, kInvalidArgument = 3, kDeadlineExceeded = 4, kResourceExhausted = 8,
                     kUnimplemented = 12, kInternal = 13, kUnavailable = 14;

// Does what a test says, or nothing: the call is left waiting.
class FakeUnary final : public UnaryMethod {
 public:
  explicit FakeUnary(bool hands_over = false) : hands_over_(hands_over) {}
  void OnRequest(ServerCall* call, Chunk request) override {
    calls.push_back(call);
    requests.push_back(TextOf(request.bytes()));
    if (on_request) on_request(call, std::move(request));
  }
  void OnCancelled(ServerCall* call) override {
    cancelled.push_back(call);
    if (on_cancelled) on_cancelled(call);
  }
  bool hands_over() const override { return hands_over_; }

  std::function<void(ServerCall*, Chunk)> on_request;
  std::function<void(ServerCall*)> on_cancelled;
  std::vector<ServerCall*> calls;
  std::vector<std::string> requests;
  std::vector<ServerCall*> cancelled;

 private:
  const bool hands_over_;
};

// Writes down what its handlers are told, and does what a test says.
class FakeStream final : public StreamMethod {
 public:
  std::unique_ptr<StreamHandler> Start(ServerCall* call, Headers metadata) override {
    calls.push_back(call);
    user_agent = FindHeader(metadata, "user-agent");
    if (on_start) on_start(call);
    return std::make_unique<Handler>(this, call);
  }

  std::function<void(ServerCall*)> on_start;
  std::function<void(ServerCall*, const std::string&)> on_message;
  std::function<void(ServerCall*)> on_half_closed;
  std::function<void(ServerCall*)> on_stopping;
  std::function<void(ServerCall*)> on_cancelled;
  std::vector<ServerCall*> calls;
  std::vector<std::string> told;  // Messages, and what happened in <>.
  std::string user_agent;

 private:
  class Handler final : public StreamHandler {
   public:
    Handler(FakeStream* method, ServerCall* call) : method_(method), call_(call) {}
    ~Handler() override { method_->told.push_back("<gone>"); }
    void OnMessage(Chunk message) override {
      method_->told.push_back(TextOf(message.bytes()));
      if (method_->on_message) method_->on_message(call_, method_->told.back());
    }
    void OnHalfClosed() override { Tell("<half-closed>", method_->on_half_closed); }
    void OnRoom() override { Tell("<room>", nullptr); }
    void OnStopping() override { Tell("<stopping>", method_->on_stopping); }
    void OnCancelled() override { Tell("<cancelled>", method_->on_cancelled); }

   private:
    void Tell(const char* what, const std::function<void(ServerCall*)>& then) {
      method_->told.emplace_back(what);
      if (then) then(call_);
    }
    FakeStream* const method_;
    ServerCall* const call_;
  };
};

// A client and a connection that serves /t.T/Unary and /t.T/Stream, from the first Connect() on.
class RpcTest : public testing::Test {
 protected:
  explicit RpcTest(size_t budget, bool unary_hands_over = false) : budget_(budget), unary_(unary_hands_over) {
    methods_.Add("/t.T/Unary", {.unary = &unary_});
    methods_.Add("/t.T/Stream", {.stream = &stream_});
    options_.budget = &budget_;
  }
  // Nothing that was received or held back outlives its connection.
  void TearDown() override {
    Disconnect();
    EXPECT_EQ(budget_.used(), 0U);
  }
  // Both anew, with options_ as they are now.
  void Connect(Fallback* fallback = nullptr) {
    Disconnect();
    connection_.emplace(options_, &clock_, &peer_, &methods_, fallback);
    client_.emplace(&*connection_);
  }
  void Disconnect() {
    client_.reset();
    connection_.reset();
  }

  FakeClock clock_{1'000'000'000};
  Peer peer_{
      .address = "ipv4:127.0.0.1:1", .certificate_pem = {}, .common_name = {}, .alternative_names = {}};
  MemoryBudget budget_;
  FakeUnary unary_;
  FakeStream stream_;
  MethodTable methods_;
  ServerConnection::Options options_;
  std::optional<ServerConnection> connection_;
  std::optional<RpcClient> client_;
};

}  // namespace maas
