// For tests of TLS: certificates made on the spot, and an OpenSSL client at the other end of a socket pair.
#pragma once

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "maas/net/tls.h"
#include "maas/net/tls_transport.h"

namespace maas {

using TestKey = std::unique_ptr<EVP_PKEY, TlsFree<&EVP_PKEY_free>>;
using TestX509 = std::unique_ptr<X509, TlsFree<&X509_free>>;

struct TestCertificate {
  std::string pem;
  std::string key_pem;
};

struct TestSubject {
  std::string common_name = "somebody";
  std::string alternative_names = {};  // As in OpenSSL's configuration: "DNS:a,IP:127.0.0.1".
  long valid_seconds = 3600;           // Less than 0: it expired.
  std::string usage = {};              // Extended key usage; empty: any.
};

inline TestKey MakeTestKey() {
  const std::unique_ptr<EVP_PKEY_CTX, TlsFree<&EVP_PKEY_CTX_free>> maker(
      EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr));
  EVP_PKEY* key = nullptr;
  EXPECT_EQ(EVP_PKEY_keygen_init(maker.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(maker.get(), NID_X9_62_prime256v1), 1);
  EXPECT_EQ(EVP_PKEY_keygen(maker.get(), &key), 1);
  return TestKey(key);
}

template <typename Write>
std::string TestPem(Write write) {
  const std::unique_ptr<BIO, TlsFree<&BIO_free>> memory(BIO_new(BIO_s_mem()));
  EXPECT_EQ(write(memory.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<size_t>(size)};
}

inline void AddTestExtension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Issues certificates, its own first.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name = "authority") : key_(MakeTestKey()) {
    certificate_ = Build({.common_name = name}, key_.get(), /*authority=*/true);
  }

  std::string pem() const { return Pem(certificate_.get()); }

  TestCertificate Issue(const TestSubject& subject = {}) const {
    const TestKey key = MakeTestKey();
    const TestX509 certificate = Build(subject, key.get(), /*authority=*/false);
    return {Pem(certificate.get()), KeyPem(key.get(), nullptr)};
  }

  static std::string KeyPem(EVP_PKEY* key, const char* password) {
    return TestPem([&](BIO* out) {
      const EVP_CIPHER* cipher = password == nullptr ? nullptr : EVP_aes_128_cbc();
      return PEM_write_bio_PKCS8PrivateKey(out, key, cipher, nullptr, 0, nullptr,
                                           const_cast<char*>(password));
    });
  }

 private:
  static std::string Pem(X509* certificate) {
    return TestPem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
  }

  TestX509 Build(const TestSubject& subject, EVP_PKEY* key, bool authority) const {
    TestX509 built(X509_new());
    X509* certificate = built.get();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), subject.valid_seconds);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(subject.common_name.data()),
                               static_cast<int>(subject.common_name.size()), -1, 0);
    const X509* issuer = authority ? certificate : certificate_.get();
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    AddTestExtension(certificate, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (!subject.alternative_names.empty()) {
      AddTestExtension(certificate, NID_subject_alt_name, subject.alternative_names);
    }
    if (!subject.usage.empty()) AddTestExtension(certificate, NID_ext_key_usage, subject.usage);
    EXPECT_GT(X509_sign(certificate, key_.get(), EVP_sha256()), 0);
    return built;
  }

  TestKey key_;
  TestX509 certificate_;
  mutable long serial_ = 0;
};

