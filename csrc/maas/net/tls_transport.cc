#include "maas/net/tls_transport.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "maas/net/tls_identity.h"

namespace maas {

namespace {

// The most that a record holds.
constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;

using Record = std::array<std::byte, kRecordBytes>;

// The first bytes of `from` beyond `offset`, at most a record of them, as one piece. They are copied to
// `joined` if they lie in several: a record costs its header, its tag and a cipher's start, however little is
// in it.
std::span<const std::byte> FirstRecord(std::span<const iovec> from, size_t offset, Record* joined) {
  size_t filled = 0;
  for (const iovec& piece : from) {
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    const auto* data = static_cast<const std::byte*>(piece.iov_base) + offset;
    const size_t size = piece.iov_len - offset;
    offset = 0;
    const bool alone = size >= kRecordBytes || &piece == &from.back();
    if (filled == 0 && alone) return {data, std::min(size, kRecordBytes)};
    const size_t taken = std::min(size, kRecordBytes - filled);
    std::memcpy(joined->data() + filled, data, taken);
    filled += taken;
    if (filled == kRecordBytes) break;
  }
  return {joined->data(), filled};
}

}  // namespace

// The functions of the BIO; its data is the transport.
struct TlsSocketBio {
  static int Write(BIO* bio, const char* data, int size) {
    return Move(bio, BIO_FLAGS_WRITE,
                [&](int fd) { return ::send(fd, data, static_cast<size_t>(size), MSG_NOSIGNAL); });
  }
  static int Read(BIO* bio, char* data, int size) {
    const int moved =
        Move(bio, BIO_FLAGS_READ, [&](int fd) { return ::recv(fd, data, static_cast<size_t>(size), 0); });
    if (moved == 0 && size > 0) static_cast<TlsTransport*>(BIO_get_data(bio))->socket_ended_ = true;
    return moved;
  }
  // There is nothing to flush, and nothing else that OpenSSL asks of it matters.
  static long Control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

 private:
  template <typename Call>
  static int Move(BIO* bio, int direction, Call call) {
    auto* transport = static_cast<TlsTransport*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    ssize_t moved = 0;
    do {
      moved = call(transport->fd());
    } while (moved < 0 && errno == EINTR);
    if (moved >= 0) return static_cast<int>(moved);
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      transport->socket_waits_ = true;
      BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
    } else {
      transport->socket_error_ = errno;
    }
    return -1;
  }
};

std::unique_ptr<BIO_METHOD, TlsFree<&BIO_meth_free>> MakeTlsBioMethod() {
  // Kinds are numbered per process, and nobody asks for the kind of this one.
  std::unique_ptr<BIO_METHOD, TlsFree<&BIO_meth_free>> method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket"));
  const bool made = method != nullptr && BIO_meth_set_write(method.get(), TlsSocketBio::Write) == 1 &&
                    BIO_meth_set_read(method.get(), TlsSocketBio::Read) == 1 &&
                    BIO_meth_set_ctrl(method.get(), TlsSocketBio::Control) == 1;
  if (!made) method.reset();
  return method;
}

std::string TakeTlsError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

