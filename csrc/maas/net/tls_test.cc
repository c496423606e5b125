#include "maas/net/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/rsa.h>

#include <string>

#include "maas/net/tls_testing.h"

namespace maas {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Tls : public ::testing::Test {
 protected:
  std::string Problem(const TlsOptions& options) {
    std::shared_ptr<const TlsContext> context;
    const Status status = TlsContext::Make(options, &context);
    if (status.ok()) return "none";
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_EQ(context, nullptr);
    EXPECT_EQ(ERR_peek_error(), 0u) << "an error is left for whoever looks next";
    return status.message();
  }
  TlsOptions Options() const {
    return {.certificate_chain_pem = certificate_.pem,
            .private_key_pem = certificate_.key_pem,
            .client_ca_pem = {}};
  }

  const TestAuthority authority_;
  const TestCertificate certificate_ = authority_.Issue({.common_name = "server"});
};

TEST_F(Tls, ConnectsAClientThatSpeaksHttp2) {
  TestTlsPair pair(*MakeTestContext(Options()));
  EXPECT_FALSE(pair.server->established());
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  EXPECT_STREQ(SSL_get_version(pair.client->ssl()), "TLSv1.3");
  EXPECT_EQ(pair.server->peer().address, "unix:");
}

TEST_F(Tls, Tls12IsServedAndOlderOnesAreNot) {
  const auto context = MakeTestContext(Options());
  TestTlsPair newer(*context);
  SSL_set_max_proto_version(newer.client->ssl(), TLS1_2_VERSION);
  ASSERT_EQ(newer.Handshake(), IoState::kOk);
  EXPECT_STREQ(SSL_get_version(newer.client->ssl()), "TLSv1.2");
  TestTlsPair older(*context);
  SSL_set_min_proto_version(older.client->ssl(), TLS1_1_VERSION);
  SSL_set_max_proto_version(older.client->ssl(), TLS1_1_VERSION);
  EXPECT_EQ(older.Handshake(), IoState::kFailed);
  EXPECT_EQ(older.client->alert(), SSL_AD_PROTOCOL_VERSION);
  EXPECT_THAT(older.server->error(), HasSubstr("protocol"));
}

TEST_F(Tls, AClientThatOffersOtherProtocolsIsToldSo) {
  TestTlsPair pair(*MakeTestContext(Options()), "http/1.1");
  EXPECT_EQ(pair.Handshake(), IoState::kFailed);
  EXPECT_EQ(pair.client->alert(), SSL_AD_NO_APPLICATION_PROTOCOL);
  EXPECT_FALSE(pair.server->established());
}

TEST_F(Tls, Http2IsFoundAmongOtherProtocols) {
  TestTlsPair pair(*MakeTestContext(Options()));
  const std::string wire = "\x08grpc-exp\x02h2\x08http/1.1";
  SSL_set_alpn_protos(pair.client->ssl(), reinterpret_cast<const unsigned char*>(wire.data()),
                      static_cast<unsigned int>(wire.size()));
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  const unsigned char* chosen = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(pair.client->ssl(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "h2");
}

TEST_F(Tls, AClientThatOffersNoProtocolIsNotServed) {
  TestTlsPair pair(*MakeTestContext(Options()), nullptr);
  EXPECT_EQ(pair.Handshake(), IoState::kFailed);
  EXPECT_FALSE(pair.server->established());
  EXPECT_EQ(pair.server->error(), "TLS: the client does not ask for HTTP/2 (ALPN)");
}

TEST_F(Tls, WhatDoesNotParseIsNamed) {
  EXPECT_EQ(Problem(Options()), "none");
  TlsOptions options = Options();
  options.certificate_chain_pem = "";
  EXPECT_EQ(Problem(options), "certificate_chain_pem: expected certificates as PEM, got none");
  options.certificate_chain_pem = certificate_.pem.substr(0, 200) + "\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(Problem(options),
              StartsWith("certificate_chain_pem: expected certificates as PEM, got one that does"));
  options = Options();
  options.private_key_pem = certificate_.pem;
  EXPECT_THAT(Problem(options),
              StartsWith("private_key_pem: expected a private key as PEM, without a password"));
}

TEST_F(Tls, ABrokenCertificateBehindAGoodOneIsFound) {
  TlsOptions options = Options();
  options.certificate_chain_pem += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(Problem(options), StartsWith("certificate_chain_pem: "));
}

TEST_F(Tls, AKeyWithAPasswordIsRefusedAndNobodyIsAsked) {
  TlsOptions options = Options();
  options.private_key_pem = TestAuthority::KeyPem(MakeTestKey().get(), "secret");
  EXPECT_THAT(Problem(options),
              StartsWith("private_key_pem: expected a private key as PEM, without a password"));
}

TEST_F(Tls, AKeyOfAnotherCertificateIsRefused) {
  TlsOptions options = Options();
  options.private_key_pem = authority_.Issue().key_pem;
  EXPECT_THAT(Problem(options), StartsWith("private_key_pem: it does not belong to the certificate: "));
}

TEST_F(Tls, AKeyOfAnotherKindIsRefused) {
  const std::unique_ptr<EVP_PKEY_CTX, TlsFree<&EVP_PKEY_CTX_free>> maker(
      EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr));
  EVP_PKEY* key = nullptr;
  ASSERT_EQ(EVP_PKEY_keygen_init(maker.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_rsa_keygen_bits(maker.get(), 2048), 1);
  ASSERT_EQ(EVP_PKEY_keygen(maker.get(), &key), 1);
  const TestKey rsa(key);
  TlsOptions options = Options();
  options.private_key_pem = TestAuthority::KeyPem(rsa.get(), nullptr);
  EXPECT_THAT(Problem(options), StartsWith("private_key_pem: it does not belong to the certificate: "));
}

TEST_F(Tls, ClientsCannotBeVerifiedByNobody) {
  TlsOptions options = Options();
  options.clients = ClientCertificates::kRequired;
  EXPECT_EQ(Problem(options), "client_ca_pem: expected certificates as PEM, got none");
  options.client_ca_pem = "no certificates";
  options.clients = ClientCertificates::kOptional;
  EXPECT_EQ(Problem(options), "client_ca_pem: expected certificates as PEM, got none");
}

TEST_F(Tls, AConnectionOutlivesItsContext) {
  auto context = MakeTestContext(Options());
  TestTlsPair pair(*context);
  pair.client->Advance();
  context.reset();
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  EXPECT_EQ(pair.Write("still here").bytes, 10u);
  EXPECT_EQ(pair.client->ReadAll(), "still here");
}

TEST_F(Tls, AnotherContextShowsAnotherCertificate) {
  TlsOptions options = Options();
  TestTlsPair before(*MakeTestContext(options));
  const TestCertificate renewed = authority_.Issue({.common_name = "renewed"});
  options.certificate_chain_pem = renewed.pem;
  options.private_key_pem = renewed.key_pem;
  TestTlsPair after(*MakeTestContext(options));
  for (auto [pair, name] : {std::pair(&before, "server"), std::pair(&after, "renewed")}) {
    ASSERT_EQ(pair->Handshake(), IoState::kOk);
    const TestX509 shown(SSL_get_peer_certificate(pair->client->ssl()));
    char text[64] = {};
    X509_NAME_oneline(X509_get_subject_name(shown.get()), text, sizeof(text));
    EXPECT_EQ(std::string(text), std::string("/CN=") + name);
  }
}

TEST_F(Tls, TheWholeChainIsSent) {
  TlsOptions options = Options();
  options.certificate_chain_pem += authority_.pem();
  TestTlsPair pair(*MakeTestContext(options));
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(pair.client->ssl())), 2);
}

}  // namespace
}  // namespace maas
