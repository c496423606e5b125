// What the fuzzer of the front has on the other sides of a connection: a server behind, and a reader of what
// is sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/front/relay.h"
#include "maas/front/relay_testing.h"
#include "maas/http2/session.h"
#include "maas/net/memory_budget.h"
#include "maas/rpc/server_connection.h"

namespace maas {

// As assert() does, but in every build: the fuzzer reports what stops the program.
inline void Require(bool condition) {
  if (!condition) std::abort();
}

// The server behind: sends back what it gets.
class EchoServer final : public Http2Session::Owner {
 public:
  explicit EchoServer(const Clock* clock) : session(Http2Session::Role::kServer, {}, clock, this) {}
  ~EchoServer() { Require(session.streams() == streams_.size()); }
  Http2Stream* OnRequest(int32_t /*stream*/, Headers headers, bool /*end*/) override {
    for (const HeaderField& field : headers) Require(!field.name.empty());
    auto stream = std::make_unique<Stream>(this);
    Http2Stream* const key = stream.get();
    streams_[key] = std::move(stream);
    return key;
  }

 private:
  class Stream final : public Http2Stream {
   public:
    explicit Stream(EchoServer* server) : server_(server) {}
    void OnHeaders(Headers /*headers*/, bool /*end*/) override {}
    void OnBody(std::span<const std::byte> bytes) override {
      Begin();
      server_->session.SendBody(this, MakeChunk({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    }
    void OnEnd() override {
      Begin();
      const HeaderField trailers[] = {{"grpc-status", "0"}};
      server_->session.SendTrailers(this, trailers);
    }
    void OnClosed(uint32_t /*error*/) override { server_->streams_.erase(this); }

   private:
    void Begin() {
      if (std::exchange(begun_, true)) return;
      const HeaderField fields[] = {{":status", "200"}, {"content-type", "application/grpc"}};
      server_->session.SendHeaders(this, fields);
    }
    EchoServer* const server_;
    bool begun_ = false;
  };

  std::map<Http2Stream*, std::unique_ptr<Stream>> streams_;

 public:
  Http2Session session;  // Last: it ends the streams.
};

// Relays to a server in the same memory.
class Behind final : public Fallback, private Http2Session::Owner, private Relay::Owner {
 public:
  Behind(const Clock* clock, MemoryBudget* budget)
      : budget_(budget), server_(clock), session_(Http2Session::Role::kClient, {}, clock, this) {}
  ~Behind() { Require(relays_.empty()); }

  Http2Stream* OnRequest(Http2Session* session, int32_t /*stream*/, Headers headers, bool end) override {
    return Join(session, headers, end);
  }
  Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                         std::span<const std::byte> message) override {
    return Join(session, headers, MakeChunk({reinterpret_cast<const char*>(message.data()), message.size()}),
                call);
  }
  void Pump() {
    bool moved = true;
    while (moved) {
      for (Relay* relay : std::exchange(held_, {})) {
        if (relay->Flush()) held_.push_back(relay);
      }
      moved = Carry(&session_, &server_.session) > 0;
      moved = Carry(&server_.session, &session_) > 0 || moved;
    }
  }

 private:
  template <typename... Args>
  Http2Stream* Join(Http2Session* client, Args&&... args) {
    auto relay = std::make_unique<Relay>(client, &session_, budget_, static_cast<Relay::Owner*>(this));
    if (!relay->Open(std::forward<Args>(args)...)) return nullptr;
    Relay* const key = relay.get();
    relays_[key] = std::move(relay);
    return key->client_stream();
  }
  Http2Stream* OnRequest(int32_t, Headers, bool) override { return nullptr; }
  void OnHeld(Relay* relay) override { held_.push_back(relay); }
  void OnQueued(bool /*client*/) override {}
  void OnOver(Relay* relay) override {
    std::erase(held_, relay);
    relays_.erase(relay);
  }

  MemoryBudget* const budget_;
  std::vector<Relay*> held_;
  std::map<Relay*, std::unique_ptr<Relay>> relays_;
  EchoServer server_;
  Http2Session session_;  // Last: it ends the relays' streams.
};

// Reads what a connection sends: whole frames, none of a stream that has ended.
class FrameCheck {
 public:
  void Add(std::string_view bytes) {
    bytes_ += bytes;
    size_t at = 0;
    for (size_t size = 0;
         bytes_.size() - at >= kHead && bytes_.size() - at - kHead >= (size = Number(at, 3));) {
      Frame(Number(at + 3, 1), Number(at + 4, 1), Number(at + 5, 4));
      at += kHead + size;
    }
    bytes_.erase(0, at);
  }

 private:
  static constexpr size_t kHead = 9;
  uint32_t Number(size_t at, size_t size) const {
    uint32_t number = 0;
    for (size_t i = 0; i < size; ++i) number = number << 8 | static_cast<uint8_t>(bytes_[at + i]);
    return number;
  }
  void Frame(uint32_t type, uint32_t flags, uint32_t stream) {
    constexpr uint32_t kData = 0;
    constexpr uint32_t kHeaders = 1;
    constexpr uint32_t kRstStream = 3;
    constexpr uint32_t kEndStream = 1;
    if (stream == 0) return;
    Ended& ended = ended_[stream];
    if (type == kData || type == kHeaders) {
      Require(!ended.in_order && !ended.reset);
      ended.in_order = (flags & kEndStream) != 0;
    } else if (type == kRstStream) {
      Require(!ended.reset);
      ended.reset = true;
    }
  }

  struct Ended {
    bool in_order = false;
    bool reset = false;
  };
  std::string bytes_;
  std::map<uint32_t, Ended> ended_;
};

}  // namespace maas
