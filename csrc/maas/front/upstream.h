// A connection to the server behind, and the streams of one client that go over it.
//
// Ownership: owns socket, session and relays; borrows the rest. Goes with the client, whose session must be
// gone by then. Threads: its loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/status.h"
#include "maas/front/relay.h"
#include "maas/http2/session.h"
#include "maas/net/event_loop.h"
#include "maas/net/memory_budget.h"
#include "maas/net/transport.h"

namespace maas {

class Upstream final : private Http2Session::Owner,
                       private EventLoop::Watcher,
                       private EventLoop::Deferred,
                       private Relay::Owner {
 public:
  struct Options {
    Http2Session::Options http2;
    MemoryBudget* budget = nullptr;  // Not owned; null: no limit.
    std::span<std::byte> scratch;    // To receive into; of the thread.
  };
  // `produced`: the client's session has something to write. `over`: no stream is left and none can come;
  // called from the loop, not from within a call to this, and may destroy it.
  Upstream(const Options& options, EventLoop* loop, const Clock* clock, std::unique_ptr<Transport> transport,
           std::function<void()> produced, std::function<void(Upstream*)> over);
  ~Upstream();

  // UNAVAILABLE: the loop takes it not.
  Status Start();
  // Whether it takes more streams.
  bool usable() const { return !closed_ && !going_; }
  // Those that are closed at one end only as well.
  size_t streams() const { return relays_.size(); }
  // Breaks the connection. Cheaper before the client's session goes than after: its streams need not be reset
  // one by one.
  void Close();

  // As Relay::Open(): the client's stream, or null.
  Http2Stream* Open(Http2Session* client, Headers fields, bool end);
  Http2Stream* Open(Http2Session* client, Headers fields, Chunk body, Http2Stream* from);

 private:
  void OnReady(uint32_t events) override;
  void OnRoundEnd() override;
  // A server opens no streams.
  Http2Stream* OnRequest(int32_t /*stream*/, Headers /*headers*/, bool /*end*/) override { return nullptr; }
  void OnGoAway(int32_t last_stream, uint32_t error) override;
  void OnHeld(Relay* relay) override;
  void OnQueued(bool client) override;
  void OnOver(Relay* relay) override;

  template <typename... Args>
  Http2Stream* Join(Http2Session* client, Args&&... args);
  // False: the connection broke, or ended.
  bool Read();
  bool Write();
  void FlushHeld();

  const Options options_;
  EventLoop* const loop_;
  const std::unique_ptr<Transport> transport_;
  const std::function<void()> produced_;
  const std::function<void(Upstream*)> over_;
  std::unordered_map<Relay*, std::unique_ptr<Relay>> relays_;
  std::vector<Relay*> held_;      // Those with bytes that wait for Flush(); null: gone.
  std::vector<Relay*> flushing_;  // The same, while they are looked at.
  bool watched_ = false;
  bool waits_to_write_ = false;
  bool going_ = false;   // The server takes no more streams.
  bool closed_ = false;  // Nothing is read or written any more.
  std::unique_ptr<Http2Session> session_;
};

}  // namespace maas
