// The compiled front: listens, and serves gRPC on N I/O threads, each with its own loop, connections and
// sink.
//
// Usage:
//   std::unique_ptr<FrontServer> front;
//   Status s = FrontServer::Start(options, &engine, &front);
//   front->SetState(state);  ...
//   front->Refuse();
//   front->Shutdown(grace_ns);  // And on, until front->finished().
// Ownership: borrows the engine, which outlives it and its answers. Threads: every method from any thread;
// none blocks but Start() and the destructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "maas/base/status.h"
#include "maas/exec/entry.h"
#include "maas/front/answers.h"
#include "maas/net/tls.h"
#include "maas/serving/engine.h"

namespace maas {

struct FrontOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: a free one.
  int io_threads = 1;
  size_t max_message_bytes = size_t{64} << 20;
  uint32_t max_concurrent_streams = 0;  // Of a connection; 0: no limit.
  int64_t min_ping_interval_ns = 5'000'000'000;
  int64_t max_connection_age_ns = 0;  // Give or take a tenth; 0: for ever.
  int64_t max_connection_age_grace_ns = 60'000'000'000;
  // How long a connection may take until it has said what it is (handshake, preface, SETTINGS).
  int64_t handshake_timeout_ns = 20'000'000'000;
  // How long bytes may wait for a peer that takes less than 4 KiB of them, until its connection is cut.
  int64_t stall_timeout_ns = 60'000'000'000;
  size_t memory_limit = size_t{1} << 30;  // Half-received messages, unread answers, bytes passed through.
  std::string tenant_key;
  std::string socket_path;                // Of the server behind.
  std::shared_ptr<const TlsContext> tls;  // Null: plain.
};

struct FrontCounters {
  uint64_t connections = 0;  // Accepted so far.
  uint64_t open_connections = 0;
  uint64_t calls = 0;           // Served natively so far.
  uint64_t passed_through = 0;  // Calls that the server behind got.
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  uint64_t memory_bytes = 0;  // Of the limit, in use.
  // Connections that were ended for what their peers did, by reason: "protocol", "rapid_reset", "flood",
  // "pings", "headers", "handshake_timeout", "stalled", "unread", "tls".
  std::vector<std::pair<std::string, uint64_t>> ended;
  uint64_t accept_failures = 0;  // No descriptors were left.
};

class FrontServer {
 public:
  // INVALID_ARGUMENT, UNAVAILABLE: the address, as in Listen().
  static Status Start(const FrontOptions& options, Engine* engine, std::unique_ptr<FrontServer>* out);
  // Cuts what is still open. Calls under way are cancelled, and it waits for the core to let go of them.
  ~FrontServer();
  FrontServer(const FrontServer&) = delete;
  FrontServer& operator=(const FrontServer&) = delete;

  uint16_t port() const;
  // Replaces what is answered about the server and its health.
  void SetState(const std::shared_ptr<const ServingState>& state);
  // For connections that come from now on.
  void SetTls(const std::shared_ptr<const TlsContext>& tls);

  // New calls are refused with UNAVAILABLE, reason DRAINING, which makes callers go elsewhere.
  void Refuse();
  uint64_t refused() const;  // So far.
  // Takes no new connection, sends GOAWAY, lets calls under way end within the grace and closes each
  // connection when it has none; what is left then is cut.
  void Shutdown(int64_t grace_ns);
  bool finished() const;  // No connection is left after Shutdown().
  // After finished(): the core has let go of all calls, so that the destructor has nothing to wait for.
  bool idle() const;

  // Runs for which nobody waits any more since the last call. fd() is readable when there are some, or when
  // finished() or idle() has become true.
  std::vector<Interrupt> TakeInterrupts();
  int fd() const;
  FrontCounters counters() const;

 private:
  struct Impl;
  explicit FrontServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace maas
