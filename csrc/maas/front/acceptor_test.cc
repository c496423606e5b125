#include "maas/front/acceptor.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "maas/net/socket_testing.h"

namespace maas {
namespace {

class AcceptorTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(EventLoop::Make(&clock_, &loop_).ok());
    std::vector<FileDescriptor> listening;
    ASSERT_TRUE(Listen("127.0.0.1", 0, &listening, &port_).ok());
    acceptor_ = std::make_unique<Acceptor>(loop_.get(), std::move(listening), &tally_,
                                           [this](FileDescriptor socket, std::string address) {
                                             EXPECT_TRUE(address.starts_with("ipv4:127.0.0.1:"));
                                             taken_.push_back(std::move(socket));
                                           });
    ASSERT_TRUE(acceptor_->Start().ok());
  }
  void TearDown() override { acceptor_.reset(); }

  void RunRound() {
    loop_->Stop();
    loop_->Run();
  }
  FileDescriptor Connect() const { return ConnectLocal(AF_INET, port_); }
  // Whether the server has closed the connection.
  static bool IsClosed(const FileDescriptor& client) {
    if (!IsReady(client.get(), POLLIN, 10'000)) return false;
    char c;
    return recv(client.get(), &c, 1, 0) <= 0;
  }

  FakeClock clock_{1000};
  std::unique_ptr<EventLoop> loop_;
  FrontTally tally_;
  uint16_t port_ = 0;
  std::vector<FileDescriptor> taken_;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, TakesWhoWaits) {
  const FileDescriptor first = Connect();
  const FileDescriptor second = Connect();
  RunRound();
  EXPECT_EQ(taken_.size(), 2U);
  RunRound();
  EXPECT_EQ(taken_.size(), 2U);
}

TEST_F(AcceptorTest, WithoutDescriptorsWhoWaitsIsToldAndLaterOnesAreServed) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need descriptors";
  const FileDescriptor first = Connect();
  const FileDescriptor second = Connect();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Exactly those that are in use: the lowest free number is above the limit, but for the spare one's.
  std::vector<FileDescriptor> fillers;
  const rlimit few{static_cast<rlim_t>(second.get()) + 8, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int fd = dup(0); fd >= 0; fd = dup(0)) fillers.emplace_back(fd);
  RunRound();
  EXPECT_TRUE(taken_.empty());
  EXPECT_EQ(tally_.accept_failures.value(), 1U);
  EXPECT_TRUE(IsClosed(first));
  EXPECT_TRUE(IsClosed(second));
  fillers.clear();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

  const FileDescriptor third = Connect();
  RunRound();
  EXPECT_TRUE(taken_.empty()) << "it pauses";
  clock_.Advance(1'000'000'000);
  RunRound();  // The timer rings;
  RunRound();  // what waits is seen.
  EXPECT_EQ(taken_.size(), 1U);
}

TEST_F(AcceptorTest, TakesWhoCameBeforeItClosesAndNobodyAfterwards) {
  const FileDescriptor before = Connect();
  acceptor_->Close();
  EXPECT_EQ(taken_.size(), 1U);
  EXPECT_FALSE(Connect().valid());
  RunRound();
}

TEST_F(AcceptorTest, TakesAllWhoCameBeforeItClosesHoweverMany) {
  constexpr size_t kMany = 150;
  std::vector<FileDescriptor> waiting;
  for (size_t i = 0; i < kMany; ++i) waiting.push_back(Connect());
  acceptor_->Close();
  EXPECT_EQ(taken_.size(), kMany);
}

}  // namespace
}  // namespace maas
