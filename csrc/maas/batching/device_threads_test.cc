// Device under threads: no more runs at a time than fit, and nobody sleeps while there is room for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <random>
#include <thread>
#include <vector>

#include "maas/batching/device.h"

namespace maas {
namespace {

using std::chrono::seconds;

int64_t Now() { return SteadyClock::Get()->Now(); }

int64_t UpTo(unsigned most, std::mt19937* random) { return static_cast<int64_t>((*random)() % most); }

// Instances of several queues that run what producers give them. Unless `polls`, who stands in line sleeps
// until it is woken, however long.
class Workers {
 public:
  struct Options {
    double cores = 1;
    std::vector<int> instances;  // Of each queue.
    std::vector<int> threads;    // Of a run of each queue.
    bool polls = false;
    bool announces = true;
    bool upfront = false;  // All is due from the start: nobody but the device wakes anybody.
  };

  explicit Workers(Options options) : options_(std::move(options)), device_(options_.cores) {
    MutexLock lock(&device_.mu());
    for (size_t i = 0; i < options_.instances.size(); ++i) {
      Queue& queue = queues_.emplace_back();
      queue.threads = options_.threads[i];
      queue.member = device_.Join(&queue.wake, 1 + static_cast<double>(i), queue.threads);
    }
  }

  // `batches` of each queue, some of them taken back before they run.
  void Run(int batches) {
    if (options_.upfront) {
      MutexLock lock(&device_.mu());
      for (Queue& queue : queues_) {
        queue.due = batches;
        queue.closed = true;
      }
    }
    std::vector<std::thread> workers;
    for (size_t i = 0; i < queues_.size(); ++i) {
      for (int n = 0; n < options_.instances[i]; ++n) {
        workers.emplace_back(
            [this, i, n] { Work(&queues_[i], static_cast<unsigned>(i * 100) + static_cast<unsigned>(n)); });
      }
    }
    std::vector<std::thread> producers;
    for (size_t i = 0; i < queues_.size() && !options_.upfront; ++i) {
      producers.emplace_back([this, i, batches] { Produce(&queues_[i], static_cast<unsigned>(i), batches); });
    }
    for (std::thread& each : producers) each.join();
    for (std::thread& each : workers) each.join();
  }

  int64_t ended() const { return ended_; }
  int most_threads() const { return most_threads_; }

 private:
  struct Queue {
    CondVar wake;
    Device::Member* member = nullptr;
    int threads = 1;
    int due = 0;
    int asleep = 0;
    bool closed = false;
  };

  void Produce(Queue* queue, unsigned seed, int batches) {
    std::mt19937 random(seed);
    for (int i = 0; i < batches; ++i) {
      {
        MutexLock lock(&device_.mu());
        ++queue->due;
        queue->wake.Signal();
        // Its instances may be in line for it, or called: they find nothing.
        if (random() % 8 == 0) {
          --queue->due;
          ++ended_;
        }
      }
      if (random() % 4 == 0) std::this_thread::yield();
    }
    MutexLock lock(&device_.mu());
    queue->closed = true;
    queue->wake.SignalAll();
  }

  void Work(Queue* queue, unsigned seed) {
    std::mt19937 random(seed);
    device_.mu().Lock();
    while (true) {
      if (queue->due == 0) {
        device_.Withdraw(queue->member, Now());
        if (queue->closed) break;
        Sleep(queue, kNever);
        continue;
      }
      const int64_t last_start = random() % 2 == 0 ? kNever : Now() + UpTo(1'000'000, &random);
      if (!device_.MayStart(queue->member, {last_start}, Now())) {
        Sleep(queue, options_.polls ? device_.LookAgainAt(Now()) : kNever);
        continue;
      }
      --queue->due;
      const uint64_t run = device_.OnStart(queue->member, UpTo(2, &random) * 50'000, Now());
      in_use_ += queue->threads;
      most_threads_ = std::max(most_threads_, in_use_);
      if (queue->due > 0 && queue->asleep > 0) queue->wake.Signal();
      if (queue->due == 0 && queue->closed) queue->wake.SignalAll();
      device_.mu().Unlock();
      const int64_t until = Now() + UpTo(20'000, &random);
      while (Now() < until) continue;
      device_.mu().Lock();
      in_use_ -= queue->threads;
      ++ended_;
      if (options_.announces && queue->due > 0) device_.StandInLine(queue->member, {kNever}, Now());
      device_.OnEnd(queue->member, run, -1, Now());
    }
    device_.mu().Unlock();
  }

  void Sleep(Queue* queue, int64_t until) MAAS_REQUIRES(device_.mu()) {
    ++queue->asleep;
    if (until == kNever) {
      queue->wake.Wait(&device_.mu());
    } else {
      queue->wake.WaitFor(&device_.mu(), std::max<int64_t>(until - Now(), 0));
    }
    --queue->asleep;
  }

  const Options options_;
  Device device_;
  // Guarded by the device's mutex, but for what is read when all threads ended.
  std::deque<Queue> queues_;
  int in_use_ = 0;
  int most_threads_ = 0;
  int64_t ended_ = 0;
};

void RunAll(const Workers::Options& options, int batches, int most_threads) {
  Workers workers(options);
  auto done = std::async(std::launch::async, [&] { workers.Run(batches); });
  if (done.wait_for(seconds(120)) != std::future_status::ready) {
    // The threads cannot be ended: leave at once, loudly.
    std::fprintf(stderr, "a batch is due, there is room, and everybody sleeps\n");
    std::abort();
  }
  EXPECT_EQ(workers.ended(), static_cast<int64_t>(options.instances.size()) * batches);
  EXPECT_LE(workers.most_threads(), most_threads);
}

TEST(DeviceThreads, NobodySleepsForEver) { RunAll({1, {1, 1, 1}, {1, 1, 1}}, 2'000, 1); }

TEST(DeviceThreads, NobodySleepsForEverWithSeveralInstances) {
  RunAll({1, {3, 2, 1}, {1, 1, 1}, false, false}, 2'000, 1);
  RunAll({1, {3, 2, 1}, {1, 1, 1}}, 2'000, 1);
}

TEST(DeviceThreads, NobodySleepsForEverWithRunsOfSeveralSizes) {
  RunAll({3, {2, 2, 1, 1}, {1, 2, 3, 1}}, 1'000, 3);
}

TEST(DeviceThreads, TheDeviceAloneWakesWhoeverIsNext) {
  RunAll({1, {1, 1, 1}, {1, 1, 1}, false, true, true}, 2'000, 1);
  RunAll({1, {2, 1, 3}, {1, 1, 1}, false, false, true}, 2'000, 1);
  RunAll({3, {2, 2, 1, 1}, {1, 2, 3, 1}, false, true, true}, 1'000, 3);
}

TEST(DeviceThreads, WhoLooksAgainNowAndThenFindsTheSame) {
  RunAll({2, {2, 1, 1}, {1, 1, 2}, true, true}, 1'000, 2);
}

}  // namespace
}  // namespace maas
