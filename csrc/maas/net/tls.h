// TLS for a server's connections, by OpenSSL: ALPN h2, TLS 1.2 and newer.
//
// Usage:
//   std::shared_ptr<const TlsContext> tls;
//   Status s = TlsContext::Make(files, &tls);
//   std::unique_ptr<Transport> transport = tls->Accept(std::move(socket), address);
// Certificates are renewed by making another context; connections keep theirs. Threads: any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "maas/base/status.h"
#include "maas/net/socket.h"
#include "maas/net/transport.h"

namespace maas {

enum class ClientCertificates : uint8_t {
  kNone = 0,      // Not asked for.
  kOptional = 1,  // Verified if the client has one.
  kRequired = 2,  // Who has none is sent away.
};

struct TlsOptions {
  std::string certificate_chain_pem;  // The server's first.
  std::string private_key_pem;
  std::string client_ca_pem;  // Who vouches for clients; empty: nobody.
  ClientCertificates clients = ClientCertificates::kNone;
};

class TlsContext {
 public:
  // INVALID_ARGUMENT, naming the option: it does not parse, or key and certificate do not belong together.
  static Status Make(const TlsOptions& options, std::shared_ptr<const TlsContext>* out);
  virtual ~TlsContext() = default;
  // The handshake happens within Read() and Write(). Null: there is no memory.
  virtual std::unique_ptr<Transport> Accept(FileDescriptor socket, std::string address) const = 0;
};

}  // namespace maas