std::unique_ptr<TlsTransport> TlsTransport::Make(std::shared_ptr<const TlsShared> shared,
                                                 FileDescriptor socket, std::string address) {
  SSL_CTX* context = shared->context.get();
  const BIO_METHOD* method = shared->bio_method.get();
  std::unique_ptr<TlsTransport> transport(
      new (std::nothrow) TlsTransport(std::move(shared), std::move(socket), std::move(address)));
  if (transport == nullptr) return nullptr;
  transport->ssl_.reset(SSL_new(context));
  BIO* bio = transport->ssl_ == nullptr ? nullptr : BIO_new(method);
  if (bio == nullptr) {
    ERR_clear_error();
    return nullptr;
  }
  BIO_set_data(bio, transport.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(transport->ssl_.get(), bio, bio);
  SSL_set_accept_state(transport->ssl_.get());
  return transport;
}

TlsTransport::TlsTransport(std::shared_ptr<const TlsShared> shared, FileDescriptor socket,
                           std::string address)
    : shared_(std::move(shared)), socket_(std::move(socket)), read_events_(EPOLLIN), write_events_(EPOLLOUT) {
  peer_.address = std::move(address);
}

IoResult TlsTransport::Read(std::span<const iovec> to) {
  buffered_ = false;
  if (end_ != IoState::kOk) return {end_, 0};
  if (!established_) {
    const IoState state = Handshake(&read_events_);
    if (state != IoState::kOk) return {state, 0};
  }
  size_t total = 0;
  for (const iovec& piece : to) {
    size_t filled = 0;
    while (filled < piece.iov_len) {
      size_t read = 0;
      Prepare();
      const int result = SSL_read_ex(ssl_.get(), static_cast<std::byte*>(piece.iov_base) + filled,
                                     piece.iov_len - filled, &read);
      if (result == 1) {
        filled += read;
        total += read;
        continue;
      }
      const IoState state = Explain(result, &read_events_);
      // Records without data came. They are counted as a round of their own, so that a peer that sends only
      // such ones does not keep the thread.
      const bool idled = state == IoState::kAgain && !socket_waits_;
      // What comes next does not wait for the socket.
      buffered_ = idled || (state != IoState::kAgain && total > 0);
      return total > 0 ? IoResult{IoState::kOk, total} : IoResult{state, 0};
    }
  }
  buffered_ = SSL_has_pending(ssl_.get()) == 1;
  return {total > 0 ? IoState::kOk : IoState::kAgain, total};
}

IoResult TlsTransport::Write(std::span<const iovec> from) {
  if (end_ == IoState::kFailed) return {IoState::kFailed, 0};
  if (!established_) {
    const IoState state = Handshake(&write_events_);
    if (state == IoState::kClosed) return {Fail("the connection was closed during the handshake"), 0};
    if (state != IoState::kOk) return {state, 0};
  }
  Record joined;
  size_t total = 0;
  while (true) {
    const std::span<const std::byte> record = FirstRecord(from, total, &joined);
    if (record.empty()) return {total > 0 ? IoState::kOk : IoState::kAgain, total};
    size_t written = 0;
    Prepare();
    const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &written);
    if (result != 1) {
      const IoState state = Explain(result, &write_events_);
      return total > 0 ? IoResult{IoState::kOk, total} : IoResult{state, 0};
    }
    total += written;
  }
}

void TlsTransport::Shutdown() {
  const bool told = (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) != 0;
  if (established_ && end_ != IoState::kFailed && !told) {
    // What it could not send at once is not sent: the end of the connection says the same.
    Prepare();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  ::shutdown(socket_.get(), SHUT_WR);
}

void TlsTransport::Prepare() {
  // OpenSSL takes an error that is left in the thread's queue, whoever's it is, for that of the next call.
  ERR_clear_error();
  socket_error_ = 0;
  socket_ended_ = false;
  socket_waits_ = false;
}

IoState TlsTransport::Handshake(uint32_t* wanted) {
  if (end_ != IoState::kOk) return end_;
  Prepare();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return Explain(result, wanted);
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  if (size == 0) return Fail("the client does not ask for HTTP/2 (ALPN)");
  if (SSL_get_verify_mode(ssl_.get()) != SSL_VERIFY_NONE) ReadTlsIdentity(ssl_.get(), &peer_);
  ERR_clear_error();
  established_ = true;
  // Of what the client sent with its last words the socket knows nothing any more.
  buffered_ = SSL_has_pending(ssl_.get()) == 1;
  return IoState::kOk;
}

IoState TlsTransport::Explain(int result, uint32_t* wanted) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      *wanted = EPOLLIN;
      return IoState::kAgain;
    case SSL_ERROR_WANT_WRITE:
      *wanted = EPOLLOUT;
      return IoState::kAgain;
    case SSL_ERROR_ZERO_RETURN:
      return end_ = IoState::kClosed;
    case SSL_ERROR_SYSCALL:
      // Without a farewell, as many clients end: HTTP/2 knows by itself where its messages end.
      if (socket_ended_) return end_ = IoState::kClosed;
      return Fail(std::generic_category().message(socket_error_));
    default: {
      std::string error = TakeTlsError();
      const long verified = SSL_get_verify_result(ssl_.get());
      if (!established_ && verified != X509_V_OK) {
        error.append(" (").append(X509_verify_cert_error_string(verified)).append(")");
      }
      return Fail(std::move(error));
    }
  }
}

IoState TlsTransport::Fail(std::string error) {
  error_ = "TLS: " + std::move(error);
  return end_ = IoState::kFailed;
}

}  // namespace maas
