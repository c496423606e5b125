// One stream as its owner sees it: what arrives is told by virtual calls, what is to leave goes through the
// session (session.h).
//
// Ownership: whoever made it owns it; the session keeps a pointer from OnRequest()/Open() until OnClosed().
// An object serves one stream only. Threads: the session's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "maas/http2/body_queue.h"
#include "maas/http2/headers.h"

namespace maas {

class Http2Session;

class Http2Stream {
 public:
  virtual ~Http2Stream() = default;
  Http2Stream(const Http2Stream&) = delete;
  Http2Stream& operator=(const Http2Stream&) = delete;

  // The calls below come from the session. What they are given is valid until they return. They may send,
  // reset any stream of the session, but not destroy one other than in its OnClosed().

  // Fields after the first ones: trailers, or, of a client's stream, the answer's headers and trailers.
  // `end`: nothing follows; OnEnd() is called next.
  virtual void OnHeaders(Headers headers, bool end) = 0;
  // Where the next bytes of the body should be received, or empty: anywhere. Its memory stays where it is
  // until OnBody() has told of as many bytes, or the stream is reset, replaced or closed, or
  // Http2Session::LeaveRoom() was called. Bytes may come elsewhere all the same.
  virtual std::span<std::byte> BodyRoom() { return {}; }
  // The next bytes of the body; they lie at the beginning of BodyRoom() or anywhere else.
  virtual void OnBody(std::span<const std::byte> bytes) = 0;
  // The peer is done sending. Called once, also where OnRequest() or OnHeaders() told of the end.
  virtual void OnEnd() = 0;
  // What waits to be sent on this stream has become less than Http2Session::kLowWater, after having been
  // more.
  virtual void OnRoom() {}
  // The last call. `error`: of RFC 9113, 0 if both sides ended in order, CANCEL if the session went. It may
  // destroy itself here, and nowhere else while it is open.
  virtual void OnClosed(uint32_t error) = 0;

  int32_t id() const { return id_; }  // 0 until it has one.
  // Bytes that wait to be sent.
  size_t unsent() const { return body_.bytes(); }
  bool open() const { return open_; }

 protected:
  Http2Stream() = default;
  // Bytes that arrive count against the stream's window until Http2Session::Consumed() is called, instead of
  // only until OnBody() returns: so a stream holds its peer back.
  void hold_window() { holds_window_ = true; }
  // What waits to be sent is part of Http2Session::kept(): of a stream whose owner counts it nowhere else.
  // REQUIRES: nothing waits.
  void count_kept() { counts_kept_ = true; }

 private:
  friend class Http2Session;
  int32_t id_ = 0;
  bool open_ = false;
  bool holds_window_ = false;
  bool counts_kept_ = false;
  bool above_low_water_ = false;
  bool ending_ = false;          // Nothing more will be queued.
  bool reset_ = false;           // By us: nothing more is told but OnClosed().
  bool has_trailers_ = false;    // They were given; they leave after the last piece.
  bool deferred_ = false;        // nghttp2 waits for more of the body.
  BodyQueue body_;               // What waits to be sent.
  std::string trailers_;         // Encoded by the session for itself.
  Http2Stream* next_ = nullptr;  // Of the session's open streams.
  Http2Stream* previous_ = nullptr;
};

}  // namespace maas
