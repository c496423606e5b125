// Accepts connections, and lives through times in which the process has no descriptors left.
//
// Ownership: owns the listening sockets; borrows the rest. Threads: its loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "maas/base/status.h"
#include "maas/front/tally.h"
#include "maas/net/event_loop.h"
#include "maas/net/socket.h"

namespace maas {

class Acceptor {
 public:
  using Taken = std::function<void(FileDescriptor socket, std::string address)>;
  Acceptor(EventLoop* loop, std::vector<FileDescriptor> listening, FrontTally* tally, Taken taken);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // UNAVAILABLE: the loop takes them not.
  Status Start();
  // Takes what waits already, and then no more: the port is free.
  void Close();

 private:
  class Listening;
  enum class Accepted : uint8_t { kAll, kSome, kNoDescriptors };
  // As many as one round may take.
  Accepted AcceptSome(const FileDescriptor& socket);
  // Accepts and closes, with the spare descriptor, who would wait for nothing else.
  void TurnAway(const FileDescriptor& socket);
  void Pause();
  void Resume();

  EventLoop* const loop_;
  FrontTally* const tally_;
  const Taken taken_;
  std::vector<std::unique_ptr<Listening>> listening_;
  FileDescriptor spare_;
  EventLoop::Timer resume_;
};

}  // namespace maas
