#include "maas/net/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

namespace maas {
namespace {

// The system takes less if it allows less.
constexpr int kBacklog = 4096;
// So often a free port is looked for that is free on every address.
constexpr int kPortTries = 16;

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

void Set(const FileDescriptor& socket, int level, int option, int value) {
  setsockopt(socket.get(), level, option, &value, sizeof(value));
}

// Addresses of kinds that this machine does not have, or not now.
bool IsMissing(int error) {
  return error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT;
}

uint16_t PortOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// 0, or an errno. `both`: an IPv6 socket takes IPv4 as well.
int ListenOn(const addrinfo& where, uint16_t port, bool both, FileDescriptor* out, uint16_t* bound) {
  sockaddr_storage address{};
  std::memcpy(&address, where.ai_addr, where.ai_addrlen);
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
  }
  FileDescriptor socket(::socket(where.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  // A server that starts again takes the port although connections of the last one are not forgotten yet.
  Set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  if (where.ai_family == AF_INET6) Set(socket, IPPROTO_IPV6, IPV6_V6ONLY, both ? 0 : 1);
  socklen_t size = where.ai_addrlen;
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return errno;
  if (listen(socket.get(), kBacklog) != 0) return errno;
  size = sizeof(address);
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return errno;
  *bound = PortOf(address);
  *out = std::move(socket);
  return 0;
}

// All of `list`, as in Listen(); 0, or an errno.
int ListenOnAll(const addrinfo* list, uint16_t port, bool both, std::vector<FileDescriptor>* out,
                uint16_t* bound) {
  out->clear();
  int missing = EADDRNOTAVAIL;
  for (const addrinfo* where = list; where != nullptr; where = where->ai_next) {
    if (where->ai_family != AF_INET && where->ai_family != AF_INET6) continue;
    FileDescriptor socket;
    const int error = ListenOn(*where, port, both, &socket, bound);
    if (IsMissing(error)) {
      missing = error;
      continue;
    }
    if (error != 0) return error;
    port = *bound;  // The next addresses take the same one.
    out->push_back(std::move(socket));
    if (both && where->ai_family == AF_INET6) return 0;
  }
  return out->empty() ? missing : 0;
}

std::string IPv4Text(const in_addr& address, uint16_t port) {
  std::array<char, INET_ADDRSTRLEN> text{};
  inet_ntop(AF_INET, &address, text.data(), text.size());
  return std::string("ipv4:") + text.data() + ':' + std::to_string(port);
}

std::string TextOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET)
    return IPv4Text(reinterpret_cast<const sockaddr_in&>(address).sin_addr, PortOf(address));
  if (address.ss_family != AF_INET6) return "unix:";
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
    in_addr in4{};
    std::memcpy(&in4, in6.sin6_addr.s6_addr + 12, sizeof(in4));
    return IPv4Text(in4, PortOf(address));
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, &in6.sin6_addr, text.data(), text.size());
  const std::string scope = in6.sin6_scope_id == 0 ? "" : "%25" + std::to_string(in6.sin6_scope_id);
  return std::string("ipv6:%5B") + text.data() + scope + "%5D:" + std::to_string(PortOf(address));
}

// What went wrong with the connection that waited, not with the waiting: the next one may be well.
bool IsOfThePeer(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

void FileDescriptor::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

Status Listen(const std::string& host, uint16_t port, std::vector<FileDescriptor>* out, uint16_t* bound) {
  const bool all = host.empty() || host == "::";
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const std::string where = host.empty() ? "[::]" : host;
  const std::string text = where + ':' + std::to_string(port);
  // IPv6 first, whose socket takes IPv4 as well; IPv4 alone where there is no IPv6.
  Addresses list;
  for (const char* name : {all ? "::" : host.c_str(), "0.0.0.0"}) {
    addrinfo* found = nullptr;
    const int error = getaddrinfo(name, "0", &hints, &found);
    list.reset(found);
    if (error != 0 && !all)
      return Status(Code::kInvalidArgument, "NO_SUCH_HOST", "host '" + host + "': " + gai_strerror(error));
    int failure = error == 0 ? EADDRINUSE : EADDRNOTAVAIL;
    for (int i = 0; i < (port == 0 ? kPortTries : 1) && failure == EADDRINUSE; ++i)
      failure = ListenOnAll(list.get(), port, all, out, bound);
    if (failure == 0) return {};
    out->clear();
    if (!all || !IsMissing(failure))
      return Status(Code::kUnavailable, "CANNOT_LISTEN",
                    "cannot listen on " + text + ": " + std::strerror(failure));
  }
  return Status(Code::kUnavailable, "CANNOT_LISTEN", "cannot listen on " + text + ": no such address here");
}

bool Accept(const FileDescriptor& listening, FileDescriptor* out, std::string* address, Status* failure) {
  sockaddr_storage peer{};
  int fd = -1;
  do {
    socklen_t size = sizeof(peer);
    fd = accept4(listening.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && IsOfThePeer(errno));
  if (fd < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    *failure = Status(Code::kResourceExhausted, "TOO_MANY_FILES",
                      std::string("no connection can be accepted: ") + std::strerror(errno));
    return false;
  }
  *out = FileDescriptor(fd);
  if (peer.ss_family != AF_UNIX) {
    Set(*out, IPPROTO_TCP, TCP_NODELAY, 1);
    Set(*out, SOL_SOCKET, SO_KEEPALIVE, 1);
  }
  *address = TextOf(peer);
  return true;
}

Status ConnectUnix(const std::string& path, FileDescriptor* out) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return Status(Code::kUnavailable, "NO_SUCH_SOCKET", "the path of the socket is empty or too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  // An abstract name ends where it ends; a path ends with NUL.
  const size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '\0' ? 0 : 1);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int error = socket.valid() ? 0 : errno;
  if (error == 0) {
    int done = 0;
    do {
      done = connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size));
    } while (done != 0 && errno == EINTR);
    if (done != 0) error = errno;
  }
  if (error != 0)
    return Status(Code::kUnavailable, "NOT_CONNECTED",
                  std::string("cannot connect to the server's own socket: ") + std::strerror(error));
  *out = std::move(socket);
  return {};
}

int64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return static_cast<int64_t>(before);
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace maas
