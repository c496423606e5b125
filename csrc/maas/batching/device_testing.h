// Queues of a Device with a batch always due, or every so often, driven by a virtual clock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "maas/batching/device.h"

namespace maas {

class DeviceSimulation {
 public:
  struct Source {
    double weight = 1;
    int instances = 1;
    int64_t run_ns = 0;
    int64_t budget_ns = kNever;  // A batch must start so long after it is due; kNever: whenever.
    int64_t every_ns = 0;        // One batch each so often; 0: always one due.
    bool announces = true;       // Calls StandInLine() when a run ends and more is due.
    int threads = 1;

    // Filled in.
    int64_t had_ns = 0;  // Device time.
    int64_t begun = 0;
    int64_t begun_late = 0;
    int64_t longest_wait_ns = 0;
    Device::Member* member = nullptr;
    CondVar wake;
    std::deque<int64_t> due;  // Since when, of batches that wait.
    int busy = 0;
  };

  explicit DeviceSimulation(double cores) : device_(cores) {}

  Source& Add() { return sources_.emplace_back(); }
  int64_t now() const { return now_; }
  int most_running() const { return most_running_; }

  void Run(int64_t ns) {
    MutexLock lock(&device_.mu());
    for (Source& source : sources_) {
      if (source.member == nullptr) source.member = device_.Join(&source.wake, source.weight, source.threads);
    }
    // Every instance looks at each step, as if woken by whatever might wake it.
    for (const int64_t end = now_ + ns; now_ < end; now_ += kStepNs) {
      EndRuns();
      for (Source& source : sources_) Arrive(&source);
      for (size_t i = 0; i < sources_.size(); ++i) Look(&sources_[(i + turn_) % sources_.size()]);
      ++turn_;
    }
  }

 private:
  static constexpr int64_t kStepNs = 100'000;
  struct Under {
    Source* source = nullptr;
    uint64_t number = 0;
    int64_t start_ns = 0;
  };

  void Arrive(Source* source) {
    if (source->every_ns == 0) {
      while (source->due.size() < 2) source->due.push_back(now_);
    } else if (now_ % source->every_ns == 0) {
      source->due.push_back(now_);
    }
  }
  static int64_t LastStart(const Source& source) {
    return source.budget_ns == kNever ? kNever : source.due.front() + source.budget_ns;
  }
  void EndRuns() MAAS_REQUIRES(device_.mu()) {
    for (size_t i = 0; i < under_way_.size();) {
      const Under run = under_way_[i];
      if (now_ - run.start_ns < run.source->run_ns) {
        ++i;
        continue;
      }
      under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(i));
      if (run.source->announces && !run.source->due.empty()) {
        device_.StandInLine(run.source->member, {LastStart(*run.source)}, now_);
      }
      device_.OnEnd(run.source->member, run.number, -1, now_);
      run.source->had_ns += now_ - run.start_ns;
      --run.source->busy;
    }
  }
  void Look(Source* source) MAAS_REQUIRES(device_.mu()) {
    if (source->busy >= source->instances) return;
    if (source->due.empty()) return device_.Withdraw(source->member, now_);
    if (!device_.MayStart(source->member, {LastStart(*source)}, now_)) return;
    if (now_ > LastStart(*source)) ++source->begun_late;
    source->longest_wait_ns = std::max(source->longest_wait_ns, now_ - source->due.front());
    source->due.pop_front();
    ++source->begun;
    ++source->busy;
    under_way_.push_back({source, device_.OnStart(source->member, source->run_ns, now_), now_});
    most_running_ = std::max(most_running_, device_.running());
  }

  Device device_;
  std::deque<Source> sources_;
  std::vector<Under> under_way_;
  int64_t now_ = 1'000'000'000;
  size_t turn_ = 0;
  int most_running_ = 0;
};

}  // namespace maas
