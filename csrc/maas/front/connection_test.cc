// Connections of peers who are slow, silent or hostile, over real sockets: each is ended in bounded time, and
// the others are served on.
#include "maas/front/connection.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "maas/front/front_server_testing.h"

namespace maas {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kEmptySettings("\0\0\0\4\0\0\0\0\0", 9);

class ConnectionTest : public FrontServerTest {
 protected:
  FileDescriptor Connect() const { return ConnectLocal(AF_INET, port()); }
  static void Say(const FileDescriptor& socket, std::string_view bytes) {
    ASSERT_EQ(send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // All that the server says until it ends the connection, *broken: not in order.
  static std::string Hear(const FileDescriptor& socket, bool* broken) {
    std::string heard;
    std::array<char, 65536> bytes;
    for (;;) {
      if (!IsReady(socket.get(), POLLIN, 30'000)) {
        ADD_FAILURE() << "the server does not end the connection";
        return heard;
      }
      const ssize_t n = recv(socket.get(), bytes.data(), bytes.size(), 0);
      *broken = n < 0;
      if (n <= 0) return heard;
      heard.append(bytes.data(), static_cast<size_t>(n));
    }
  }
  // Whether a GOAWAY is among the frames.
  static bool HasGoAway(std::string_view frames) {
    while (frames.size() >= 9) {
      const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(frames[i])); };
      if (byte(3) == 7) return true;
      frames.remove_prefix(std::min(frames.size(), 9 + (byte(0) << 16 | byte(1) << 8 | byte(2))));
    }
    return false;
  }
  void ExpectServed() const {
    FrontClient client(port());
    EXPECT_EQ(client.Await(client.Ask(RequestOf(1))), 0);
  }
};

TEST_F(ConnectionTest, GarbageIsAnsweredWithAGoAwayAndCounted) {
  Start();
  FileDescriptor peer = Connect();
  // More than is read at once, so that there is something left to be read when it is known to be garbage.
  Say(peer, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + std::string(400'000, 'x'));
  bool broken = false;
  const std::string heard = Hear(peer, &broken);
  EXPECT_FALSE(broken) << "a reset may overtake the last words";
  EXPECT_TRUE(HasGoAway(heard));
  peer.Close();
  EXPECT_TRUE(Eventually([&] { return Ended("protocol") == 1; }));
  ExpectServed();
}

TEST_F(ConnectionTest, SilentPeersAreSentAwayAfterAWhile) {
  options_.handshake_timeout_ns = 30 * kMs;
  Start();
  std::vector<FileDescriptor> peers;
  for (const std::string& said : {std::string(), std::string(kPreface.substr(0, 10)), std::string(kPreface),
                                  std::string(kPreface) + std::string(kEmptySettings.substr(0, 5))}) {
    peers.push_back(Connect());
    if (!said.empty()) Say(peers.back(), said);
  }
  for (const FileDescriptor& peer : peers) {
    bool broken = false;
    Hear(peer, &broken);
  }
  EXPECT_TRUE(Eventually([&] { return Ended("handshake_timeout") == 4; }));
  EXPECT_TRUE(OpenBecomes(0));
}

TEST_F(ConnectionTest, WhoSaidWhatItIsMayBeSilent) {
  options_.handshake_timeout_ns = 30 * kMs;
  Start();
  const FileDescriptor peer = Connect();
  Say(peer, std::string(kPreface) + std::string(kEmptySettings));
  const FileDescriptor silent = Connect();
  bool broken = false;
  Hear(silent, &broken);  // Whose time is over after the first one's.
  EXPECT_TRUE(Eventually([&] { return Ended("handshake_timeout") == 1; }));
  EXPECT_EQ(server_->counters().open_connections, 1U);
}

TEST_F(ConnectionTest, APeerWhoReadsNothingIsCut) {
  options_.stall_timeout_ns = 50 * kMs;
  Start();
  FrontClient client(port(), {.stream_window = 1U << 30, .connection_window = 1U << 30});
  Hold(true);
  for (int i = 0; i < 8; ++i) client.Ask(RequestOf(1, 500'000));
  ASSERT_TRUE(client.Pump([&] { return client.sent_all(); }));
  Hold(false);
  EXPECT_TRUE(Eventually([&] { return Ended("stalled") == 1; }));
  EXPECT_TRUE(OpenBecomes(0));
  EXPECT_TRUE(Eventually([&] { return server_->counters().memory_bytes == 0; }));
  ExpectServed();
}

TEST_F(ConnectionTest, APeerWhoseWindowStaysShutIsCutThoughItPings) {
  options_.stall_timeout_ns = 100 * kMs;
  options_.min_ping_interval_ns = 0;
  Start();
  FrontClient client(port(), {.stream_window = 1000});
  FrontClient::Call* const call = client.Ask(RequestOf(1, 5000), "/maas.v1.PredictService/Predict", false);
  const int64_t begin = SteadyClock::Get()->Now();
  int64_t pinged = begin;
  client.Pump([&] {
    if (SteadyClock::Get()->Now() - pinged > 10 * kMs) {
      pinged = SteadyClock::Get()->Now();
      client.session().Ping();
    }
    return false;
  });
  EXPECT_FALSE(call->body.empty()) << "what fits in the window was sent";
  EXPECT_TRUE(Eventually([&] { return Ended("stalled") == 1; }));
  EXPECT_LT(SteadyClock::Get()->Now() - begin, kTestPatienceNs);
}

TEST_F(ConnectionTest, APeerWhoTakesAByteNowAndThenIsCut) {
  options_.stall_timeout_ns = 300 * kMs;
  Start();
  FrontClient client(port(), {.stream_window = 2});
  FrontClient::Call* const call = client.Ask(RequestOf(1, 50'000), "/maas.v1.PredictService/Predict", false);
  size_t consumed = 0;
  int64_t last = SteadyClock::Get()->Now();
  EXPECT_FALSE(client.Pump([&] {
    if (consumed < call->body.size() && SteadyClock::Get()->Now() - last > 5 * kMs) {
      last = SteadyClock::Get()->Now();
      client.session().Consumed(call, 1);
      ++consumed;
    }
    return call->status() != -1;
  }));
  EXPECT_GT(consumed, 2U) << "the window was opened";
  EXPECT_TRUE(Eventually([&] { return Ended("stalled") == 1; }));
}

TEST_F(ConnectionTest, WhoLeavesAnswersUnreadIsCutWhenThereIsNoMoreMemoryForThem) {
  options_.memory_limit = 1 << 20;
  Start();
  FrontClient client(port(), {.stream_window = 1000});
  Hold(true);
  for (int i = 0; i < 20; ++i) {  // One by one: half-received messages cost memory, too.
    client.Ask(RequestOf(1, 25'000), "/maas.v1.PredictService/Predict", false);
    ASSERT_TRUE(client.Pump([&] { return client.sent_all(); }));
  }
  Hold(false);
  EXPECT_TRUE(client.AwaitEnd());
  EXPECT_TRUE(Eventually([&] { return Ended("unread") == 1; }));
  EXPECT_TRUE(Eventually([&] { return server_->counters().memory_bytes == 0; }));
  ExpectServed();
}

TEST_F(ConnectionTest, UnreadAnswersCountUntilTheyAreRead) {
  Start();
  FrontClient client(port(), {.stream_window = 1000});
  FrontClient::Call* const call = client.Ask(RequestOf(1, 250'000), "/maas.v1.PredictService/Predict", false);
  EXPECT_TRUE(client.Pump(
      [&] { return server_->counters().memory_bytes >= 1'000'000 && call->body.size() == 1000; }));
  size_t consumed = 0;
  EXPECT_TRUE(client.Pump([&] {
    client.session().Consumed(call, call->body.size() - consumed);
    consumed = call->body.size();
    return call->closed;
  }));
  EXPECT_EQ(AnswerOf(*call).size(), 250'000U);
  EXPECT_TRUE(Eventually([&] { return server_->counters().memory_bytes == 0; }));
}

TEST_F(ConnectionTest, ASlowReaderGetsAllAndHoldsNobodyUp) {
  Start();
  FrontClient slow(port());
  constexpr int64_t kRows = 1'000'000;
  Hold(true);
  FrontClient::Call* const call = slow.Ask(RequestOf(1, kRows));
  ASSERT_TRUE(slow.Pump([&] { return slow.sent_all(); }));
  Hold(false);
  ASSERT_TRUE(Eventually([&] { return server_->counters().sent_bytes > 10'000; }));
  for (int i = 0; i < 20; ++i) ExpectServed();
  ASSERT_EQ(slow.Await(call), 0);
  EXPECT_EQ(AnswerOf(*call).size(), static_cast<size_t>(kRows));
  EXPECT_EQ(Ended("stalled"), 0U);
}

TEST_F(ConnectionTest, CallsOfAConnectionThatIsResetLeaveTheQueue) {
  Start();
  FrontClient running(port());
  AskAndHold(&running);
  FrontClient client(port());
  client.Ask(RequestOf(1, 7));
  client.Send();
  ASSERT_TRUE(Eventually([&] { return waiting() == 7; }));
  const linger reset{1, 0};
  ASSERT_EQ(setsockopt(client.socket().get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
  client.Close();
  EXPECT_TRUE(Eventually([&] { return waiting() == 0; }));
  EXPECT_TRUE(OpenBecomes(1));
}

TEST_F(ConnectionTest, ACallEndsAtItsDeadlineThoughNobodyHasAnsweredIt) {
  Start();
  Hold(true);
  FrontClient client(port());
  FrontClient::Call* const call = client.AskWithin("20m", RequestOf(1));
  EXPECT_EQ(client.Await(call), 4);
  FrontClient::Call* const unlimited = client.Ask(RequestOf(2));
  Hold(false);
  EXPECT_EQ(client.Await(unlimited), 0);
}

TEST_F(ConnectionTest, AnIdleConnectionCostsLittle) {
  if (kSanitized) GTEST_SKIP() << "sanitizers keep memory of their own";
  Start();
  ExpectServed();
  ASSERT_TRUE(OpenBecomes(0));
  constexpr uint64_t kPeers = 200;
  const size_t before = mallinfo2().uordblks;
  std::vector<FileDescriptor> peers;
  for (uint64_t i = 0; i < kPeers; ++i) {
    peers.push_back(Connect());
    Say(peers.back(), std::string(kPreface) + std::string(kEmptySettings));
  }
  // Each is told the server's settings, and that its own were seen.
  for (const FileDescriptor& peer : peers) {
    std::string heard;
    std::array<char, 1000> bytes;
    const std::string_view seen("\0\0\0\4\1\0\0\0\0", 9);
    while (heard.find(seen) == std::string::npos) {
      ASSERT_TRUE(IsReady(peer.get(), POLLIN, 30'000));
      const ssize_t n = recv(peer.get(), bytes.data(), bytes.size(), 0);
      ASSERT_GT(n, 0);
      heard.append(bytes.data(), static_cast<size_t>(n));
    }
  }
  EXPECT_EQ(server_->counters().open_connections, kPeers);
  const size_t each = (mallinfo2().uordblks - before) / kPeers;
  RecordProperty("bytes", static_cast<int>(each));
  EXPECT_LT(each, 30'000U);
}

}  // namespace
}  // namespace maas
