// For tests: handlers that write down what they are told, two sessions glued in memory, frames made by hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/base/clock.h"
#include "maas/http2/session.h"
#include "maas/net/chunk_testing.h"

namespace maas {

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

using Fields = std::vector<std::pair<std::string, std::string>>;

inline Fields Copy(Headers headers) {
  Fields copy;
  for (const HeaderField& field : headers) copy.emplace_back(field.name, field.value);
  return copy;
}

inline std::vector<HeaderField> Views(const Fields& fields) {
  std::vector<HeaderField> views;
  for (const auto& [name, value] : fields) views.push_back({name, value});
  return views;
}

inline const Fields kRequest = {{":method", "POST"},
                                {":scheme", "http"},
                                {":path", "/package.Service/Method"},
                                {":authority", "localhost"},
                                {"content-type", "application/grpc"},
                                {"te", "trailers"}};
inline const Fields kAnswer = {{":status", "200"}, {"content-type", "application/grpc"}};
inline const Fields kTrailers = {{"grpc-status", "0"}};

// Receives into memory of its own if `room` is not 0.
class RecordingStream final : public Http2Stream {
 public:
  explicit RecordingStream(size_t room = 0) : memory(room) {}
  void HoldWindow() { hold_window(); }
  void CountKept() { count_kept(); }
  // From now on it has no room.
  void LoseMemory() {
    memory = {};
    at_ = 0;
  }

  void OnHeaders(Headers headers, bool end) override {
    blocks.push_back(Copy(headers));
    headers_ended = end;
  }
  std::span<std::byte> BodyRoom() override { return std::span(memory).subspan(at_); }
  void OnBody(std::span<const std::byte> bytes) override {
    if (!memory.empty() && bytes.data() == memory.data() + at_) in_place += bytes.size();
    body += AsText(bytes);
    // What is in place is overwritten, so that nobody reads it from there again.
    at_ = std::min(memory.size(), at_ + bytes.size());
    if (on_body) on_body();
  }
  void OnEnd() override {
    ++ends;
    if (on_end) on_end();
  }
  void OnRoom() override {
    ++rooms;
    if (on_room) on_room();
  }
  void OnClosed(uint32_t error) override {
    closed = error;
    if (on_closed) on_closed();
  }

  std::vector<Fields> blocks;
  std::string body;
  std::vector<std::byte> memory;
  size_t in_place = 0;
  bool headers_ended = false;
  int ends = 0;
  int rooms = 0;
  std::optional<uint32_t> closed;
  std::function<void()> on_body, on_end, on_room, on_closed;

 private:
  size_t at_ = 0;
};

// Keeps every stream that it made.
class RecordingOwner final : public Http2Session::Owner {
 public:
  Http2Stream* OnRequest(int32_t stream, Headers headers, bool end) override {
    requests.push_back(Copy(headers));
    if (refuse) return nullptr;
    auto& made = streams[stream] = std::make_unique<RecordingStream>(room);
    if (on_request) on_request(stream, made.get(), end);
    return made.get();
  }
  Http2Stream* OnTooManyHeaders(int32_t stream) override {
    ++too_many;
    if (!takes_too_many) return nullptr;
    return (streams[stream] = std::make_unique<RecordingStream>()).get();
  }
  void OnGoAway(int32_t last_stream, uint32_t error) override { go_aways.emplace_back(last_stream, error); }
  void OnPingAnswered() override { ++pings_answered; }

  std::vector<Fields> requests;
  std::map<int32_t, std::unique_ptr<RecordingStream>> streams;
  std::vector<std::pair<int32_t, uint32_t>> go_aways;
  std::function<void(int32_t, RecordingStream*, bool)> on_request;
  size_t room = 0;
  bool refuse = false;
  bool takes_too_many = false;
  int too_many = 0;
  int pings_answered = 0;
};

// What the session wants to send, taken out.
inline std::string Drain(Http2Session* session, size_t enough = 256 << 10) {
  std::string sent;
  for (;;) {
    session->Produce(enough);
    if (session->out().empty()) return sent;
    std::array<iovec, 8> pieces;
    const size_t count = session->out().Gather(pieces);
    size_t bytes = 0;
    for (const iovec& piece : std::span(pieces).first(count)) {
      sent.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
      bytes += piece.iov_len;
    }
    session->out().Pop(bytes);
  }
}

// Receives as a connection does: into where the session wants it, `at_most` bytes at a time.
inline bool ReadLikeASocket(Http2Session* session, std::string_view bytes, size_t at_most = SIZE_MAX,
                            size_t pieces = 8) {
  std::vector<std::byte> scratch(32 << 10);
  while (!bytes.empty()) {
    std::vector<iovec> to(pieces);
    const size_t count = session->ReadInto(scratch, to);
    size_t taken = 0;
    for (const iovec& piece : std::span(to).first(count)) {
      const size_t now = std::min({piece.iov_len, bytes.size() - taken, at_most - taken});
      std::copy_n(bytes.data() + taken, now, static_cast<char*>(piece.iov_base));
      taken += now;
    }
    bytes.remove_prefix(taken);
    if (!session->Received(taken)) return false;
  }
  return true;
}

inline std::string BigEndian(uint32_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text.push_back(static_cast<char>(value >> shift));
  return text;
}

inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  return BigEndian(static_cast<uint32_t>(payload.size()), 3) + BigEndian(type, 1) + BigEndian(flags, 1) +
         BigEndian(stream, 4) + std::string(payload);
}

