// What one I/O thread counts.
//
// Threads: one writes, any reads; only `open` is written by more.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace maas {

// Why a connection ended.
enum class EndReason : uint8_t {
  kInOrder = 0,  // Of its own, or as it was told to.
  kReset,        // The peer, or the network, broke it.
  kProtocol,     // From here on: for what the peer did.
  kRapidReset,
  kFlood,
  kPings,
  kHeaders,
  kHandshakeTimeout,
  kStalled,
  kUnread,
  kTls,
};
// As FrontCounters::ended names them.
inline constexpr std::array<std::string_view, 11> kEndReasons{
    "in_order",          "reset",   "protocol", "rapid_reset", "flood", "pings", "headers",
    "handshake_timeout", "stalled", "unread",   "tls"};

// Without the bus lock that a counter of many writers takes.
class Count {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct FrontTally {
  Count connections;
  Count calls;
  Count passed_through;
  Count received_bytes;
  Count sent_bytes;
  Count accept_failures;
  std::array<Count, kEndReasons.size()> ended;
  std::atomic<uint64_t> open{0};  // Connections, those on their way to the thread as well.
};

}  // namespace maas
