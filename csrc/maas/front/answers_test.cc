#include "maas/front/answers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "maas/front/served_calls_testing.h"

namespace maas {
namespace {

constexpr std::string_view kLive = "/inference.GRPCInferenceService/ServerLive";
constexpr std::string_view kReady = "/inference.GRPCInferenceService/ServerReady";
constexpr std::string_view kModelReady = "/inference.GRPCInferenceService/ModelReady";
constexpr std::string_view kCheck = "/grpc.health.v1.Health/Check";

const std::string kOne = "\x08\x01";
const std::string kTwo = "\x08\x02";

class AnswersTest : public testing::Test {
 protected:
  AnswersTest() {
    auto route = std::make_shared<Route>();
    const auto version = MakeVersion(MakeSpec({}), &clock_);
    route->versions = {{1, version}, {12, version}};
    route->labels = {{"prod", 12}};
    route->known = {1, 2, 12};
    route->standard = version;
    routes_.Set("m", route);
    routes_.Set("none", std::make_shared<Route>());
    answers_.AddTo(&table_);
  }

  void SetState(bool ready) {
    auto state = std::make_shared<ServingState>();
    state->ready = ready;
    state->health = {{"", ready}, {"liveness", true}, {"m", false}};
    answers_.SetState(state);
  }
  // The message that answers; "behind" if somebody else is to.
  std::string Ask(std::string_view path, const std::string& request) {
    const RpcClient::Call* call = client_.Unary(path, request);
    if (call->message() == "behind") {
      EXPECT_EQ(behind_.taken.back(), std::make_pair(std::string(path), request));
      return "behind";
    }
    EXPECT_EQ(call->status(), 0);
    EXPECT_EQ(call->messages.size(), 1u);
    return call->messages.empty() ? "nothing" : call->messages[0];
  }
  std::string AskModel(std::string_view name, std::string_view version = "") {
    return Ask(kModelReady, MessageBuilder().Bytes(1, name).Bytes(2, version).str());
  }

  FakeClock clock_;
  Routes routes_;
  AnswerMethods answers_{&routes_};
  MethodTable table_;
  HandedOver behind_;
  Peer peer_;
  ServerConnection connection_{{}, &clock_, &peer_, &table_, &behind_};
  RpcClient client_{&connection_};
};

TEST_F(AnswersTest, NothingIsAnsweredBeforeThereIsAState) {
  for (const std::string_view path : {kLive, kReady, kModelReady, kCheck}) EXPECT_EQ(Ask(path, ""), "behind");
}

TEST_F(AnswersTest, AServerLivesAndIsReadyOrNot) {
  SetState(false);
  EXPECT_EQ(Ask(kLive, ""), kOne);
  EXPECT_EQ(Ask(kReady, ""), "");
  SetState(true);
  EXPECT_EQ(Ask(kLive, ""), kOne);
  EXPECT_EQ(Ask(kReady, ""), kOne);
}

TEST_F(AnswersTest, AModelIsReadyWhereACallOfItWouldFindAVersion) {
  SetState(true);
  for (const std::string_view version : {"", "1", "12", "prod", "01"}) {
    EXPECT_EQ(AskModel("m", version), kOne) << version;
  }
  EXPECT_TRUE(behind_.taken.empty());
  routes_.Set("m", nullptr);
  EXPECT_EQ(AskModel("m"), "behind") << "gone as soon as calls do not find it";
}

TEST_F(AnswersTest, ModelsThatAreNotReadyAreHandedOver) {
  SetState(true);
  for (const std::string_view version :
       {"2", "3", "0", "-1", "canary", "1 ", "\xD9\xA1", "9223372036854775808", "00000000000000000001",
        "000000000000000000000000000001"}) {
    EXPECT_EQ(AskModel("m", version), "behind") << version;
  }
  EXPECT_EQ(AskModel("none"), "behind");
  EXPECT_EQ(AskModel("other"), "behind");
  EXPECT_EQ(AskModel(""), "behind");
}

TEST_F(AnswersTest, WithoutRoutesEveryModelReadyIsHandedOver) {
  AnswerMethods without;
  auto state = std::make_shared<ServingState>();
  without.SetState(state);
  without.AddTo(&table_);
  EXPECT_EQ(AskModel("m"), "behind");
}

TEST_F(AnswersTest, HealthIsWhatTheStateSays) {
  SetState(true);
  const auto check = [this](std::string_view service) {
    return Ask(kCheck, service.empty() ? "" : MessageBuilder().Bytes(1, service).str());
  };
  EXPECT_EQ(check(""), kOne);
  EXPECT_EQ(check("liveness"), kOne);
  EXPECT_EQ(check("m"), kTwo);
  EXPECT_EQ(check("other"), "behind");
  SetState(false);
  EXPECT_EQ(check(""), kTwo);
}

TEST_F(AnswersTest, RequestsAreReadAsProtobufReadsThem) {
  SetState(true);
  const std::string twice = MessageBuilder().Bytes(1, "x").Bytes(2, "7").Bytes(1, "m").Bytes(2, "1").str();
  EXPECT_EQ(Ask(kModelReady, twice), kOne) << "the last counts";
  EXPECT_EQ(Ask(kModelReady, MessageBuilder().Bytes(1, "m").Number(2, 5).Bytes(9, "new").str()), kOne)
      << "what is not known is passed over";
}

TEST_F(AnswersTest, MalformedRequestsAreHandedOver) {
  SetState(true);
  for (const std::string& malformed :
       {std::string("\xFF"), std::string("\x0A\x05m"), std::string("\x0A\x01\xFF")}) {
    for (const std::string_view path : {kLive, kReady, kModelReady, kCheck}) {
      if (malformed == "\x0A\x01\xFF" && (path == kLive || path == kReady))
        continue;  // Unknown, and no text.
      EXPECT_EQ(Ask(path, malformed), "behind") << path;
    }
  }
}

}  // namespace
}  // namespace maas