// A header block without compression. Texts of less than 127 bytes, or of less than 16511.
inline std::string HeaderBlock(const Fields& fields) {
  std::string block;
  const auto put = [&block](const std::string& text) {
    if (text.size() < 127) {
      block.push_back(static_cast<char>(text.size()));
    } else {
      const size_t rest = text.size() - 127;
      block.push_back(127);
      block.push_back(static_cast<char>(0x80 | (rest & 0x7f)));
      block.push_back(static_cast<char>(rest >> 7));
    }
    block += text;
  };
  for (const auto& [name, value] : fields) {
    block.push_back(0);
    put(name);
    put(value);
  }
  return block;
}

struct FrameType {
  static constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kRst = 3, kSettings = 4, kPing = 6,
                           kGoAway = 7, kWindowUpdate = 8, kContinuation = 9;
};
struct FrameFlag {
  static constexpr uint8_t kEnd = 1, kAck = 1, kEndHeaders = 4, kPadded = 8;
};

inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string Greeting() { return kPreface + Frame(FrameType::kSettings, 0, 0, ""); }

// The same of a client that saw the server's SETTINGS: larger windows count from then on. REQUIRES: they were
// taken out of the session.
inline std::string GreetingAndAck() {
  return Greeting() + Frame(FrameType::kSettings, FrameFlag::kAck, 0, "");
}

inline std::string RequestFrame(uint32_t stream, bool end, const Fields& fields = kRequest) {
  const auto flags = static_cast<uint8_t>(FrameFlag::kEndHeaders | (end ? FrameFlag::kEnd : 0));
  return Frame(FrameType::kHeaders, flags, stream, HeaderBlock(fields));
}

// A server's session whose peer the test is.
struct LoneServer {
  explicit LoneServer(const Http2Session::Options& options = {})
      : session(Http2Session::Role::kServer, options, &clock, &owner) {}

  FakeClock clock;
  RecordingOwner owner;
  Http2Session session;
};

// A client and a server and what is between.
struct Pair {
  explicit Pair(const Http2Session::Options& options = {}, const Http2Session::Options& client_options = {})
      : client(Http2Session::Role::kClient, client_options, &clock, &client_owner),
        server(Http2Session::Role::kServer, options, &clock, &server_owner) {}

  // Until neither has anything to say.
  void Run() {
    for (;;) {
      const std::string there = Drain(&client);
      ReadLikeASocket(&server, there);
      const std::string back = Drain(&server);
      ReadLikeASocket(&client, back);
      if (there.empty() && back.empty()) return;
    }
  }
  bool Open(RecordingStream* stream, bool end = false, const Fields& fields = kRequest) {
    return client.Open(stream, Views(fields), end);
  }
  // Opens a stream, and gives its handler at the server.
  RecordingStream* Begin(RecordingStream* stream, bool end = false) {
    EXPECT_TRUE(Open(stream, end));
    Run();
    return AtServer(*stream);
  }
  RecordingStream* AtServer(const RecordingStream& stream) {
    return server_owner.streams.at(stream.id()).get();
  }
  // A whole unary answer.
  void Answer(Http2Stream* stream, std::string_view body) {
    server.SendHeaders(stream, Views(kAnswer));
    server.SendBody(stream, MakeChunk(body));
    server.SendTrailers(stream, Views(kTrailers));
  }

  FakeClock clock;
  RecordingOwner client_owner, server_owner;
  Http2Session client, server;
};

}  // namespace maas
