// What HTTP/2 costs the server: unary calls between two sessions in memory, 64 at a time, and large bodies
// received where they are read.
//
// Run: make -f csrc/Makefile VARIANT=bench build/bench/maas/http2/session_bench && build/bench/maas/http2/...
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "maas/base/clock.h"
#include "maas/http2/session.h"

namespace maas {
namespace {

constexpr std::array<HeaderField, 8> kRequest = {
    {{":method", "POST"},
     {":scheme", "http"},
     {":path", "/maas.v1.PredictService/Predict"},
     {":authority", "127.0.0.1:8500"},
     {"content-type", "application/grpc"},
     {"te", "trailers"},
     {"user-agent", "grpc-c++/1.60.0 grpc-c/37.0.0 (linux; chttp2)"},
     {"grpc-accept-encoding", "identity, deflate, gzip"}}};
constexpr std::array<HeaderField, 3> kAnswer = {
    {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-accept-encoding", "identity, gzip"}}};
constexpr std::array<HeaderField, 1> kTrailers = {{{"grpc-status", "0"}}};

Chunk MakeChunk(size_t size) {
  Chunk chunk;
  if (!chunk.Reserve(size)) std::abort();
  std::memset(chunk.data(), 0, size);
  chunk.set_size(size);
  return chunk;
}

struct Caller final : Http2Stream {
  void OnHeaders(Headers, bool) override {}
  void OnBody(std::span<const std::byte>) override {}
  void OnEnd() override {}
  void OnClosed(uint32_t) override { delete_me.reset(); }
  std::unique_ptr<Caller> delete_me;
};

struct Handler final : Http2Stream {
  Handler(Http2Session* its_session, size_t room)
      : session(its_session), memory(std::make_unique_for_overwrite<std::byte[]>(room)), size(room) {
    count_kept();
  }
  void OnHeaders(Headers, bool) override {}
  std::span<std::byte> BodyRoom() override { return {memory.get() + at, size - at}; }
  void OnBody(std::span<const std::byte> bytes) override {
    if (size == 0) return;
    if (bytes.data() != memory.get() + at) std::memcpy(memory.get() + at, bytes.data(), bytes.size());
    at += bytes.size();
  }
  void OnEnd() override {
    session->SendHeaders(this, kAnswer);
    session->SendBody(this, MakeChunk(40));
    session->SendTrailers(this, kTrailers);
  }
  void OnClosed(uint32_t) override { delete_me.reset(); }
  Http2Session* session;
  std::unique_ptr<std::byte[]> memory;
  size_t size;
  size_t at = 0;
  std::unique_ptr<Handler> delete_me;
};

struct Server final : Http2Session::Owner {
  Http2Stream* OnRequest(int32_t, Headers, bool) override {
    auto made = std::make_unique<Handler>(session, room);
    Handler* const handler = made.get();
    handler->delete_me = std::move(made);
    return handler;
  }
  Http2Session* session = nullptr;
  size_t room = 0;
};

struct Client final : Http2Session::Owner {
  Http2Stream* OnRequest(int32_t, Headers, bool) override { return nullptr; }
};

struct Times {
  std::chrono::nanoseconds receive{0};
  std::chrono::nanoseconds produce{0};
};

// Of this thread: others may want the core as well.
std::chrono::nanoseconds CpuTime() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

void Take(Http2Session* from, std::vector<std::byte>* to) {
  to->clear();
  while (from->Produce() || !from->out().empty()) {
    if (from->out().empty()) break;
    std::array<iovec, 64> pieces;
    const size_t count = from->out().Gather(pieces);
    const size_t before = to->size();
    for (const iovec& piece : std::span(pieces).first(count)) {
      const auto* const bytes = static_cast<const std::byte*>(piece.iov_base);
      to->insert(to->end(), bytes, bytes + piece.iov_len);
    }
    from->out().Pop(to->size() - before);
  }
}

// Calls of `request_bytes`, `in_flight` at a time; the server's time of each.
Times Run(size_t calls, size_t in_flight, size_t request_bytes, bool in_place) {
  Client client_owner;
  Server server_owner;
  Http2Session client(Http2Session::Role::kClient, {}, SteadyClock::Get(), &client_owner);
  Http2Session server(Http2Session::Role::kServer, {}, SteadyClock::Get(), &server_owner);
  server_owner.session = &server;
  server_owner.room = in_place ? request_bytes : 0;
  Times times;
  std::vector<std::byte> wire;
  std::vector<std::byte> scratch(64 << 10);
  size_t opened = 0;
  while (opened < calls || client.streams() > 0) {
    while (opened < calls && client.streams() < in_flight) {
      auto made = std::make_unique<Caller>();
      Caller* const caller = made.get();
      caller->delete_me = std::move(made);
      if (!client.Open(caller, kRequest, false)) std::abort();
      client.SendBody(caller, MakeChunk(request_bytes));
      client.SendEnd(caller);
      ++opened;
    }
    Take(&client, &wire);
    const auto start = CpuTime();
    for (size_t at = 0; at < wire.size();) {
      std::array<iovec, 16> to;
      const size_t count = server.ReadInto(scratch, to);
      size_t bytes = 0;
      for (const iovec& piece : std::span(to).first(count)) {
        const size_t now = std::min(piece.iov_len, wire.size() - at - bytes);
        std::memcpy(piece.iov_base, wire.data() + at + bytes, now);
        bytes += now;
      }
      if (!server.Received(bytes)) std::abort();
      at += bytes;
    }
    const auto received = CpuTime();
    Take(&server, &wire);
    times.receive += received - start;
    times.produce += CpuTime() - received;
    if (!client.Received(wire)) std::abort();
  }
  return times;
}

void Print(const char* what, const Times& times, size_t calls) {
  const auto per_call = [calls](std::chrono::nanoseconds ns) {
    return static_cast<double>(ns.count()) / static_cast<double>(calls);
  };
  std::printf("%-44s %9.0f ns in %9.0f ns out\n", what, per_call(times.receive), per_call(times.produce));
}

}  // namespace
}  // namespace maas

int main() {
  using maas::Print;
  using maas::Run;
  for (int round = 0; round < 3; ++round) {
    Print("unary, 200 bytes, 64 at a time", Run(200000, 64, 200, false), 200000);
  }
  Print("unary, 200 bytes, 1 at a time", Run(100000, 1, 200, false), 100000);
  Print("unary, 600 KB, 8 at a time, where it is read", Run(1000, 8, 600000, true), 1000);
  Print("unary, 600 KB, 8 at a time, dropped", Run(1000, 8, 600000, false), 1000);
  return 0;
}
