// A client of a ServerConnection in the same memory, for tests: bytes out of one session go into the other.
//
// Usage:
//   RpcClient client(&connection);
//   RpcClient::Call* call = client.Unary("/package.Service/Method", "request");
//   EXPECT_EQ(call->status(), 0);  EXPECT_EQ(call->messages[0], "answer");
// Threads: one at a time.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/base/clock.h"
#include "maas/http2/session.h"
#include "maas/net/chunk_testing.h"
#include "maas/rpc/compression.h"
#include "maas/rpc/message_reader.h"
#include "maas/rpc/metadata.h"
#include "maas/rpc/server_connection.h"

namespace maas {

inline std::span<const std::byte> BytesOf(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// `text` behind room for gRPC's prefix, as ServerCall::Answer() takes it.
inline Chunk AnswerOf(std::string_view text) {
  return MakeChunk(std::string(kMessagePrefix, '\0').append(text));
}

// What goes before a message of `size` bytes.
inline std::string Prefix(size_t size, uint8_t flag = 0) {
  std::string prefix(1, static_cast<char>(flag));
  for (int shift = 24; shift >= 0; shift -= 8) prefix += static_cast<char>(size >> shift & 255);
  return prefix;
}

// A message with its prefix, as it goes over the wire.
inline std::string Framed(std::string_view message, uint8_t flag = 0) {
  return Prefix(message.size(), flag).append(message);
}

// What Decompress() undoes. REQUIRES: not kIdentity.
inline std::string Compress(std::string_view text, Encoding encoding) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, encoding == Encoding::kGzip ? 31 : 15, 9,
                         Z_DEFAULT_STRATEGY),
            Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

class RpcClient final : private Http2Session::Owner {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  // What came of one RPC so far.
  class Call final : public Http2Stream {
   public:
    // Of grpc-status; -1: there is none yet.
    int status() const { return Has("grpc-status") ? std::stoi(Of("grpc-status")) : -1; }
    std::string message() const { return PercentDecode(Of("grpc-message")); }
    // As encode_details wrote them.
    std::string details() const {
      std::string bytes;
      return Base64Decode(Of("grpc-status-details-bin"), &bytes) ? bytes : std::string();
    }
    // A field of the headers or the trailers.
    std::string Of(std::string_view name) const {
      for (const Fields& block : blocks) {
        for (const auto& [key, value] : block) {
          if (key == name) return value;
        }
      }
      return {};
    }
    bool Has(std::string_view name) const {
      return std::any_of(blocks.begin(), blocks.end(), [&](const Fields& block) {
        return std::any_of(block.begin(), block.end(),
                           [&](const auto& field) { return field.first == name; });
      });
    }

    std::vector<Fields> blocks;         // Of header fields, in their order.
    std::vector<std::string> messages;  // Complete ones.
    bool ended = false;                 // The server is done.
    bool closed = false;
    uint32_t error = 0;  // How it was closed; of RFC 9113.

   private:
    friend class RpcClient;
    void OnHeaders(Headers headers, bool /*end*/) override {
      Fields& block = blocks.emplace_back();
      for (const HeaderField& field : headers) block.emplace_back(field.name, field.value);
    }
    void OnBody(std::span<const std::byte> bytes) override {
      body_ += TextOf(bytes);
      while (body_.size() >= kMessagePrefix) {
        size_t size = 0;
        for (size_t i = 1; i < kMessagePrefix; ++i) size = size << 8 | static_cast<uint8_t>(body_[i]);
        if (body_.size() < kMessagePrefix + size) return;
        messages.push_back(body_.substr(kMessagePrefix, size));
        body_.erase(0, kMessagePrefix + size);
      }
    }
    void OnEnd() override { ended = true; }
    void OnClosed(uint32_t why) override {
      closed = true;
      error = why;
    }
    void HoldWindow() { hold_window(); }
    std::string body_;
  };

