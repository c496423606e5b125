#include "maas/net/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>

namespace maas {
namespace {

constexpr int kMaxEvents = 256;
constexpr int64_t kMillisecond = 1'000'000;

}  // namespace

void EventLoop::Timer::Cancel() {
  if (loop_ == nullptr) return;
  loop_->timers_.erase(place_);
  loop_ = nullptr;
}

Status EventLoop::Make(const Clock* clock, std::unique_ptr<EventLoop>* out) {
  FileDescriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  FileDescriptor wake(epoll.valid() ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1);
  // Edges are enough, and need not be read away: each write is one.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = static_cast<uint32_t>(wake.get());
  if (!wake.valid() || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return Status(Code::kResourceExhausted, "TOO_MANY_FILES",
                  std::string("no event loop can be made: ") + std::strerror(errno));
  }
  out->reset(new EventLoop(clock, std::move(epoll), std::move(wake)));  // NOLINT(*-owning-memory)
  return {};
}

EventLoop::EventLoop(const Clock* clock, FileDescriptor epoll, FileDescriptor wake)
    : clock_(clock), epoll_(std::move(epoll)), wake_(std::move(wake)), now_(clock->Now()) {}

EventLoop::~EventLoop() {
  while (wakers_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  for (const auto& [at, timer] : timers_) timer->loop_ = nullptr;
}

bool EventLoop::TakeSleep() {
  if (!std::exchange(sleeping_, false)) return false;
  wakers_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  const ssize_t written = write(wake_.get(), &one, sizeof(one));
  assert(written == sizeof(one) || errno == EAGAIN);  // Full of wake-ups is woken enough.
  static_cast<void>(written);
  wakers_.fetch_sub(1, std::memory_order_release);
}

void EventLoop::Post(std::function<void()> work) {
  bool wake = false;
  {
    MutexLock lock(&mu_);
    posted_.push_back(std::move(work));
    wake = TakeSleep();
  }
  if (wake) Wake();
}

void EventLoop::Stop() {
  bool wake = false;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    wake = TakeSleep();
  }
  if (wake) Wake();
}

uint64_t EventLoop::KeyOf(int fd) const {
  return static_cast<uint64_t>(watched_[static_cast<size_t>(fd)].generation) << 32 |
         static_cast<uint32_t>(fd);
}

Status EventLoop::Watch(int fd, uint32_t events, Watcher* watcher) {
  assert(fd >= 0);
  const auto place = static_cast<size_t>(fd);
  if (watched_.size() <= place) watched_.resize(place + 1);
  assert(watched_[place].watcher == nullptr);
  ++watched_[place].generation;
  epoll_event event{};
  event.events = events;
  event.data.u64 = KeyOf(fd);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return Status(Code::kUnavailable, "CANNOT_WATCH",
                  std::string("the connection cannot be watched: ") + std::strerror(errno));
  }
  watched_[place].watcher = watcher;
  return {};
}

void EventLoop::Change(int fd, uint32_t events) {
  assert(watched_[static_cast<size_t>(fd)].watcher != nullptr);
  epoll_event event{};
  event.events = events;
  event.data.u64 = KeyOf(fd);
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::Unwatch(int fd) {
  Watched& watched = watched_[static_cast<size_t>(fd)];
  assert(watched.watcher != nullptr);
  watched.watcher = nullptr;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::SetTimer(Timer* timer, int64_t at_ns) {
  if (timer->loop_ != nullptr) {
    auto node = timers_.extract(timer->place_);
    node.key() = at_ns;
    timer->place_ = timers_.insert(std::move(node));
    return;
  }
  timer->place_ = timers_.emplace(at_ns, timer);
  timer->loop_ = this;
}

void EventLoop::Defer(Deferred* deferred) {
  if (deferred->deferred_) return;
  deferred->deferred_ = true;
  deferred_.push_back(deferred);
}

void EventLoop::Forget(Deferred* deferred) {
  if (!deferred->deferred_) return;
  deferred->deferred_ = false;
  std::replace(deferred_.begin(), deferred_.end(), deferred, static_cast<Deferred*>(nullptr));
  std::replace(ending_.begin(), ending_.end(), deferred, static_cast<Deferred*>(nullptr));
}

void EventLoop::Rest() const {
  const int64_t rest = now_ + pace_ns_ - clock_->Now();
  if (rest > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(rest, pace_ns_)));
}

int EventLoop::Sleep() {
  if (!deferred_.empty()) return 0;
  int milliseconds = -1;
  if (!timers_.empty()) {
    const int64_t wait = std::max<int64_t>(0, timers_.begin()->first - clock_->Now());
    const int64_t rounded = wait / kMillisecond + (wait % kMillisecond != 0 ? 1 : 0);
    milliseconds = static_cast<int>(std::min<int64_t>(rounded, std::numeric_limits<int>::max()));
  }
  if (milliseconds == 0) return 0;
  MutexLock lock(&mu_);
  if (!posted_.empty() || stopping_) return 0;
  sleeping_ = true;
  return milliseconds;
}

void EventLoop::Dispatch(uint64_t key, uint32_t events) {
  const auto place = static_cast<size_t>(key & std::numeric_limits<uint32_t>::max());
  if (place >= watched_.size()) return;  // The wake-up, of which there is nothing to be seen to.
  const Watched& watched = watched_[place];
  if (watched.watcher == nullptr || watched.generation != static_cast<uint32_t>(key >> 32)) return;
  watched.watcher->OnReady(events);
}

bool EventLoop::RunPosted() {
  bool stopping = false;
  {
    MutexLock lock(&mu_);
    sleeping_ = false;
    running_.swap(posted_);
    stopping = stopping_;
  }
  for (const std::function<void()>& work : running_) work();
  running_.clear();
  return !stopping;
}

void EventLoop::RingTimers() {
  // One that is set again while it rings waits for the next round.
  auto due = std::distance(timers_.begin(), timers_.upper_bound(now_));
  for (; due > 0 && !timers_.empty() && timers_.begin()->first <= now_; --due) {
    Timer* const timer = timers_.begin()->second;
    timer->Cancel();
    const std::function<void()> ring = timer->ring_;  // The timer may go while it rings.
    ring();
  }
}

void EventLoop::EndRound() {
  ending_.swap(deferred_);
  // By index: Forget() may take any of them away meanwhile.
  for (size_t i = 0; i < ending_.size(); ++i) {
    Deferred* const deferred = ending_[i];
    if (deferred == nullptr) continue;
    deferred->deferred_ = false;
    ending_[i] = nullptr;
    deferred->OnRoundEnd();
  }
  ending_.clear();
}

void EventLoop::Run() {
  std::array<epoll_event, kMaxEvents> events;
  bool going = true;
  while (going) {
    if (pace_ns_ > 0) Rest();
    const int count = epoll_wait(epoll_.get(), events.data(), kMaxEvents, Sleep());
    assert(count >= 0 || errno == EINTR);
    now_ = clock_->Now();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      Dispatch(event.data.u64, event.events);
    }
    going = RunPosted();
    RingTimers();
    EndRound();
    if (after_round_) after_round_();
  }
}

}  // namespace maas
