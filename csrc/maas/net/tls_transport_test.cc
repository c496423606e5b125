#include "maas/net/tls_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <array>
#include <string>
#include <vector>

#include "maas/net/tls_testing.h"

namespace maas {
namespace {

using ::testing::StartsWith;

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i * 7 % 26);
  return bytes;
}

iovec Piece(std::string& bytes) { return {bytes.data(), bytes.size()}; }

class TlsTransportTest : public ::testing::TestWithParam<int> {
 protected:
  void Connect() {
    pair_ = std::make_unique<TestTlsPair>(*context_);
    SSL_set_max_proto_version(pair_->client->ssl(), GetParam());
    ASSERT_EQ(pair_->Handshake(), IoState::kOk) << pair_->server->error();
    ASSERT_EQ(pair_->Read().state, IoState::kAgain);
    pair_->client->ReadAll();
  }
  // Sizes of the records with data that the client gets from now on.
  void WatchRecords() {
    SSL_set_msg_callback(
        client().ssl(), [](int writing, int, int kind, const void* data, size_t, SSL*, void* self) {
          const auto* head = static_cast<const unsigned char*>(data);
          if (writing == 0 && kind == SSL3_RT_HEADER && head[0] == SSL3_RT_APPLICATION_DATA) {
            static_cast<TlsTransportTest*>(self)->records_.push_back(head[3] * 256 + head[4]);
          }
        });
    SSL_set_msg_callback_arg(client().ssl(), this);
  }
  TestTlsClient& client() { return *pair_->client; }
  Transport& server() { return *pair_->server; }

  const TestAuthority authority_;
  const TestCertificate certificate_ = authority_.Issue();
  const std::shared_ptr<const TlsContext> context_ =
      MakeTestContext({.certificate_chain_pem = certificate_.pem,
                       .private_key_pem = certificate_.key_pem,
                       .client_ca_pem = {}});
  std::unique_ptr<TestTlsPair> pair_;
  std::vector<int> records_;
};

TEST_P(TlsTransportTest, CarriesBytesBothWays) {
  Connect();
  ASSERT_EQ(client().Write("hello"), 5u);
  const IoResult read = pair_->Read();
  EXPECT_EQ(read.state, IoState::kOk);
  EXPECT_EQ(pair_->received, "hello");
  EXPECT_FALSE(server().has_buffered());
  EXPECT_EQ(pair_->Read().state, IoState::kAgain);
  EXPECT_EQ(server().events(true), uint32_t{EPOLLIN});
  EXPECT_EQ(pair_->Write("answer").bytes, 6u);
  EXPECT_EQ(client().ReadAll(), "answer");
}

TEST_P(TlsTransportTest, TheHandshakeHappensInWriteAsWell) {
  TestTlsPair pair(*context_);
  SSL_set_max_proto_version(pair.client->ssl(), GetParam());
  IoResult result = pair.Write("x");
  EXPECT_EQ(result.state, IoState::kAgain);
  EXPECT_EQ(pair.server->events(false), uint32_t{EPOLLIN}) << "the client speaks first";
  for (int turn = 0; turn < 10 && result.state == IoState::kAgain; ++turn) {
    pair.client->Advance();
    result = pair.Write("x");
  }
  EXPECT_EQ(result.state, IoState::kOk);
  EXPECT_EQ(pair.client->ReadAll(), "x");
}

TEST_P(TlsTransportTest, WhatComesWithTheEndOfTheHandshakeIsNotForgottenByAWrite) {
  TestTlsPair pair(*context_);
  SSL_set_max_proto_version(pair.client->ssl(), GetParam());
  pair.client->Advance();
  EXPECT_EQ(pair.Write("x").state, IoState::kAgain);
  // In TLS 1.2 the server has the last word, but for this.
  if (GetParam() == TLS1_2_VERSION) {
    pair.client->Advance();
    EXPECT_EQ(pair.Write("x").state, IoState::kOk);
  }
  ASSERT_EQ(pair.client->Write("preface"), 7u);
  pair.Write("x");
  ASSERT_TRUE(pair.server->established());
  EXPECT_TRUE(pair.server->has_buffered() || GetParam() == TLS1_2_VERSION);
  pair.Read();
  EXPECT_EQ(pair.received, "preface");
}

TEST_P(TlsTransportTest, SmallPiecesShareRecords) {
  Connect();
  WatchRecords();
  std::vector<std::string> pieces(300, Pattern(100));
  std::vector<iovec> from;
  for (std::string& piece : pieces) from.push_back(Piece(piece));
  EXPECT_EQ(server().Write(from).bytes, 30000u);
  std::string expected;
  for (const std::string& piece : pieces) expected += piece;
  EXPECT_EQ(client().ReadAll(), expected);
  EXPECT_EQ(records_.size(), 2u);
}

