// Our methods behind gRPC in memory, for tests: a client, a connection, the served model, and who takes what
// is handed over.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/front/front_testing.h"
#include "maas/front/predict_methods.h"
#include "maas/rpc/rpc_testing.h"
#include "maas/rpc/server_connection.h"
#include "maas/wire/predict_encoder.h"

namespace maas {

inline constexpr std::string_view kPredict = "/maas.v1.PredictService/Predict";
inline constexpr std::string_view kPredictStream = "/maas.v1.PredictService/PredictStream";
inline constexpr std::string_view kModelInfer = "/inference.GRPCInferenceService/ModelInfer";
inline constexpr std::string_view kModelStreamInfer = "/inference.GRPCInferenceService/ModelStreamInfer";
inline constexpr std::string_view kTensorFlowPredict = "/tensorflow.serving.PredictionService/Predict";

// Keeps what it is handed, and answers UNIMPLEMENTED.
class HandedOver final : public Fallback {
 public:
  Http2Stream* OnRequest(Http2Session*, int32_t, Headers, bool) override { return nullptr; }
  Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                         std::span<const std::byte> message) override {
    taken.emplace_back(FindHeader(headers, ":path"), AsText(message));
    Http2Stream* const stream = streams_.emplace_back(std::make_unique<Stream>()).get();
    session->Replace(call, stream);
    const HeaderField answer[] = {{":status", "200"}, {"grpc-status", "12"}, {"grpc-message", "behind"}};
    session->SendHeadersAndEnd(stream, answer);
    return stream;
  }

  std::vector<std::pair<std::string, std::string>> taken;  // Path and message.

 private:
  struct Stream final : Http2Stream {
    void OnHeaders(Headers, bool) override {}
    void OnBody(std::span<const std::byte>) override {}
    void OnEnd() override {}
    void OnClosed(uint32_t) override {}
  };
  std::vector<std::unique_ptr<Stream>> streams_;
};

class ServedCalls : public testing::Test {
 protected:
  using Call = RpcClient::Call;

  ServedCalls() { methods_.AddTo(&table_); }

  // Runs, and lets the client send and read, until nothing waits.
  void RunAll() {
    do {
      model_.RunAll();
      client_.Exchange();
    } while (model_.waiting() > 0);
  }
  void Loop() {
    model_.Loop();
    client_.Exchange();
  }
  // What still waits completes with an error.
  void Abort(const Status& status) {
    model_.Abort(status);
    client_.Exchange();
  }
  // Cancels `call`, all of whose requests wait: they go, and `left` of others are run.
  void ExpectCancelledAlone(Call* call, int64_t left) {
    client_.Cancel(call);
    EXPECT_EQ(model_.waiting(), left);
    RunAll();
    EXPECT_EQ(model_.sink.under_way(), 0U);
    EXPECT_TRUE(call->messages.empty());
  }
  // Cancels `call`, whose requests are all of the batch: its run is interrupted.
  void ExpectInterrupted(Call* call) {
    model_.Begin();
    client_.Cancel(call);
    EXPECT_EQ(model_.interrupted.size(), 1U);
    model_.End();
    Loop();
    EXPECT_EQ(model_.sink.under_way(), 0U);
  }
  static ServerConnection::Options Options() {
    ServerConnection::Options options;
    options.tenant_key = "tenant";
    options.encode_details = &EncodeStatus;
    return options;
  }
  // So that little waits at the client.
  static Http2Session::Options SmallWindow() {
    Http2Session::Options options;
    options.stream_window = 65536;
    return options;
  }
  static void ExpectFailed(const Call& call, const Status& status) {
    EXPECT_EQ(call.status(), static_cast<int>(status.code()));
    EXPECT_EQ(call.message(), status.message());
    EXPECT_EQ(call.details(), EncodeStatus(status));
  }

  ServedModel model_;
  PredictMethods methods_{&model_.sink};
  MethodTable table_;
  HandedOver behind_;
  Peer peer_;
  ServerConnection connection_{Options(), &model_.clock, &peer_, &table_, &behind_};
  RpcClient client_{&connection_, SmallWindow()};
};

}  // namespace maas
