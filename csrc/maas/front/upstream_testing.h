// A client without a socket, and servers behind at the other end of real ones, all in one thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "maas/base/clock.h"
#include "maas/front/relay_testing.h"
#include "maas/net/event_loop.h"
#include "maas/net/memory_budget.h"
#include "maas/net/socket.h"
#include "maas/net/transport.h"

namespace maas {

// One connection, as its server sees it.
class ServedSocket {
 public:
  explicit ServedSocket(FileDescriptor socket, bool slow = false)
      : recorded(SteadyClock::Get(), {}, slow), socket_(std::move(socket)) {}

  // Reads and writes what can be; whether that was anything.
  bool Pump() {
    if (!socket_.valid()) return false;
    bool moved = Read();
    recorded.session.Produce();
    OutQueue& out = recorded.session.out();
    while (!out.empty()) {
      std::array<iovec, 1> piece;
      out.Gather(piece);
      const ssize_t sent =
          send(socket_.get(), piece[0].iov_base, piece[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent <= 0) break;
      moved = true;
      out.Pop(static_cast<size_t>(sent));
      recorded.session.Produce();
    }
    return moved;
  }
  void SendRaw(std::string_view bytes) const {
    EXPECT_EQ(send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void Close() { socket_.Close(); }
  RecordingStream* request() { return recorded.requests.back().get(); }

  RecordingServer recorded;
  bool ended = false;  // The other side closed it.

 private:
  bool Read() {
    std::array<std::byte, 65536> bytes;
    const ssize_t got = recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0) ended = true;
    return got > 0 && recorded.session.Received(std::span(bytes).first(static_cast<size_t>(got)));
  }

  FileDescriptor socket_;
};

// A fixture: the client's side is carried by hand, the loop goes round when it is told.
class FrontedClient : public testing::Test, private Http2Session::Owner {
 protected:
  FrontedClient() { EXPECT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop_).ok()); }

  // The handler of a request of the client; null: none.
  virtual Http2Stream* Take(int32_t stream, Headers headers, bool end) = 0;
  virtual std::vector<ServedSocket*> Servers() = 0;

  // One round of everything.
  void Step() {
    Carry(&client_.session, front_.get());
    loop_->Stop();  // Run() goes round once then.
    loop_->Run();
    for (ServedSocket* server : Servers()) server->Pump();
    if (front_ != nullptr) Carry(front_.get(), &client_.session);
  }
  // False: it did not come to that.
  [[nodiscard]] bool StepUntil(const std::function<bool()>& reached) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!reached()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      Step();
    }
    return true;
  }
  // Long enough for anything that goes wrong to do so.
  void Settle() {
    for (int i = 0; i < 20; ++i) Step();
  }

  static constexpr std::array<HeaderField, 6> kRequest{{{":method", "POST"},
                                                        {":scheme", "http"},
                                                        {":path", "/service/method"},
                                                        {":authority", "here"},
                                                        {"te", "trailers"},
                                                        {"content-type", "application/grpc"}}};
  static constexpr std::array<HeaderField, 3> kRefusal{
      {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "5"}}};

  std::array<std::byte, 65536> scratch_;
  MemoryBudget budget_{size_t{64} << 20};
  std::unique_ptr<EventLoop> loop_;
  RecordingClient client_{SteadyClock::Get()};
  std::unique_ptr<Http2Session> front_ =
      std::make_unique<Http2Session>(Http2Session::Role::kServer, Http2Session::Options{}, SteadyClock::Get(),
                                     static_cast<Http2Session::Owner*>(this));

 private:
  Http2Stream* OnRequest(int32_t stream, Headers headers, bool end) final {
    return Take(stream, headers, end);
  }
};

}  // namespace maas