// A client that speaks first; does not block.
class TestTlsClient {
 public:
  explicit TestTlsClient(FileDescriptor fd, const char* protocol = "h2")
      : fd_(std::move(fd)), context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_.get())) {
    SSL_set_fd(ssl_.get(), fd_.get());
    SSL_set_connect_state(ssl_.get());
    // Old protocols are offered, where a test asks for them, whatever the system thinks of their digests.
    SSL_set_security_level(ssl_.get(), 0);
    SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (protocol != nullptr) {
      const std::string name = protocol;
      const std::string wire = static_cast<char>(name.size()) + name;
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                          static_cast<unsigned int>(wire.size()));
    }
  }

  void Show(const TestCertificate& certificate) {
    const std::unique_ptr<BIO, TlsFree<&BIO_free>> source(BIO_new_mem_buf(certificate.pem.data(), -1));
    const TestX509 mine(PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr));
    const std::unique_ptr<BIO, TlsFree<&BIO_free>> key_source(
        BIO_new_mem_buf(certificate.key_pem.data(), -1));
    const TestKey key(PEM_read_bio_PrivateKey(key_source.get(), nullptr, nullptr, nullptr));
    ASSERT_EQ(SSL_use_certificate(ssl_.get(), mine.get()), 1);
    ASSERT_EQ(SSL_use_PrivateKey(ssl_.get(), key.get()), 1);
  }

  SSL* ssl() { return ssl_.get(); }
  int fd() const { return fd_.get(); }
  void Close() { fd_.Close(); }

  // Goes on as far as it can. False: it failed; alert() may say why.
  bool Advance() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    return result == 1 || Retry(result);
  }
  // What has come, until nothing more is there.
  std::string ReadAll() {
    std::string all;
    char part[20000];
    ERR_clear_error();
    int got = 0;
    while ((got = SSL_read(ssl_.get(), part, sizeof(part))) > 0) all.append(part, static_cast<size_t>(got));
    Retry(got);
    return all;
  }
  // How much of it was taken.
  size_t Write(const std::string& bytes) {
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) Retry(0);
    return written;
  }
  // The alert that ended it; 0: none did.
  int alert() const { return alert_; }

 private:
  bool Retry(int result) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return true;
    const int reason = ERR_GET_REASON(ERR_peek_error());
    if (error == SSL_ERROR_SSL && reason > SSL_AD_REASON_OFFSET) alert_ = reason - SSL_AD_REASON_OFFSET;
    ERR_clear_error();
    return false;
  }

  FileDescriptor fd_;
  std::unique_ptr<SSL_CTX, TlsFree<&SSL_CTX_free>> context_;
  std::unique_ptr<SSL, TlsFree<&SSL_free>> ssl_;
  int alert_ = 0;
};

inline void MakeSocketPair(FileDescriptor* one, FileDescriptor* other) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  *one = FileDescriptor(fds[0]);
  *other = FileDescriptor(fds[1]);
}

// A client, and the server's transport for it.
struct TestTlsPair {
  explicit TestTlsPair(const TlsContext& context, const char* protocol = "h2") {
    FileDescriptor mine;
    FileDescriptor theirs;
    MakeSocketPair(&mine, &theirs);
    client = std::make_unique<TestTlsClient>(std::move(theirs), protocol);
    server = context.Accept(std::move(mine), "unix:");
  }

  // What Read() into a kilobyte says; the bytes are kept in `received`.
  IoResult Read() {
    char bytes[1024];
    const iovec to{bytes, sizeof(bytes)};
    const IoResult result = server->Read({&to, 1});
    received.append(bytes, result.bytes);
    return result;
  }
  IoResult Write(const std::string& bytes) {
    const iovec from{const_cast<char*>(bytes.data()), bytes.size()};
    return server->Write({&from, 1});
  }
  // Both sides take turns until the server is ready or has failed.
  IoState Handshake() {
    IoResult result;
    for (int turn = 0; turn < 20 && result.state == IoState::kAgain && !server->established(); ++turn) {
      client->Advance();
      result = Read();
    }
    client->Advance();
    return server->established() ? IoState::kOk : result.state;
  }

  std::unique_ptr<TestTlsClient> client;
  std::unique_ptr<Transport> server;
  std::string received;
};

inline std::shared_ptr<const TlsContext> MakeTestContext(const TlsOptions& options) {
  std::shared_ptr<const TlsContext> context;
  const Status status = TlsContext::Make(options, &context);
  EXPECT_TRUE(status.ok()) << status.message();
  return context;
}

}  // namespace maas
