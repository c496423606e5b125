#include "maas/net/transport.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace maas {
namespace {

class PlainTransport final : public Transport {
 public:
  PlainTransport(FileDescriptor socket, std::string address) : socket_(std::move(socket)) {
    peer_.address = std::move(address);
  }

  IoResult Read(std::span<const iovec> to) override {
    ssize_t n = 0;
    do {
      n = readv(socket_.get(), to.data(), static_cast<int>(to.size()));
    } while (n < 0 && errno == EINTR);
    if (n == 0) return {IoState::kClosed, 0};
    return Result(n);
  }

  IoResult Write(std::span<const iovec> from) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(from.data());  // sendmsg() leaves it as it is.
    message.msg_iovlen = from.size();
    ssize_t n = 0;
    do {
      n = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return Result(n);
  }

  uint32_t events(bool reading) const override { return reading ? EPOLLIN : EPOLLOUT; }
  void Shutdown() override { shutdown(socket_.get(), SHUT_WR); }
  int fd() const override { return socket_.get(); }
  const Peer& peer() const override { return peer_; }
  const std::string& error() const override { return error_; }

 private:
  IoResult Result(ssize_t n) {
    if (n >= 0) return {IoState::kOk, static_cast<size_t>(n)};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoState::kAgain, 0};
    error_ = std::strerror(errno);
    return {IoState::kFailed, 0};
  }

  const FileDescriptor socket_;
  Peer peer_;
  std::string error_;
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(FileDescriptor socket, std::string address) {
  return std::make_unique<PlainTransport>(std::move(socket), std::move(address));
}

}  // namespace maas
