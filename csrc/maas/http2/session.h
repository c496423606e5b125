// HTTP/2 on one connection: bytes in, bytes out, streams between. nghttp2 speaks the protocol; this decides
// where bytes lie and what a peer may cost.
//
// Usage (the connection has a socket; tests have none):
//   Http2Session session(Http2Session::Role::kServer, options, &owner);
//   iovec to[8]; size_t n = session.ReadInto(scratch, to);  // where to receive
//   session.Received(bytes_read);                           // calls owner and streams
//   session.Produce();  send(session.out());                // what is to be written
// Ownership: borrows the owner, which outlives it, and streams, see stream.h. Destroying it calls OnClosed()
// of every stream. Received(), Produce() and the destructor may not be called from within a call to the owner
// or to a stream; all else may. Threads: one at a time. Knows nothing of gRPC.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "maas/base/clock.h"
#include "maas/http2/headers.h"
#include "maas/http2/stream.h"
#include "maas/net/chunk.h"
#include "maas/net/out_queue.h"

namespace maas {

// Why a session ended that a peer made end.
enum class Abuse : uint8_t {
  kNone = 0,
  kProtocol,    // What no peer that speaks HTTP/2 sends, garbage before the preface as well.
  kRapidReset,  // Streams opened and reset faster than anybody has use for.
  kFlood,       // SETTINGS, PING, empty DATA or CONTINUATION frames without end.
  kPings,       // Pings more often than the keepalive rule allows.
  kHeaders,     // More bytes of header fields than the limit, again and again.
};

class Http2Session {
 public:
  enum class Role : uint8_t { kServer, kClient };

  struct Options {
    // That the peer may open; what is more is reset with REFUSED_STREAM. 0: no limit.
    uint32_t max_concurrent_streams = 0;
    uint32_t stream_window = 1U << 20;  // Bytes that a peer may send ahead on one stream.
    uint32_t connection_window = 16U << 20;
    size_t max_header_bytes = 16384;  // Names and values of one block, 32 more per field as RFC 9113 counts.
    // Pings of the peer that come closer than this are strikes: after the third without anything sent by us
    // in between the session ends (GOAWAY, ENHANCE_YOUR_CALM, "too_many_pings"). Unit: nanoseconds. 0:
    // allowed.
    int64_t min_ping_interval_ns = 0;
    // A peer may reset so many streams that we had not answered, or have us refuse so many, and so many more
    // each second.
    uint32_t reset_burst = 1000;
    uint32_t resets_per_second = 200;
  };

  class Owner {
   public:
    // A request: its handler, or null: the stream is reset with REFUSED_STREAM. `stream` is its number.
    // `end`: there is no body; OnEnd() is called next. Called once per stream, of a server only. The handler
    // may be answered before this returns, after Attach().
    virtual Http2Stream* OnRequest(int32_t stream, Headers headers, bool end) = 0;
    // A request whose header fields are more than the limit: the handler that ends it in the words of its
    // protocol; null: it is answered with HTTP status 431.
    virtual Http2Stream* OnTooManyHeaders(int32_t /*stream*/) { return nullptr; }
    // The peer will open (of a client's session: take) no more streams.
    virtual void OnGoAway(int32_t /*last_stream*/, uint32_t /*error*/) {}
    // The peer answered a ping of ours.
    virtual void OnPingAnswered() {}

   protected:
    ~Owner() = default;
  };

  // OnRoom() comes below it; see stream.h.
  static constexpr size_t kLowWater = 64 << 10;

  // Reads the clock only for limits per time.
  Http2Session(Role role, const Options& options, const Clock* clock, Owner* owner);
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  // Where the next bytes from the wire should go, at most `most.size()` pieces, at least one; returns how
  // many. In the middle of a large body they lie in the memory of its stream, so that it is received where it
  // is read from; all else goes to `scratch`, which the next call of Received() reads and nobody afterwards.
  // Between the two nothing else of the session or its streams is called.
  size_t ReadInto(std::span<std::byte> scratch, std::span<iovec> most);
  // `bytes` bytes are there now, as ReadInto() laid them out. Calls the owner and the streams. False: the
  // session is over, as abuse() and error() tell; what out() has is still to be sent.
  bool Received(size_t bytes);
  // The same for bytes that lie anywhere, for tests and fuzzers.
  bool Received(std::span<const std::byte> bytes);