TEST_P(TlsTransportTest, LargePiecesFillTheRecordsThatSmallOnesBegin) {
  Connect();
  WatchRecords();
  std::string head = "head";
  std::string body = Pattern(40000);
  std::string tail = "tail";
  const std::array<iovec, 3> from{Piece(head), Piece(body), Piece(tail)};
  EXPECT_EQ(server().Write(from).bytes, 40008u);
  EXPECT_EQ(client().ReadAll(), head + body + tail);
  EXPECT_EQ(records_.size(), 3u);
}

TEST_P(TlsTransportTest, EmptyPiecesAreSteppedOver) {
  Connect();
  std::string empty;
  std::string text = "text";
  const std::array<iovec, 4> from{Piece(empty), Piece(text), Piece(empty), Piece(text)};
  EXPECT_EQ(server().Write(from).bytes, 8u);
  EXPECT_EQ(client().ReadAll(), "texttext");
  EXPECT_EQ(server().Write({from.data(), 1}).state, IoState::kAgain);
}

TEST_P(TlsTransportTest, ReadsIntoSeveralPieces) {
  Connect();
  const std::string sent = Pattern(5000);
  ASSERT_EQ(client().Write(sent), sent.size());
  std::string first(10, '\0');
  std::string second(3000, '\0');
  std::string third(5000, '\0');
  const std::array<iovec, 3> to{Piece(first), Piece(second), Piece(third)};
  EXPECT_EQ(server().Read(to).bytes, sent.size());
  EXPECT_EQ((first + second + third).substr(0, sent.size()), sent);
}

TEST_P(TlsTransportTest, WhatTheSocketDoesNotTellOfIsBuffered) {
  Connect();
  ASSERT_EQ(client().Write(Pattern(1000)), 1000u);
  ASSERT_EQ(client().Write(Pattern(1000)), 1000u);
  EXPECT_EQ(pair_->Read().bytes, 1024u);
  EXPECT_TRUE(server().has_buffered());
  EXPECT_EQ(pair_->Read().bytes, 976u);
  EXPECT_FALSE(server().has_buffered());
  EXPECT_EQ(pair_->received, Pattern(1000) + Pattern(1000));
}

TEST_P(TlsTransportTest, GoesOnWithBuffersThatMovedWhenThereIsRoomAgain) {
  Connect();
  const std::string sent = Pattern(8 << 20);
  size_t written = 0;
  std::string received;
  bool waited = false;
  while (written < sent.size()) {
    // The rest, somewhere else in memory each time, in another form.
    std::string front = sent.substr(written, 9000);
    std::string back = sent.substr(written + front.size());
    const std::array<iovec, 2> from{Piece(front), Piece(back)};
    const IoResult result = server().Write(from);
    if (result.state == IoState::kAgain) {
      EXPECT_EQ(server().events(false), uint32_t{EPOLLOUT});
      waited = true;
      received += client().ReadAll();
    } else {
      ASSERT_EQ(result.state, IoState::kOk) << server().error();
      written += result.bytes;
    }
  }
  received += client().ReadAll();
  EXPECT_TRUE(waited);
  EXPECT_TRUE(received == sent);
}

TEST_P(TlsTransportTest, AFarewellIsAnEndInOrder) {
  Connect();
  ASSERT_EQ(client().Write("last words"), 10u);
  SSL_shutdown(client().ssl());
  EXPECT_EQ(pair_->Read().state, IoState::kOk);
  EXPECT_EQ(pair_->received, "last words");
  EXPECT_TRUE(server().has_buffered()) << "the socket will not say more";
  EXPECT_EQ(pair_->Read().state, IoState::kClosed);
  EXPECT_EQ(pair_->Write("answer").bytes, 6u) << "the client may still listen";
}

TEST_P(TlsTransportTest, AnEndWithoutAFarewellIsOneToo) {
  Connect();
  ASSERT_EQ(client().Write("last words"), 10u);
  client().Close();
  EXPECT_EQ(pair_->Read().bytes, 10u);
  EXPECT_EQ(pair_->Read().state, IoState::kClosed);
  EXPECT_EQ(pair_->Read().state, IoState::kClosed);
}

TEST_P(TlsTransportTest, WritingToAClientThatIsGoneFailsWithoutASignal) {
  Connect();
  client().Close();
  EXPECT_EQ(pair_->Write("x").state, IoState::kFailed);
  EXPECT_EQ(server().error(), "TLS: Broken pipe");
  EXPECT_EQ(pair_->Write("x").state, IoState::kFailed);
  EXPECT_EQ(pair_->Read().state, IoState::kFailed);
}

TEST_P(TlsTransportTest, AnEndWithinTheHandshakeIsTold) {
  TestTlsPair reading(*context_);
  reading.client->Advance();
  EXPECT_EQ(reading.Read().state, IoState::kAgain);
  reading.client->Close();
  EXPECT_NE(reading.Read().state, IoState::kAgain);
  TestTlsPair writing(*context_);
  writing.client->Close();
  EXPECT_EQ(writing.Write("x").state, IoState::kFailed);
  EXPECT_EQ(writing.server->error(), "TLS: the connection was closed during the handshake");
}

