#include "maas/net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <climits>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/net/tls_transport.h"

namespace maas {

namespace {

using Certificate = std::unique_ptr<X509, TlsFree<&X509_free>>;

// What HTTP/2 does not forbid below TLS 1.3.
constexpr const char* kTls12Ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::string_view kHttp2 = "h2";

Status Wrong(const char* option, std::string problem) {
  return Status::Invalid(option, std::move(problem), "INVALID_CONFIGURATION");
}

Status NoMemory() {
  return {Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for TLS: " + TakeTlsError()};
}

std::unique_ptr<BIO, TlsFree<&BIO_free>> Source(const std::string& pem) {
  if (pem.size() > INT_MAX) return nullptr;
  return std::unique_ptr<BIO, TlsFree<&BIO_free>>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// OpenSSL's own would ask on the terminal.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return -1; }

Status ReadCertificates(const char* option, const std::string& pem, std::vector<Certificate>* out) {
  const auto source = Source(pem);
  if (source == nullptr) return NoMemory();
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(source.get(), nullptr, NoPassword, nullptr))
    out->emplace_back(certificate);
  const unsigned long last = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (!at_end)
    return Wrong(option, "expected certificates as PEM, got one that does not parse: " + TakeTlsError());
  ERR_clear_error();
  if (out->empty()) return Wrong(option, "expected certificates as PEM, got none");
  return {};
}

Status UseCertificate(SSL_CTX* context, const std::string& chain_pem) {
  std::vector<Certificate> chain;
  MAAS_RETURN_IF_ERROR(ReadCertificates("certificate_chain_pem", chain_pem, &chain));
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
    return Wrong("certificate_chain_pem", "its first certificate cannot be used: " + TakeTlsError());
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
      return Wrong("certificate_chain_pem", "it has a certificate that cannot be used: " + TakeTlsError());
    }
  }
  return {};
}

Status UseKey(SSL_CTX* context, const std::string& pem) {
  const auto source = Source(pem);
  if (source == nullptr) return NoMemory();
  ERR_clear_error();
  const std::unique_ptr<EVP_PKEY, TlsFree<&EVP_PKEY_free>> key(
      PEM_read_bio_PrivateKey(source.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    return Wrong("private_key_pem", "expected a private key as PEM, without a password: " + TakeTlsError());
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return Wrong("private_key_pem", "it does not belong to the certificate: " + TakeTlsError());
  }
  return {};
}

Status VerifyClients(SSL_CTX* context, const TlsOptions& options) {
  if (options.clients == ClientCertificates::kNone) return {};
  std::vector<Certificate> issuers;
  MAAS_RETURN_IF_ERROR(ReadCertificates("client_ca_pem", options.client_ca_pem, &issuers));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const Certificate& issuer : issuers) {
    // The second is what clients are told, so that they can choose among theirs.
    if (X509_STORE_add_cert(store, issuer.get()) != 1 || SSL_CTX_add_client_CA(context, issuer.get()) != 1) {
      return Wrong("client_ca_pem", "it has a certificate that cannot be used: " + TakeTlsError());
    }
  }
  // Who is named vouches, be it a root or not.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  const int required = options.clients == ClientCertificates::kRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
  // A resumed session would go on with a certificate that nobody looks at again.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  if (SSL_CTX_set_num_tickets(context, 0) != 1) return NoMemory();
  return {};
}

int SelectProtocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned int size, void* /*data*/) {
  // One byte of length before each name; OpenSSL checked that they add up.
  for (unsigned int at = 0; at < size; at += 1U + offered[at]) {
    const std::string_view name(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (name == kHttp2) {
      *out = offered + at + 1;
      *out_size = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool Configure(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  // Without it a read comes back after each record, and a peer that sends records without data cannot hold a
  // thread.
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  // One system call for a record's head and body, and for several small records.
  SSL_CTX_set_read_ahead(context, 1);
  // Sessions are in tickets, whose keys go with the context.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, SelectProtocol, nullptr);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kTls12Ciphers) == 1;
}

class OpenSslContext final : public TlsContext {
 public:
  explicit OpenSslContext(std::shared_ptr<const TlsShared> shared) : shared_(std::move(shared)) {}

  std::unique_ptr<Transport> Accept(FileDescriptor socket, std::string address) const override {
    return TlsTransport::Make(shared_, std::move(socket), std::move(address));
  }

 private:
  const std::shared_ptr<const TlsShared> shared_;
};

}  // namespace

Status TlsContext::Make(const TlsOptions& options, std::shared_ptr<const TlsContext>* out) {
  auto shared = std::make_shared<TlsShared>();
  shared->bio_method = MakeTlsBioMethod();
  shared->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = shared->context.get();
  if (shared->bio_method == nullptr || context == nullptr || !Configure(context)) return NoMemory();
  MAAS_RETURN_IF_ERROR(UseCertificate(context, options.certificate_chain_pem));
  MAAS_RETURN_IF_ERROR(UseKey(context, options.private_key_pem));
  MAAS_RETURN_IF_ERROR(VerifyClients(context, options));
  *out = std::make_shared<OpenSslContext>(std::move(shared));
  return {};
}

}  // namespace maas
