#include "maas/front/upstream.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace maas {
namespace {

// One connection does not keep the others of its loop waiting for longer than about this many reads take.
constexpr int kReadsPerRound = 8;
constexpr size_t kPiecesPerRead = 8;
constexpr size_t kPiecesPerWrite = 64;

}  // namespace

Upstream::Upstream(const Options& options, EventLoop* loop, const Clock* clock,
                   std::unique_ptr<Transport> transport, std::function<void()> produced,
                   std::function<void(Upstream*)> over)
    : options_(options),
      loop_(loop),
      transport_(std::move(transport)),
      produced_(std::move(produced)),
      over_(std::move(over)),
      session_(std::make_unique<Http2Session>(Http2Session::Role::kClient, options.http2, clock,
                                              static_cast<Http2Session::Owner*>(this))) {}

Upstream::~Upstream() {
  Close();
  loop_->Forget(this);
  assert(relays_.empty());
}

Status Upstream::Start() {
  Status status = loop_->Watch(transport_->fd(), EPOLLIN, this);
  watched_ = status.ok();
  return status;
}

template <typename... Args>
Http2Stream* Upstream::Join(Http2Session* client, Args&&... args) {
  assert(usable());
  auto relay =
      std::make_unique<Relay>(client, session_.get(), options_.budget, static_cast<Relay::Owner*>(this));
  if (!relay->Open(std::forward<Args>(args)...)) return nullptr;
  Http2Stream* const stream = relay->client_stream();
  Relay* const key = relay.get();
  relays_.emplace(key, std::move(relay));
  return stream;
}

Http2Stream* Upstream::Open(Http2Session* client, Headers fields, bool end) {
  return Join(client, fields, end);
}

Http2Stream* Upstream::Open(Http2Session* client, Headers fields, Chunk body, Http2Stream* from) {
  return Join(client, fields, std::move(body), from);
}

void Upstream::OnGoAway(int32_t /*last_stream*/, uint32_t /*error*/) {
  going_ = true;
  loop_->Defer(this);
}

void Upstream::OnHeld(Relay* relay) {
  held_.push_back(relay);
  loop_->Defer(this);
}

void Upstream::OnQueued(bool client) {
  if (client) {
    produced_();
  } else {
    loop_->Defer(this);
  }
}

void Upstream::OnOver(Relay* relay) {
  std::replace(held_.begin(), held_.end(), relay, static_cast<Relay*>(nullptr));
  std::replace(flushing_.begin(), flushing_.end(), relay, static_cast<Relay*>(nullptr));
  relays_.erase(relay);
  loop_->Defer(this);
}

void Upstream::OnReady(uint32_t /*events*/) {
  loop_->Defer(this);
  if (!Read()) Close();
  FlushHeld();
}

void Upstream::OnRoundEnd() {
  FlushHeld();
  if (!closed_ && !Write()) Close();
  if (going_ && relays_.empty()) Close();
  if (closed_ && relays_.empty()) {
    const std::function<void(Upstream*)> over = over_;  // This may go while it runs.
    over(this);
  }
}

bool Upstream::Read() {
  for (int i = 0; i < kReadsPerRound && !closed_; ++i) {
    std::array<iovec, kPiecesPerRead> to;
    const size_t pieces = session_->ReadInto(options_.scratch, to);
    const IoResult read = transport_->Read(std::span(to).first(pieces));
    if (read.state == IoState::kAgain) return true;
    if (read.state != IoState::kOk || !session_->Received(read.bytes)) return false;
  }
  return true;
}

bool Upstream::Write() {
  bool blocked = false;
  while (!blocked) {
    const bool going_on = session_->Produce();
    OutQueue& out = session_->out();
    if (out.empty()) {
      if (!going_on || session_->over()) return false;
      if (held_.empty()) break;
      // What was sent made room for more.
      const size_t waiting = held_.size();
      FlushHeld();
      if (held_.size() >= waiting) break;
      continue;
    }
    std::array<iovec, kPiecesPerWrite> from;
    const size_t pieces = out.Gather(from);
    const IoResult written = transport_->Write(std::span(from).first(pieces));
    if (written.state == IoState::kOk) {
      out.Pop(written.bytes);
    } else if (written.state == IoState::kAgain) {
      blocked = true;
    } else {
      return false;
    }
  }
  if (blocked != waits_to_write_) {
    waits_to_write_ = blocked;
    loop_->Change(transport_->fd(), blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
  return true;
}

void Upstream::FlushHeld() {
  assert(flushing_.empty());
  flushing_.swap(held_);
  // By index: a relay may be over while others are looked at.
  for (size_t i = 0; i < flushing_.size(); ++i) {
    if (flushing_[i] != nullptr && flushing_[i]->Flush() && flushing_[i] != nullptr)
      held_.push_back(flushing_[i]);
  }
  flushing_.clear();
}

void Upstream::Close() {
  if (closed_) return;
  closed_ = true;
  // Before relays go that each would look for itself in it.
  held_.clear();
  for (const auto& [relay, owned] : relays_) relay->Break();
  if (watched_) loop_->Unwatch(transport_->fd());
  transport_->Shutdown();
  session_.reset();  // Closes the streams to the server, which ends those of the client.
  loop_->Defer(this);
}

}  // namespace maas
