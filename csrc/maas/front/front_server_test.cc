// The compiled front over real sockets: what it serves, how it stops.
#include "maas/front/front_server.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "maas/front/front_server_testing.h"

namespace maas {
namespace {

TEST_F(FrontServerTest, AnswersACall) {
  Start();
  FrontClient client(port());
  FrontClient::Call* const call = client.Ask(RequestOf(1.5F));
  EXPECT_EQ(client.Await(call), 0);
  EXPECT_EQ(AnswerOf(*call), std::vector<float>{3.0F});
  const FrontCounters counters = server_->counters();
  EXPECT_EQ(counters.connections, 1U);
  EXPECT_EQ(counters.open_connections, 1U);
  EXPECT_EQ(counters.calls, 1U);
  EXPECT_EQ(counters.passed_through, 0U);
  EXPECT_GT(counters.received_bytes, 0U);
  EXPECT_TRUE(Eventually([&] { return server_->counters().sent_bytes > call->body.size(); }));
}

TEST_F(FrontServerTest, ManyClientsOnSeveralThreadsEachGetTheirOwnAnswers) {
  options_.io_threads = 3;
  Start();
  std::vector<std::thread> threads;
  for (int number = 0; number < 6; ++number) {
    threads.emplace_back([this, number] {
      FrontClient client(port());
      for (int round = 0; round < 10; ++round) {
        std::vector<FrontClient::Call*> calls;
        const auto x = static_cast<float>(1000 * number + 20 * round);
        for (int i = 0; i < 20; ++i) calls.push_back(client.Ask(RequestOf(x + static_cast<float>(i))));
        for (int i = 0; i < 20; ++i) {
          EXPECT_EQ(client.Await(calls[static_cast<size_t>(i)]), 0);
          EXPECT_EQ(AnswerOf(*calls[static_cast<size_t>(i)]),
                    std::vector<float>{2 * (x + static_cast<float>(i))});
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server_->counters().calls, 1200U);
  EXPECT_TRUE(OpenBecomes(0));
}

TEST_F(FrontServerTest, MessagesMayBeLargerThanWindowsAndSockets) {
  Start();
  FrontClient client(port());
  constexpr int64_t kRows = 1'000'000;
  FrontClient::Call* const call = client.Ask(RequestOf(1, kRows));
  ASSERT_EQ(client.Await(call), 0);
  const std::vector<float> answer = AnswerOf(*call);
  ASSERT_EQ(answer.size(), static_cast<size_t>(kRows));
  for (size_t i = 0; i < answer.size(); ++i) ASSERT_EQ(answer[i], 2 * (1 + static_cast<float>(i)));
  EXPECT_TRUE(Eventually([&] { return server_->counters().memory_bytes < 1 << 20; }));
}

TEST_F(FrontServerTest, WhoGoesAwayIsNotComputedFor) {
  Start();
  FrontClient first(port());
  AskAndHold(&first);
  FrontClient second(port());
  FrontClient::Call* const cancelled = second.Ask(RequestOf(1, 2));
  second.Ask(RequestOf(1, 3));
  second.Send();
  ASSERT_TRUE(Eventually([&] { return waiting() == 5; }));
  second.Cancel(cancelled);
  second.Send();
  EXPECT_TRUE(Eventually([&] { return waiting() == 3; }));
  second.Close();
  EXPECT_TRUE(Eventually([&] { return waiting() == 0; }));
  // A run that nobody waits for any more may be ended.
  first.Close();
  ASSERT_TRUE(Told());
  EXPECT_EQ(server_->TakeInterrupts().size(), 1U);
  EXPECT_FALSE(Told(0));
}

TEST_F(FrontServerTest, ServesWhatIsUnderWayWhenItShutsDown) {
  options_.io_threads = 2;
  Start();
  FrontClient busy(port());
  FrontClient idle(port());
  FrontClient::Call* const before = idle.Ask("", "/maas.v1.PredictService/Predict");
  EXPECT_EQ(idle.Await(before), 5);
  FrontClient::Call* const call = AskAndHold(&busy);
  server_->Shutdown(kTestPatienceNs);
  EXPECT_TRUE(idle.AwaitEnd());
  EXPECT_FALSE(idle.broken());
  EXPECT_TRUE(idle.told_to_go());
  EXPECT_TRUE(busy.Pump([&] { return busy.told_to_go(); }));
  EXPECT_FALSE(server_->finished());
  EXPECT_FALSE(ConnectLocal(AF_INET, port()).valid()) << "nobody is accepted any more";
  Hold(false);
  EXPECT_EQ(busy.Await(call), 0);
  EXPECT_TRUE(busy.AwaitEnd());
  EXPECT_FALSE(busy.broken());
  ASSERT_TRUE(Told());
  EXPECT_TRUE(server_->finished());
}

TEST_F(FrontServerTest, CutsWhatIsLeftAfterTheGrace) {
  Start();
  FrontClient client(port());
  AskAndHold(&client);
  server_->Shutdown(20 * kMs);
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_TRUE(Eventually([&] { return server_->finished(); }));
  EXPECT_EQ(server_->counters().open_connections, 0U);
  EXPECT_FALSE(server_->idle()) << "a batch still reads the request";
  server_->TakeInterrupts();
  Hold(false);
  ASSERT_TRUE(Told());
  EXPECT_TRUE(server_->idle());
}

TEST_F(FrontServerTest, WithoutConnectionsItIsFinishedAtOnce) {
  options_.io_threads = 2;
  Start();
  EXPECT_FALSE(server_->finished());
  EXPECT_FALSE(server_->idle());
  server_->Shutdown(kTestPatienceNs);
  EXPECT_TRUE(Eventually([&] { return server_->finished(); }));
  EXPECT_TRUE(Eventually([&] { return server_->idle(); }));
}

TEST_F(FrontServerTest, RefusesNewCallsButNotOldOnes) {
  Start();
  FrontClient client(port());
  FrontClient::Call* const old = AskAndHold(&client);
  server_->Refuse();
  EXPECT_EQ(server_->refused(), 0U);
  // The thread learns of it in its own time.
  EXPECT_TRUE(Eventually([&] { return client.Await(client.AskWithin("20m", RequestOf(2))) == 14; }));
  EXPECT_EQ(server_->refused(), 1U);
  Hold(false);
  EXPECT_EQ(client.Await(old), 0);
}

TEST_F(FrontServerTest, ItsEndWaitsForTheCoreToLetGoOfTheRequests) {
  options_.io_threads = 2;
  Start();
  FrontClient client(port());
  AskAndHold(&client);
  client.Ask(RequestOf(2));
  client.Send();
  ASSERT_TRUE(Eventually([&] { return waiting() == 1; }));
  std::atomic<bool> gone{false};
  std::thread end([&] {
    server_.reset();
    gone = true;
  });
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_TRUE(Eventually([&] { return waiting() == 0; }));
  EXPECT_FALSE(gone) << "a batch still reads the request";
  Hold(false);
  end.join();
  EXPECT_TRUE(gone);
}

TEST_F(FrontServerTest, ConnectionsGoWhenTheyAreOld) {
  options_.max_connection_age_ns = 30 * kMs;
  Start();
  Hold(true);
  FrontClient client(port());
  FrontClient::Call* const call = client.Ask(RequestOf(1));
  EXPECT_TRUE(client.Pump([&] { return client.told_to_go(); }));
  EXPECT_EQ(client.go_away_error(), 0U);
  Hold(false);
  EXPECT_EQ(client.Await(call), 0);
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_FALSE(client.broken());
  FrontClient next(port());
  EXPECT_EQ(next.Await(next.Ask(RequestOf(1))), 0);
}

TEST_F(FrontServerTest, AnOldConnectionIsCutAfterTheGrace) {
  options_.max_connection_age_ns = 20 * kMs;
  options_.max_connection_age_grace_ns = 20 * kMs;
  Start();
  Hold(true);
  FrontClient client(port());
  client.Ask(RequestOf(1));
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_TRUE(client.told_to_go());
}

TEST_F(FrontServerTest, AnswersWhatItKnowsOfTheServer) {
  options_.io_threads = 2;
  Start();
  auto state = std::make_shared<ServingState>();
  state->ready = true;
  server_->SetState(state);
  FrontClient client(port());
  FrontClient::Call* call = nullptr;
  // Each thread learns of it in its own time.
  EXPECT_TRUE(Eventually([&] {
    call = client.Ask("", "/inference.GRPCInferenceService/ServerReady");
    return client.Await(call) == 0;
  }));
  EXPECT_EQ(call->message(), "\x08\x01");
}

TEST_F(FrontServerTest, WithoutAServerBehindOtherMethodsAreUnavailable) {
  options_.socket_path = "/nobody/listens/here";
  Start();
  FrontClient client(port());
  FrontClient::Call* const call = client.Ask("", "/maas.v1.ModelService/ListModels");
  ASSERT_TRUE(client.Pump([&] { return call->closed; }));
  EXPECT_NE(call->status(), 0);
  EXPECT_EQ(client.Await(client.Ask(RequestOf(1))), 0) << "the connection goes on";
}

TEST_F(FrontServerTest, APortInUseIsUnavailable) {
  Start();
  options_.port = port();
  Engine engine({.sweep_interval_ns = 0}, SteadyClock::Get());
  std::unique_ptr<FrontServer> second;
  EXPECT_EQ(FrontServer::Start(options_, &engine, &second).code(), Code::kUnavailable);
  EXPECT_EQ(second, nullptr);
}

}  // namespace
}  // namespace maas
