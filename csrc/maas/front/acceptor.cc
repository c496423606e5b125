#include "maas/front/acceptor.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <utility>

namespace maas {
namespace {

constexpr int kAcceptsPerRound = 64;
// For all of Listen()'s backlog, while those who come meanwhile cannot keep it open for ever.
constexpr int kRoundsOfClose = 4096 / kAcceptsPerRound + 1;
// How long nobody is accepted when no descriptors are left.
constexpr int64_t kPauseNs = 100'000'000;

FileDescriptor OpenSpare() { return FileDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

class Acceptor::Listening final : private EventLoop::Watcher {
 public:
  Listening(Acceptor* owner, FileDescriptor socket) : owner_(owner), socket_(std::move(socket)) {}
  ~Listening() {
    if (watched_) owner_->loop_->Unwatch(socket_.get());
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  Status Watch() {
    Status status = owner_->loop_->Watch(socket_.get(), EPOLLIN, this);
    watched_ = status.ok();
    return status;
  }
  void Pause(bool paused) { owner_->loop_->Change(socket_.get(), paused ? 0U : uint32_t{EPOLLIN}); }
  const FileDescriptor& socket() const { return socket_; }

 private:
  void OnReady(uint32_t /*events*/) override {
    if (owner_->AcceptSome(socket_) == Accepted::kNoDescriptors) owner_->Pause();
  }

  Acceptor* const owner_;
  const FileDescriptor socket_;
  bool watched_ = false;
};

Acceptor::Acceptor(EventLoop* loop, std::vector<FileDescriptor> listening, FrontTally* tally, Taken taken)
    : loop_(loop), tally_(tally), taken_(std::move(taken)), spare_(OpenSpare()), resume_([this] {
        Resume();
      }) {
  for (FileDescriptor& socket : listening)
    listening_.push_back(std::make_unique<Listening>(this, std::move(socket)));
}

Acceptor::~Acceptor() = default;

Status Acceptor::Start() {
  for (const auto& listening : listening_) MAAS_RETURN_IF_ERROR(listening->Watch());
  return {};
}

void Acceptor::Close() {
  for (const auto& listening : listening_) {
    for (int i = 0; i < kRoundsOfClose; ++i) {
      if (AcceptSome(listening->socket()) != Accepted::kSome) break;
    }
  }
  resume_.Cancel();
  listening_.clear();
}

Acceptor::Accepted Acceptor::AcceptSome(const FileDescriptor& socket) {
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    FileDescriptor accepted;
    std::string address;
    Status failure;
    if (Accept(socket, &accepted, &address, &failure)) {
      taken_(std::move(accepted), std::move(address));
      continue;
    }
    if (failure.ok()) return Accepted::kAll;
    TurnAway(socket);
    return Accepted::kNoDescriptors;
  }
  return Accepted::kSome;
}

void Acceptor::TurnAway(const FileDescriptor& socket) {
  tally_->accept_failures.Add(1);
  for (int i = 0; i < kAcceptsPerRound && spare_.valid(); ++i) {
    spare_.Close();
    FileDescriptor accepted;
    std::string address;
    Status failure;
    const bool one = Accept(socket, &accepted, &address, &failure);
    accepted.Close();
    spare_ = OpenSpare();
    if (!one) return;
  }
}

void Acceptor::Pause() {
  for (const auto& listening : listening_) listening->Pause(true);
  loop_->SetTimer(&resume_, loop_->Now() + kPauseNs);
}

void Acceptor::Resume() {
  // Somebody else may have been faster to take what became free.
  if (!spare_.valid()) spare_ = OpenSpare();
  for (const auto& listening : listening_) listening->Pause(false);
}

}  // namespace maas
