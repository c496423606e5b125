// Sockets of the other side, for tests: clients of this machine, and what accepts them.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "maas/net/socket.h"

namespace maas {

// Sanitizers keep memory of their own, and look at the process through descriptors.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

// Not valid if this machine has no such addresses. Blocking.
inline FileDescriptor ConnectLocal(int family, uint16_t port) {
  FileDescriptor out(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!out.valid()) return out;
  sockaddr_in in4{};
  in4.sin_family = AF_INET;
  in4.sin_port = htons(port);
  in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  in6.sin6_addr = in6addr_loopback;
  const bool six = family == AF_INET6;
  const auto* address =
      six ? reinterpret_cast<const sockaddr*>(&in6) : reinterpret_cast<const sockaddr*>(&in4);
  const socklen_t size = six ? sizeof(in6) : sizeof(in4);
  if (connect(out.get(), address, size) != 0) out.Close();
  return out;
}

inline uint16_t LocalPort(const FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  EXPECT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

// Whether one of `events` comes within so many milliseconds.
inline bool IsReady(int fd, int16_t events, int wait_ms) {
  pollfd waits{fd, events, 0};
  return poll(&waits, 1, wait_ms) == 1;
}

// Waits for a connection at most some seconds.
inline bool AcceptWithin(const FileDescriptor& listening, FileDescriptor* out, std::string* address) {
  if (!IsReady(listening.get(), POLLIN, 10'000)) return false;
  Status failure;
  const bool accepted = Accept(listening, out, address, &failure);
  EXPECT_TRUE(failure.ok());
  return accepted;
}

// As ConnectUnix() takes it.
inline FileDescriptor ListenUnix(const std::string& path) {
  FileDescriptor out(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  EXPECT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  const size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '\0' ? 0 : 1);
  EXPECT_EQ(bind(out.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)), 0);
  EXPECT_EQ(listen(out.get(), 16), 0);
  return out;
}

}  // namespace maas