TEST_P(TlsTransportTest, WhatIsNoTlsFails) {
  for (const char* text :
       {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\xff\xff\x01"}) {
    TestTlsPair pair(*context_);
    ASSERT_GT(::send(pair.client->fd(), text, strlen(text), 0), 0);
    pair.client->Close();
    EXPECT_NE(pair.Read().state, IoState::kAgain) << text;
    EXPECT_FALSE(pair.server->established());
    EXPECT_EQ(ERR_peek_error(), 0u);
  }
}

TEST_P(TlsTransportTest, ARecordThatWasTamperedWithFails) {
  Connect();
  const std::string record = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  ASSERT_EQ(::send(client().fd(), record.data(), record.size(), 0), 37);
  EXPECT_EQ(pair_->Read().state, IoState::kFailed);
  EXPECT_THAT(server().error(), StartsWith("TLS: "));
  EXPECT_EQ(pair_->Write("x").state, IoState::kFailed);
}

TEST_P(TlsTransportTest, WhatCameBeforeAFailureIsReadFirst) {
  Connect();
  ASSERT_EQ(client().Write("good"), 4u);
  const std::string record = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  ASSERT_EQ(::send(client().fd(), record.data(), record.size(), 0), 37);
  EXPECT_EQ(pair_->Read().state, IoState::kOk);
  EXPECT_EQ(pair_->received, "good");
  EXPECT_TRUE(server().has_buffered());
  EXPECT_EQ(pair_->Read().state, IoState::kFailed);
}

TEST_P(TlsTransportTest, AnErrorThatSomebodyLeftIsNotOurs) {
  Connect();
  EXPECT_EQ(SSL_CTX_use_PrivateKey(nullptr, nullptr), 0);
  ASSERT_NE(ERR_peek_error(), 0u);
  EXPECT_EQ(pair_->Read().state, IoState::kAgain);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(nullptr, nullptr), 0);
  EXPECT_EQ(pair_->Write("x").state, IoState::kOk);
}

TEST_P(TlsTransportTest, ShutdownTellsTheClientOnce) {
  Connect();
  server().Shutdown();
  server().Shutdown();
  EXPECT_EQ(client().ReadAll(), "");
  EXPECT_EQ(SSL_get_shutdown(client().ssl()), SSL_RECEIVED_SHUTDOWN);
  ASSERT_EQ(client().Write("late"), 4u);
  EXPECT_EQ(pair_->Read().bytes, 4u) << "only one direction ended";
}

INSTANTIATE_TEST_SUITE_P(Versions, TlsTransportTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

class TlsTransport13 : public TlsTransportTest {};

TEST_P(TlsTransport13, KeysThatChangeForEverDoNotKeepTheThread) {
  Connect();
  BIO* const memory = BIO_new(BIO_s_mem());
  SSL_set0_wbio(client().ssl(), memory);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(SSL_key_update(client().ssl(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(client().ssl()), 1);
  }
  ASSERT_EQ(client().Write("x"), 1u);
  char* records = nullptr;
  const long size = BIO_get_mem_data(memory, &records);
  ASSERT_EQ(::send(client().fd(), records, static_cast<size_t>(size), 0), size);
  EXPECT_EQ(pair_->Read().state, IoState::kAgain);
  EXPECT_TRUE(server().has_buffered());
  int reads = 1;
  while (pair_->received.empty() && reads < 100) {
    pair_->Read();
    ++reads;
  }
  EXPECT_EQ(pair_->received, "x");
  EXPECT_GE(reads, 3);
}

TEST_P(TlsTransport13, KeysChangeWhileDataFlows) {
  Connect();
  ASSERT_EQ(SSL_key_update(client().ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
  ASSERT_EQ(client().Write("new key"), 7u);
  while (pair_->Read().state == IoState::kOk || server().has_buffered()) continue;
  EXPECT_EQ(pair_->received, "new key");
  EXPECT_EQ(pair_->Write("mine too").bytes, 8u);
  EXPECT_EQ(client().ReadAll(), "mine too");
}

INSTANTIATE_TEST_SUITE_P(Newest, TlsTransport13, ::testing::Values(TLS1_3_VERSION));

class TlsTransport12 : public TlsTransportTest {};

TEST_P(TlsTransport12, NobodyNegotiatesAgain) {
  Connect();
  ASSERT_EQ(SSL_renegotiate(client().ssl()), 1);
  client().Advance();
  const IoState state = pair_->Read().state;
  EXPECT_TRUE(state == IoState::kAgain || state == IoState::kFailed);
  EXPECT_FALSE(client().Advance() && SSL_is_init_finished(client().ssl()) == 1 &&
               SSL_num_renegotiations(client().ssl()) > 0);
}

INSTANTIATE_TEST_SUITE_P(Older, TlsTransport12, ::testing::Values(TLS1_2_VERSION));

}  // namespace
}  // namespace maas