  // Moves to out() what is ready to leave, until out() has about `enough` bytes. False: as in Received().
  bool Produce(size_t enough = 256 << 10);
  OutQueue& out() { return out_; }
  // Whether Produce() has anything to do.
  bool wants_write() const;
  // Nothing will be read or written any more: both sides are done, or it failed.
  bool over() const;

  // Opens a stream of a client's session. False: no more can be opened on this connection.
  bool Open(Http2Stream* stream, Headers headers, bool end);
  // Within OnRequest() or OnTooManyHeaders() of that stream: binds the handler, which is then returned, so
  // that it can send first.
  void Attach(int32_t stream, Http2Stream* handler);
  // Each of these is ignored when the stream is closed, or ended on our side. They are sent in order, header
  // fields first. When an answer of a server has ended before its request, the stream is reset with NO_ERROR
  // after it: the peer may stop sending.
  void SendHeaders(Http2Stream* stream, Headers headers);
  // A response that is nothing but its header fields.
  void SendHeadersAndEnd(Http2Stream* stream, Headers headers);
  void SendBody(Http2Stream* stream, Chunk bytes) { SendBody(stream, std::move(bytes), 0); }
  // From `offset` of the chunk.
  void SendBody(Http2Stream* stream, Chunk bytes, size_t offset);
  void SendTrailers(Http2Stream* stream, Headers trailers);
  void SendEnd(Http2Stream* stream);
  // What waits to be sent is dropped, and what comes is not told any more; OnClosed() comes from Produce().
  void Reset(Http2Stream* stream, uint32_t error);
  // `to` takes the place of `from`, which gets no further call and may go. REQUIRES: `from` is open.
  void Replace(Http2Stream* from, Http2Stream* to);
  // The stream's BodyRoom() goes though it is open and not reset: bytes that may lie there are moved out.
  void LeaveRoom(Http2Stream* stream);
  // `bytes` more of what OnBody() told are done with; of streams that hold their window.
  void Consumed(Http2Stream* stream, size_t bytes);

  // Asks the peer to open no more streams, and then (a ping later, when whatever it had sent before is here)
  // says which was the last: nothing that it sends meanwhile is lost.
  void BeginShutdown();
  // Says so at once: GOAWAY with an error. Streams go on.
  void GoAway(uint32_t error, std::string_view text);
  void Ping();

  size_t streams() const { return streams_; }  // Open.
  // Bytes of bodies that wait in all streams, and those that were moved to out() so far: while the first is
  // not 0 and the second stands still, the peer gives no window.
  size_t unsent() const { return unsent_; }
  uint64_t body_bytes_sent() const { return body_bytes_sent_; }
  // Memory that bodies keep which wait in streams that asked for it to be counted
  // (Http2Stream::count_kept()).
  size_t kept() const { return kept_; }
  // Whether the final GOAWAY has been queued.
  bool shutting_down() const { return shutting_down_; }
  // Whether a valid preface and SETTINGS came.
  bool established() const { return established_; }
  Abuse abuse() const { return abuse_; }
  // For people; empty if nothing went wrong.
  const std::string& error() const { return error_; }

 private:
  struct Callbacks;
  struct State;
  bool SubmitSettings();
  void Link(int32_t id, Http2Stream* stream);
  void Unlink(Http2Stream* stream);
  void Close(Http2Stream* stream, uint32_t error);
  void Feed(std::span<const std::byte> bytes);
  void FeedMissing(size_t bytes);
  bool SendSettings(std::span<const std::byte> first);
  bool TellRoom();
  void Resume(Http2Stream* stream);
  void DropBody(Http2Stream* stream);
  void SendFinalGoAway();
  void End(Abuse abuse, uint32_t error, std::string_view text);

  std::unique_ptr<State> state_;  // nghttp2's, and what this keeps for it.
  OutQueue out_;
  size_t streams_ = 0;
  size_t unsent_ = 0;
  uint64_t body_bytes_sent_ = 0;
  size_t kept_ = 0;
  bool shutting_down_ = false;
  bool established_ = false;
  bool ended_ = false;  // By us, at once: the GOAWAY is in out_.
  Abuse abuse_ = Abuse::kNone;
  std::string error_;
};

}  // namespace maas
