// Passes the streams of one connection on to another HTTP/2 server behind a Unix socket, frame by frame.
//
// One connection behind for each in front that needs it, made when it does. Fields, bodies, trailers, resets
// and windows go through in both directions; a slow side holds back its own streams only. Who the client is
// goes along as metadata that clients cannot set themselves:
//   maas-peer           Peer::address
//   maas-peer-cert-bin  the certificate in PEM, if it was verified; likewise:
//   maas-peer-name-bin  its common name
//   maas-peer-alt-bin   its alternative names, each in a field of its own
// Ownership: owns the connection behind and its streams. Threads: its loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "maas/http2/session.h"
#include "maas/net/event_loop.h"
#include "maas/net/memory_budget.h"
#include "maas/net/transport.h"
#include "maas/rpc/server_connection.h"

namespace maas {

class PassThrough final : public Fallback {
 public:
  struct Options {
    std::string socket_path;  // As ConnectUnix() takes it.
    // Under way; each one that ends before it was sent costs a look at the others.
    size_t max_streams = 1000;
    MemoryBudget* budget = nullptr;  // Not owned; null: no limit.
    std::span<std::byte> scratch;    // To receive into; of the thread, and outlives this. Not empty.
  };
  // `produced` is called when the client's session has something to write that was caused by the server
  // behind; it must not write, or receive, before it returns.
  PassThrough(const Options& options, EventLoop* loop, const Clock* clock, const Peer* peer,
              std::function<void()> produced);
  // REQUIRES: the client's session is gone.
  ~PassThrough();
  // The client's session is about to go: breaks the connections behind, so that it goes at little cost.
  void Close();

  Http2Stream* OnRequest(Http2Session* session, int32_t stream, Headers headers, bool end) override;
  Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                         std::span<const std::byte> message) override;

  bool refuses() const override;

  size_t streams() const;      // Under way, on either side.
  size_t connections() const;  // To the server behind.

 private:
  struct Behind;
  std::unique_ptr<Behind> behind_;
};

}  // namespace maas
