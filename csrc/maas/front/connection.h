// One client's connection: its socket, HTTP/2 and gRPC on it, and the times after which it ends.
//
// Valid transitions: kHandshake -> kServing -> kFlushing -> kLingering; each -> kOver.
// Ownership: owns its transport, session and what is behind it. Threads: its loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "maas/base/clock.h"
#include "maas/front/front_server.h"
#include "maas/front/pacing.h"
#include "maas/front/pass_through.h"
#include "maas/front/tally.h"
#include "maas/front/unread.h"
#include "maas/net/event_loop.h"
#include "maas/net/memory_budget.h"
#include "maas/net/out_queue.h"
#include "maas/net/transport.h"
#include "maas/rpc/server_connection.h"

namespace maas {

// What the connections of one I/O thread share.
struct ConnectionContext {
  const FrontOptions* options = nullptr;
  const Clock* clock = nullptr;
  EventLoop* loop = nullptr;
  const MethodTable* methods = nullptr;
  MemoryBudget* budget = nullptr;
  FrontTally* tally = nullptr;
  Pacing* pacing = nullptr;
  std::span<std::byte> scratch;  // To receive into; of the thread.
};

class Connection final : private EventLoop::Watcher, private EventLoop::Deferred, private Fallback {
 public:
  // Called once, from the loop, not from within a call to the connection; it destroys it.
  using Over = std::function<void(Connection* connection, EndReason why)>;
  // `age_ns`: after which it is to go; kNever: it may stay. Borrows the context.
  Connection(const ConnectionContext* context, std::unique_ptr<Transport> transport, int64_t age_ns,
             Over over);
  // Cancels its calls.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False: the loop takes it not; destroy it.
  bool Start();
  // No new calls; over when those under way are, at the latest after the grace.
  void Shutdown(int64_t grace_ns);

 private:
  enum class Phase : uint8_t {
    kHandshake,  // Of TLS.
    kServing,
    kFlushing,   // The session is over; its last bytes leave.
    kLingering,  // They left; what still comes is read away, lest a reset overtakes them.
    kOver,
  };

  void OnReady(uint32_t events) override;
  void OnRoundEnd() override;
  Http2Stream* OnRequest(Http2Session* session, int32_t stream, Headers headers, bool end) override;
  Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                         std::span<const std::byte> message) override;
  bool refuses() const override;

  void ReadHandshake();
  void Open();
  void Read();
  void Discard();
  // Sends what is ready, as far as the socket takes it.
  void Write();
  // Ends the connection where the memory for what its peer does not read is spent.
  void WatchStall(size_t written);
  void UpdateEvents();
  void Count();

  // The session goes, and what is behind it.
  void CloseSession();
  // The session is over, and its last words are to be sent.
  void EndSession();
  void Linger();
  void Finish(EndReason why);
  void BeginShutdown(int64_t grace_ns);

  void Arm(int64_t at_ns);
  void OnTime();
  bool serving() const { return phase_ == Phase::kServing; }
  // Not while the peer takes nothing of all that waits for it.
  bool reading();
  Http2Session& session() { return server_->session(); }
  OutQueue& out() { return server_ ? session().out() : out_; }
  PassThrough& behind();

  const ConnectionContext* const context_;
  EventLoop* const loop_;
  const std::unique_ptr<Transport> transport_;
  const Over over_;
  Phase phase_ = Phase::kHandshake;
  EndReason why_ = EndReason::kInOrder;
  bool watched_ = false;
  bool full_ = false;       // The socket takes no more until it says so.
  bool read_more_ = false;  // The transport has bytes that the descriptor does not tell of.
  uint32_t watching_ = 0;   // Events.

  // Instants; kNever: none. The timer rings at armed_at_, which may be earlier than the first of them.
  int64_t armed_at_ = kNever;
  int64_t handshake_at_;
  int64_t age_at_;
  int64_t go_away_at_ = kNever;  // No longer waits for the peer to know that no more is taken.
  int64_t end_at_ = kNever;      // Whatever is left then is cut.
  EventLoop::Timer timer_;

  UnreadAnswers unread_;
  StallWatch stall_;
  uint64_t calls_ = 0;  // Of the session, when it was looked at last; as the next.
  uint64_t passed_on_ = 0;
  OutQueue out_;                              // The last words.
  std::unique_ptr<PassThrough> behind_;       // Made when it is needed.
  std::unique_ptr<ServerConnection> server_;  // After it: goes first.
};

}  // namespace maas
