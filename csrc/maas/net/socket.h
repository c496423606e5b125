// Sockets: listening, accepting, connecting, and the descriptors that stand for them.
//
// Threads: any; a descriptor has one owner.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "maas/base/status.h"

namespace maas {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

// Binds every address that `host` stands for ("" and "::" are all, IPv6 and IPv4) to `port`, or to one free
// port for 0, and listens. *bound is the port. No two processes can have the same one.
// INVALID_ARGUMENT: no such host. UNAVAILABLE: the port is in use, or not ours to take.
Status Listen(const std::string& host, uint16_t port, std::vector<FileDescriptor>* out, uint16_t* bound);

// Takes a connection that waits: non-blocking, without Nagle's delay. *address is the peer's, as in
// Peer::address. False: none waits, or *failure is not ok: RESOURCE_EXHAUSTED, no descriptors are left.
bool Accept(const FileDescriptor& listening, FileDescriptor* out, std::string* address, Status* failure);

// Connects to a Unix socket, non-blocking; a path that begins with NUL is abstract. UNAVAILABLE: nobody
// listens.
Status ConnectUnix(const std::string& path, FileDescriptor* out);

// As many descriptors as this process may ever have; what it may have now is returned if that is not known.
int64_t RaiseDescriptorLimit();

}  // namespace maas
