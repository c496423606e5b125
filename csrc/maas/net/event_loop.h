// One thread's loop over epoll: readiness of file descriptors, timers, and work from other threads.
//
// Usage:
//   std::unique_ptr<EventLoop> loop;  Status s = EventLoop::Make(SteadyClock::Get(), &loop);
//   loop->Watch(fd, EPOLLIN, &watcher);
//   loop->Run();                      // on its thread, until Stop()
// A round: what is ready, then what was posted, then timers, then what was deferred.
// Ownership: owns neither descriptors nor what it calls. Threads: Post() and Stop() from any; the rest from
// the thread that runs Run(), or before it runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/net/socket.h"

namespace maas {

class EventLoop {
 public:
  class Watcher {
   public:
    // `events`: of epoll. May unwatch anything, itself as well.
    virtual void OnReady(uint32_t events) = 0;

   protected:
    ~Watcher() = default;
  };
  // Calls back once; its owner keeps it until then, or cancels it by destroying it. The call may do both.
  class Timer {
   public:
    explicit Timer(std::function<void()> ring) : ring_(std::move(ring)) {}
    ~Timer() { Cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    void Cancel();
    bool pending() const { return loop_ != nullptr; }

   private:
    friend class EventLoop;
    const std::function<void()> ring_;
    EventLoop* loop_ = nullptr;  // Set while it is pending.
    std::multimap<int64_t, Timer*>::iterator place_;
  };
  // What is put off until all that was ready has been looked at: one write for many answers, say.
  class Deferred {
   public:
    virtual void OnRoundEnd() = 0;

   protected:
    ~Deferred() = default;

   private:
    friend class EventLoop;
    bool deferred_ = false;
  };

  // RESOURCE_EXHAUSTED: no file descriptors are left, or no memory.
  static Status Make(const Clock* clock, std::unique_ptr<EventLoop>* out);
  // REQUIRES: Run() is not running; nobody will Post() any more. What was posted and not run is dropped, and
  // who is still on the way out of Post() is waited for.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Run();
  // Ends Run() after a round, in which what was posted before is run.
  void Stop();
  void Post(std::function<void()> work);

  // UNAVAILABLE: the system refuses (descriptors, or memory). REQUIRES: `fd` is not watched.
  Status Watch(int fd, uint32_t events, Watcher* watcher);
  // REQUIRES: `fd` is watched. After Unwatch() its watcher is not called any more, whatever was ready.
  void Change(int fd, uint32_t events);
  void Unwatch(int fd);

  // (Re)sets the timer to ring at `at_ns`, or soon after; in a later round than this one.
  void SetTimer(Timer* timer, int64_t at_ns);
  // Calls it once at the end of this round, however often it is deferred until then. What is deferred by such
  // a call waits for the end of the next round, which then comes without waiting.
  void Defer(Deferred* deferred);
  // REQUIRES: called before a deferred object goes.
  void Forget(Deferred* deferred);

  // Calls `call` at the end of every round, when what was deferred has run.
  void AfterEachRound(std::function<void()> call) { after_round_ = std::move(call); }

  // From now on rounds begin at least `ns` after one another: what comes meanwhile waits for the next one. 0:
  // as soon as there is something to do.
  void Pace(int64_t ns) { pace_ns_ = ns; }
  int64_t pace() const { return pace_ns_; }

  // When this round began.
  int64_t Now() const { return now_; }

 private:
  // Events name a descriptor and how often it had been watched before, so that none of a closed descriptor
  // reaches the next one of the same number.
  struct Watched {
    Watcher* watcher = nullptr;
    uint32_t generation = 0;
  };

  EventLoop(const Clock* clock, FileDescriptor epoll, FileDescriptor wake);
  // Whether the loop sleeps: who is told so calls Wake() after it has let go of the mutex.
  bool TakeSleep() MAAS_REQUIRES(mu_);
  void Wake();
  // Until the next round may begin.
  void Rest() const;
  // How long epoll may wait. Unit: milliseconds; -1: for ever.
  int Sleep();
  void Dispatch(uint64_t key, uint32_t events);
  // False: the loop is to end.
  bool RunPosted();
  void RingTimers();
  void EndRound();
  uint64_t KeyOf(int fd) const;

  const Clock* const clock_;
  const FileDescriptor epoll_;
  const FileDescriptor wake_;
  int64_t now_;
  int64_t pace_ns_ = 0;
  std::multimap<int64_t, Timer*> timers_;
  std::vector<Deferred*> deferred_;
  std::vector<Deferred*> ending_;  // What EndRound() goes through.
  std::vector<Watched> watched_;   // By descriptor.
  std::vector<std::function<void()>> running_;
  std::function<void()> after_round_;
  std::atomic<int> wakers_{0};  // Between TakeSleep() and the end of Wake().

  Mutex mu_;
  std::vector<std::function<void()>> posted_ MAAS_GUARDED_BY(mu_);
  bool sleeping_ MAAS_GUARDED_BY(mu_) = false;
  bool stopping_ MAAS_GUARDED_BY(mu_) = false;
};

}  // namespace maas
