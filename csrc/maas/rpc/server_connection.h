// gRPC on one HTTP/2 connection of a server: which stream is served by which method, and what is passed on.
//
// Usage:
//   ServerConnection connection(options, clock, peer, &methods, &fallback);
//   connection.session().Received(bytes);  connection.session().Produce();
//   // a timer at connection.next_deadline():  connection.Expire(clock->Now());
// Natively served are requests as gRPC's clients send them, for paths that a method is known for; all else is
// the fallback's. Ownership: owns its session and its calls; borrows the rest, which outlives it. Threads:
// one at a time. Knows of no socket and of no tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "maas/base/clock.h"
#include "maas/base/status.h"
#include "maas/http2/session.h"
#include "maas/net/memory_budget.h"
#include "maas/net/transport.h"
#include "maas/rpc/deadline_heap.h"
#include "maas/rpc/method.h"
#include "maas/rpc/server_call.h"

namespace maas {

// Looks paths up without making strings of them.
class MethodTable {
 public:
  void Add(std::string path, const Method& method) { methods_[std::move(path)] = method; }
  Method Find(std::string_view path) const {
    const auto it = methods_.find(path);
    return it == methods_.end() ? Method{} : it->second;
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, Method, Hash, std::equal_to<>> methods_;
};

// Takes the streams that no method serves: another server behind this one.
class Fallback {
 public:
  // A request; what OnRequest() of a session's owner returns. Null: it is not to be had.
  virtual Http2Stream* OnRequest(Http2Session* session, int32_t stream, Headers headers, bool end) = 0;
  // A request whose message `call` received, without its prefix, as it was before it was compressed. Whatever
  // the peer sends after it means nothing; its end may be still to come. Puts what it returns in the place of
  // `call` (Http2Session::Replace()). Null: it is not to be had, and nothing happened.
  virtual Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                                 std::span<const std::byte> message) = 0;
  // Whether it takes no request at this moment: the stream is then reset with REFUSED_STREAM, and neither is
  // called.
  virtual bool refuses() const { return false; }

 protected:
  ~Fallback() = default;
};

class ServerConnection final : private Http2Session::Owner {
 public:
  struct Options {
    Http2Session::Options http2;
    size_t max_message_bytes = size_t{64} << 20;
    std::string tenant_key;          // Lower case; empty: callers are not told apart.
    MemoryBudget* budget = nullptr;  // Not owned; null: no limit.
    // The value of grpc-status-details-bin of an error; null: there are none.
    std::string (*encode_details)(const Status& status) = nullptr;
    // Called whenever a call gave the session something to send, within Received() and at any other time:
    // there is something to Produce(). May be called often, and must only take note. Empty: nobody wants to
    // know.
    std::function<void()> on_unsent;
  };
  // `fallback` may be null.
  ServerConnection(const Options& options, const Clock* clock, const Peer* peer, const MethodTable* methods,
                   Fallback* fallback);
  ~ServerConnection();
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  Http2Session& session() { return session_; }
  // So far: calls that were answered here, and those that the fallback took.
  uint64_t served() const { return served_; }
  uint64_t passed_on() const { return passed_on_; }
  // Tells every stream that the server stops, those that are still to come as well.
  void StopStreams();

  // The first of the calls' deadlines, perhaps of one that has ended; kNever: none has one.
  int64_t next_deadline() const { return deadlines_.next(); }
  // Ends the calls whose deadline is not after `now`, with DEADLINE_EXCEEDED.
  void Expire(int64_t now);

 private:
  friend class ServerCall;
  Http2Stream* OnRequest(int32_t stream, Headers headers, bool end) override;
  Http2Stream* OnTooManyHeaders(int32_t stream) override;
  // A call that is answered before it began.
  Http2Stream* Refuse(int32_t stream, const Status& status);
  Http2Stream* PassOn(int32_t stream, Headers headers, bool end, const Status& without_fallback);
  static Status NoFallback();
  void Unsent() {
    if (options_.on_unsent) options_.on_unsent();
  }
  // Whether there is memory for one call more.
  bool Admit();
  static void TellStopping(ServerCall* call);
  void Add(ServerCall* call);
  void Remove(ServerCall* call);

  const Options options_;
  const Clock* const clock_;
  const Peer* const peer_;
  const MethodTable* const methods_;
  Fallback* const fallback_;
  ServerCall* first_ = nullptr;  // Of the calls that are served here.
  size_t listed_ = 0;            // How many there are.
  size_t taken_ = 0;             // From the budget, for many calls.
  DeadlineHeap deadlines_;
  bool stopping_ = false;
  uint64_t served_ = 0;
  uint64_t passed_on_ = 0;
  Http2Session session_;  // Last: it ends the calls.
};

}  // namespace maas
