// A connection's bytes, plain or encrypted: what the layers above read from and write to.
//
// Ownership: owns its descriptor. Threads: one at a time.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "maas/net/socket.h"

namespace maas {

enum class IoState : uint8_t {
  kOk,      // `bytes` were moved, more than 0.
  kAgain,   // Not now: wait for Transport::events().
  kClosed,  // The peer is done, in order. Of reading only.
  kFailed,  // The connection is broken; `Transport::error()` says how.
};

struct IoResult {
  IoState state = IoState::kAgain;
  size_t bytes = 0;
};

// Who the other side is.
struct Peer {
  std::string address;  // As grpc writes it: "ipv4:127.0.0.1:53124", "ipv6:%5B::1%5D:53124", "unix:".
  // Of a verified client certificate; empty without one.
  std::string certificate_pem;
  std::string common_name;
  std::vector<std::string> alternative_names;  // DNS names, URIs, e-mail and IP addresses, in their order.
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult Read(std::span<const iovec> to) = 0;
  virtual IoResult Write(std::span<const iovec> from) = 0;
  // What the descriptor has to become, EPOLLIN or EPOLLOUT, for a call that said kAgain to go on: `reading`
  // says which call. Encrypted connections may have to write in order to read.
  virtual uint32_t events(bool reading) const = 0;
  // Bytes that can be read though the descriptor does not say so.
  virtual bool has_buffered() const { return false; }
  // False until there is nothing to do before the first byte any more: the handshake of TLS.
  virtual bool established() const { return true; }
  // Tells the peer that no more will be written, as far as that goes without waiting.
  virtual void Shutdown() = 0;
  virtual int fd() const = 0;
  // REQUIRES: established().
  virtual const Peer& peer() const = 0;
  virtual const std::string& error() const = 0;
};

std::unique_ptr<Transport> MakePlainTransport(FileDescriptor socket, std::string address);

}  // namespace maas
