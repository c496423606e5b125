// One TLS connection of a server, over a socket that does not block. Made by TlsContext::Accept().
//
// Ownership: owns its socket, and shares the context. Threads: one at a time.
#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "maas/net/socket.h"
#include "maas/net/transport.h"

namespace maas {

template <auto Function>
struct TlsFree {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};

// What all connections of one context share.
struct TlsShared {
  std::unique_ptr<BIO_METHOD, TlsFree<&BIO_meth_free>> bio_method;
  std::unique_ptr<SSL_CTX, TlsFree<&SSL_CTX_free>> context;
};

// How a transport reaches its socket. OpenSSL's own way raises SIGPIPE, and does not tell an end from an
// error.
std::unique_ptr<BIO_METHOD, TlsFree<&BIO_meth_free>> MakeTlsBioMethod();

// The oldest error of this thread's queue, in words, and the queue is empty.
std::string TakeTlsError();

class TlsTransport final : public Transport {
 public:
  // Null: there is no memory.
  static std::unique_ptr<TlsTransport> Make(std::shared_ptr<const TlsShared> shared, FileDescriptor socket,
                                            std::string address);

  IoResult Read(std::span<const iovec> to) override;
  // REQUIRES: after kAgain, `from` begins with the bytes that it began with then: a record of them waits.
  IoResult Write(std::span<const iovec> from) override;
  uint32_t events(bool reading) const override { return reading ? read_events_ : write_events_; }
  bool has_buffered() const override { return buffered_; }
  bool established() const override { return established_; }
  void Shutdown() override;
  int fd() const override { return socket_.get(); }
  const Peer& peer() const override { return peer_; }
  const std::string& error() const override { return error_; }

 private:
  friend struct TlsSocketBio;

  TlsTransport(std::shared_ptr<const TlsShared> shared, FileDescriptor socket, std::string address);
  // Before each call of OpenSSL.
  void Prepare();
  IoState Handshake(uint32_t* wanted);
  // What a call of OpenSSL that returned `result`, not a success, means.
  IoState Explain(int result, uint32_t* wanted);
  IoState Fail(std::string error);

  const std::shared_ptr<const TlsShared> shared_;
  const FileDescriptor socket_;
  std::unique_ptr<SSL, TlsFree<&SSL_free>> ssl_;
  Peer peer_;
  std::string error_;
  uint32_t read_events_;
  uint32_t write_events_;
  bool established_ = false;
  bool buffered_ = false;
  IoState end_ = IoState::kOk;  // kClosed or kFailed, for good.

  // Of the last call that reached the socket.
  int socket_error_ = 0;
  bool socket_ended_ = false;
  bool socket_waits_ = false;
};

}  // namespace maas