  explicit RpcClient(ServerConnection* server, const Http2Session::Options& options = {})
      : server_(&server->session()), session_(Http2Session::Role::kClient, options, &clock_, this) {}

  // The header fields of a request as gRPC's clients send them, and `more`.
  static Fields Request(std::string_view path, const Fields& more = {}) {
    Fields fields = {{":method", "POST"},    {":scheme", "http"}, {":path", std::string(path)},
                     {":authority", "test"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }

  // A unary RPC; what it is answered at once is there when this returns.
  Call* Unary(std::string_view path, std::string_view message, const Fields& more = {}) {
    return Raw(Request(path, more), Framed(message), true);
  }
  // Opens an RPC that is to send messages. Without `reads` its window fills and stays full.
  Call* Stream(std::string_view path, const Fields& more = {}, bool reads = true) {
    return Open(Request(path, more), false, reads);
  }
  // Any fields, any body.
  Call* Raw(const Fields& fields, std::string_view body, bool end) {
    Call* const call = Open(fields, end && body.empty(), true);
    if (!body.empty()) SendRaw(call, body, end);
    return call;
  }
  void Send(Call* call, std::string_view message) { SendRaw(call, Framed(message), false); }
  void SendRaw(Call* call, std::string_view body, bool end) {
    if (!body.empty()) session_.SendBody(call, MakeChunk(body));
    if (end) session_.SendEnd(call);
    Exchange();
  }
  void HalfClose(Call* call) {
    session_.SendEnd(call);
    Exchange();
  }
  void Cancel(Call* call) {
    session_.Reset(call, kCancel);
    Exchange();
  }
  // Moves bytes both ways until neither side has any more to say.
  void Exchange() {
    bool moved = true;
    while (moved) {
      moved = Move(&session_, server_);
      moved = Move(server_, &session_) || moved;
    }
  }
  Http2Session& session() { return session_; }

 private:
  static constexpr uint32_t kCancel = 8;

  Http2Stream* OnRequest(int32_t, Headers, bool) override { return nullptr; }

  Call* Open(const Fields& fields, bool end, bool reads) {
    std::vector<HeaderField> headers;
    for (const auto& [name, value] : fields) headers.push_back({name, value});
    Call* const call = calls_.emplace_back(std::make_unique<Call>()).get();
    if (!reads) call->HoldWindow();
    if (!session_.Open(call, headers, end)) call->closed = true;
    Exchange();
    return call;
  }

  // Through ReadInto(), as a connection does, so that bodies go where they are to lie.
  static bool Move(Http2Session* from, Http2Session* to) {
    from->Produce();
    bool moved = false;
    while (!from->out().empty()) {
      std::array<std::byte, 16384> scratch;
      std::array<iovec, 8> room;
      const size_t pieces = to->ReadInto(scratch, room);
      size_t bytes = 0;
      for (size_t i = 0; i < pieces && !from->out().empty(); ++i) {
        const size_t copied = Copy(&from->out(), room[i]);
        bytes += copied;
        if (copied < room[i].iov_len) break;
      }
      moved = true;
      if (!to->Received(bytes)) {
        from->out().Pop(from->out().size());
        break;
      }
      from->Produce();
    }
    return moved;
  }
  static size_t Copy(OutQueue* from, const iovec& to) {
    size_t copied = 0;
    while (copied < to.iov_len && !from->empty()) {
      std::array<iovec, 1> piece;
      from->Gather(piece);
      const size_t n = std::min(piece[0].iov_len, to.iov_len - copied);
      std::memcpy(static_cast<std::byte*>(to.iov_base) + copied, piece[0].iov_base, n);
      from->Pop(n);
      copied += n;
    }
    return copied;
  }

  const FakeClock clock_;
  std::vector<std::unique_ptr<Call>> calls_;
  Http2Session* const server_;
  Http2Session session_;  // Last: it closes the calls.
};

}  // namespace maas
