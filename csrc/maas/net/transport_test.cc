#include "maas/net/transport.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "maas/net/socket_testing.h"

namespace maas {
namespace {

class PlainTransport : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<FileDescriptor> listening;
    uint16_t port = 0;
    ASSERT_TRUE(Listen("127.0.0.1", 0, &listening, &port).ok());
    peer_ = ConnectLocal(AF_INET, port);
    FileDescriptor accepted;
    std::string address;
    ASSERT_TRUE(AcceptWithin(listening[0], &accepted, &address));
    transport_ = MakePlainTransport(std::move(accepted), std::move(address));
  }

  // Waits until the transport has something to read.
  void AwaitReadable() const { ASSERT_TRUE(IsReady(transport_->fd(), POLLIN, 10'000)); }

  FileDescriptor peer_;
  std::unique_ptr<Transport> transport_;
};

TEST_F(PlainTransport, ReadsIntoPiecesAndWritesFromThem) {
  std::string head(3, ' ');
  std::string tail(10, ' ');
  const std::array<iovec, 2> to{{{head.data(), head.size()}, {tail.data(), tail.size()}}};
  EXPECT_EQ(transport_->Read(to).state, IoState::kAgain);
  ASSERT_EQ(write(peer_.get(), "headtail", 8), 8);
  AwaitReadable();
  const IoResult read_result = transport_->Read(to);
  EXPECT_EQ(read_result.state, IoState::kOk);
  EXPECT_EQ(read_result.bytes, 8U);
  EXPECT_EQ(head + tail.substr(0, 5), "headtail");

  const IoResult written = transport_->Write(to);
  EXPECT_EQ(written.state, IoState::kOk);
  EXPECT_EQ(written.bytes, 13U);
  std::string echoed(13, ' ');
  ASSERT_EQ(read(peer_.get(), echoed.data(), echoed.size()), 13);
  EXPECT_EQ(echoed, head + tail);
}

TEST_F(PlainTransport, KnowsWhatToWaitForAndWhoItsPeerIs) {
  EXPECT_EQ(transport_->events(true), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(transport_->events(false), static_cast<uint32_t>(EPOLLOUT));
  EXPECT_TRUE(transport_->established());
  EXPECT_FALSE(transport_->has_buffered());
  EXPECT_EQ(transport_->peer().address, "ipv4:127.0.0.1:" + std::to_string(LocalPort(peer_)));
  EXPECT_TRUE(transport_->peer().certificate_pem.empty());
}

TEST_F(PlainTransport, AnEndInOrderIsNoFailureAndIsToldTheOtherWayToo) {
  std::array<char, 8> room{};
  const iovec to{room.data(), room.size()};
  ASSERT_EQ(shutdown(peer_.get(), SHUT_WR), 0);
  AwaitReadable();
  EXPECT_EQ(transport_->Read({&to, 1}).state, IoState::kClosed);
  transport_->Shutdown();
  EXPECT_EQ(read(peer_.get(), room.data(), room.size()), 0);
}

TEST_F(PlainTransport, ABrokenConnectionIsAFailureAndNoSignal) {
  const linger reset{1, 0};
  ASSERT_EQ(setsockopt(peer_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
  peer_.Close();
  AwaitReadable();
  std::array<char, 8> room{};
  const iovec bytes{room.data(), room.size()};
  EXPECT_EQ(transport_->Read({&bytes, 1}).state, IoState::kFailed);
  EXPECT_FALSE(transport_->error().empty());
  EXPECT_EQ(transport_->Write({&bytes, 1}).state, IoState::kFailed);
}

TEST_F(PlainTransport, AFullSocketTakesNoMore) {
  std::string large(1 << 20, 'x');
  const iovec from{large.data(), large.size()};
  IoResult result;
  size_t written = 0;
  while ((result = transport_->Write({&from, 1})).state == IoState::kOk) written += result.bytes;
  EXPECT_EQ(result.state, IoState::kAgain);
  EXPECT_GT(written, 0U);
}

}  // namespace
}  // namespace maas
