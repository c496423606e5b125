#include "maas/net/tls_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "maas/net/tls_testing.h"

namespace maas {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TlsIdentity : public ::testing::Test {
 protected:
  TlsIdentity() { Ask(ClientCertificates::kRequired); }

  void Ask(ClientCertificates clients) {
    context_ = MakeTestContext({.certificate_chain_pem = server_.pem,
                                .private_key_pem = server_.key_pem,
                                .client_ca_pem = authority_.pem(),
                                .clients = clients});
  }
  // Connects a client with this certificate, which is refused.
  void ExpectRefused(const TestCertificate& certificate, int alert, const std::string& reason) {
    TestTlsPair pair(*context_);
    pair.client->Show(certificate);
    EXPECT_EQ(pair.Handshake(), IoState::kFailed);
    EXPECT_FALSE(pair.server->established());
    pair.client->ReadAll();
    EXPECT_EQ(pair.client->alert(), alert);
    EXPECT_THAT(pair.server->error(), HasSubstr(reason));
  }

  const TestAuthority authority_;
  const TestCertificate server_ = authority_.Issue({.common_name = "server"});
  std::shared_ptr<const TlsContext> context_;
};

TEST_F(TlsIdentity, IsReadFromAVerifiedCertificate) {
  const TestCertificate shown = authority_.Issue(
      {.common_name = "Jos\xC3\xA9",
       .alternative_names = "DNS:a.example,URI:spiffe://example/"
                            "b,email:c@example,IP:127.0.0.1,IP:::1,RID:1.2.3.4,DNS:d.example"});
  TestTlsPair pair(*context_);
  pair.client->Show(shown);
  ASSERT_EQ(pair.Handshake(), IoState::kOk) << pair.server->error();
  const Peer& peer = pair.server->peer();
  EXPECT_EQ(peer.certificate_pem, shown.pem);
  EXPECT_EQ(peer.common_name, "Jos\xC3\xA9");
  EXPECT_THAT(peer.alternative_names,
              ElementsAre("a.example", "spiffe://example/b", "c@example", "127.0.0.1", "::1", "d.example"));
}

TEST_F(TlsIdentity, AClientWithoutACertificateIsRefusedWhereOneIsRequired) {
  TestTlsPair pair(*context_);
  EXPECT_EQ(pair.Handshake(), IoState::kFailed);
  pair.client->ReadAll();
  // TLS 1.3 has an alert of its own for it.
  EXPECT_THAT(pair.client->alert(), AnyOf(SSL_AD_CERTIFICATE_REQUIRED, SSL_AD_HANDSHAKE_FAILURE));
  EXPECT_THAT(pair.server->error(), HasSubstr("did not return a certificate"));
}

TEST_F(TlsIdentity, ACertificateOfSomebodyElseIsRefused) {
  const TestAuthority other("other");
  ExpectRefused(other.Issue(), SSL_AD_UNKNOWN_CA, "unable to get local issuer certificate");
}

TEST_F(TlsIdentity, ANameDoesNotMakeAnAuthority) {
  const TestAuthority same_name;
  ExpectRefused(same_name.Issue(), SSL_AD_DECRYPT_ERROR, "certificate signature failure");
}

TEST_F(TlsIdentity, AnExpiredCertificateIsRefused) {
  ExpectRefused(authority_.Issue({.valid_seconds = -60}), SSL_AD_CERTIFICATE_EXPIRED,
                "certificate has expired");
}

TEST_F(TlsIdentity, ACertificateForServersIsRefused) {
  ExpectRefused(authority_.Issue({.usage = "serverAuth"}), SSL_AD_UNSUPPORTED_CERTIFICATE,
                "certificate purpose");
}

TEST_F(TlsIdentity, WhereOptionalAClientWithoutOneIsNobody) {
  Ask(ClientCertificates::kOptional);
  TestTlsPair pair(*context_);
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  EXPECT_EQ(pair.server->peer().certificate_pem, "");
  EXPECT_EQ(pair.server->peer().common_name, "");
  EXPECT_THAT(pair.server->peer().alternative_names, IsEmpty());
}

TEST_F(TlsIdentity, WhereOptionalAWrongOneIsRefusedAllTheSame) {
  Ask(ClientCertificates::kOptional);
  const TestAuthority other("other");
  ExpectRefused(other.Issue(), SSL_AD_UNKNOWN_CA, "unable to get local issuer certificate");
}

TEST_F(TlsIdentity, WhereNotAskedForNobodyIsAsked) {
  Ask(ClientCertificates::kNone);
  TestTlsPair pair(*context_);
  pair.client->Show(authority_.Issue());
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  EXPECT_EQ(pair.server->peer().certificate_pem, "");
}

TEST_F(TlsIdentity, ANameWithANulWithinIsLeftOut) {
  TestTlsPair pair(*context_);
  pair.client->Show(authority_.Issue(
      {.common_name = std::string("admin\0.example", 14), .alternative_names = "DNS:other.example"}));
  ASSERT_EQ(pair.Handshake(), IoState::kOk);
  EXPECT_EQ(pair.server->peer().common_name, "");
  EXPECT_THAT(pair.server->peer().alternative_names, ElementsAre("other.example"));
}

TEST_F(TlsIdentity, ASessionIsNotResumedWithoutItsCertificate) {
  TestTlsPair first(*context_);
  first.client->Show(authority_.Issue());
  ASSERT_EQ(first.Handshake(), IoState::kOk);
  ASSERT_EQ(first.Write("x").bytes, 1u);
  first.client->ReadAll();
  const std::unique_ptr<SSL_SESSION, TlsFree<&SSL_SESSION_free>> session(
      SSL_get1_session(first.client->ssl()));
  TestTlsPair second(*context_);
  SSL_set_session(second.client->ssl(), session.get());
  EXPECT_EQ(second.Handshake(), IoState::kFailed);
}

}  // namespace
}  // namespace maas
