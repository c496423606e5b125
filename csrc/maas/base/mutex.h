// Mutex, scoped lock and condition variable that the thread-safety analysis understands.
//
// Every wait goes through CondVar with one mutex; callers loop on their predicate.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "maas/base/thread_annotations.h"

namespace maas {

class MAAS_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() MAAS_ACQUIRE() { mu_.lock(); }
  void Unlock() MAAS_RELEASE() { mu_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

class MAAS_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mu) MAAS_ACQUIRE(mu) : mu_(mu) { mu_->Lock(); }
  ~MutexLock() MAAS_RELEASE() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  // May return without a signal; the caller checks its predicate again.
  void Wait(Mutex* mu) MAAS_REQUIRES(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // Returns at a signal, spuriously, or once `ns` nanoseconds have passed.
  void WaitFor(Mutex* mu, int64_t ns) MAAS_REQUIRES(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait_for(lock, std::chrono::nanoseconds(ns));
    lock.release();
  }
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace maas
