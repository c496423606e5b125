// Both ends of relayed streams without sockets: sessions whose bytes are carried by hand, and streams that
// remember.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/http2/session.h"
#include "maas/http2/stream.h"
#include "maas/net/chunk_testing.h"

namespace maas {

// What arrives on a stream.
class RecordingStream final : public Http2Stream {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  RecordingStream() = default;
  // Its bytes count as read when somebody calls Http2Session::Consumed().
  static std::unique_ptr<RecordingStream> Slow() {
    auto stream = std::make_unique<RecordingStream>();
    stream->hold_window();
    return stream;
  }

  static Fields Copy(Headers headers) {
    Fields fields;
    for (const HeaderField& field : headers) fields.emplace_back(field.name, field.value);
    return fields;
  }
  static std::string Find(const Fields& fields, std::string_view name) {
    const auto it =
        std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
    return it == fields.end() ? "" : it->second;
  }

  void OnHeaders(Headers headers, bool end) override {
    (blocks++ == 0 ? first : trailers) = Copy(headers);
    ended = ended || end;
  }
  void OnBody(std::span<const std::byte> bytes) override {
    body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    ++pieces;
  }
  void OnEnd() override { ended = true; }
  void OnClosed(uint32_t error) override {
    closed = true;
    code = error;
  }

  Fields first;     // Of a request, or of an answer.
  Fields trailers;  // What came after.
  int blocks = 0;
  std::string body;
  int pieces = 0;  // That the body came in.
  bool ended = false;
  bool closed = false;
  uint32_t code = 0;
};

// Takes requests, and leaves it to the test to answer them.
class RecordingServer final : public Http2Session::Owner {
 public:
  explicit RecordingServer(const Clock* clock, const Http2Session::Options& options = {}, bool slow = false)
      : session(Http2Session::Role::kServer, options, clock, this), slow_(slow) {}
  Http2Stream* OnRequest(int32_t /*stream*/, Headers headers, bool end) override {
    requests.push_back(slow_ ? RecordingStream::Slow() : std::make_unique<RecordingStream>());
    requests.back()->OnHeaders(headers, end);
    return requests.back().get();
  }

  std::vector<std::unique_ptr<RecordingStream>> requests;
  Http2Session session;

 private:
  const bool slow_;
};

class RecordingClient final : public Http2Session::Owner {
 public:
  explicit RecordingClient(const Clock* clock, const Http2Session::Options& options = {})
      : session(Http2Session::Role::kClient, options, clock, this) {}
  Http2Stream* OnRequest(int32_t /*stream*/, Headers /*headers*/, bool /*end*/) override { return nullptr; }
  void OnGoAway(int32_t /*last_stream*/, uint32_t /*error*/) override { gone = true; }

  RecordingStream* Open(Headers fields, bool end = false, std::unique_ptr<RecordingStream> stream = nullptr) {
    streams.push_back(stream == nullptr ? std::make_unique<RecordingStream>() : std::move(stream));
    return session.Open(streams.back().get(), fields, end) ? streams.back().get() : nullptr;
  }

  std::vector<std::unique_ptr<RecordingStream>> streams;
  bool gone = false;
  Http2Session session;
};

// What a session has to send, taken from it.
inline std::string TakeOutput(Http2Session* session) {
  std::string bytes;
  for (session->Produce(); !session->out().empty(); session->Produce()) {
    std::array<iovec, 16> pieces;
    const size_t count = session->out().Gather(pieces);
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) {
      bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
      size += pieces[i].iov_len;
    }
    session->out().Pop(size);
  }
  return bytes;
}

// Carries what `from` has to send to `to`; returns how much that was.
inline size_t Carry(Http2Session* from, Http2Session* to) {
  const std::string bytes = TakeOutput(from);
  if (!bytes.empty()) to->Received(std::as_bytes(std::span(bytes)));
  return bytes.size();
}

}  // namespace maas
