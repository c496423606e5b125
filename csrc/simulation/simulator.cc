#include "simulation/simulator.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <utility>

namespace maas::simulation {
namespace {

// No thread wakes more precisely.
constexpr int64_t kShortestSleepNs = 1'000;
// Work that is left of a run for lack of digits.
constexpr double kRoundingNs = 1e-3;

struct Running {
  int64_t start_ns = 0;
  double work_ns = 0;  // How long it takes when nobody takes a core from it.
  double left_ns = 0;  // Of that.
  double cores = 0;    // That it computes on.
  Batch batch;
};

class EventLoop {
 public:
  EventLoop(const Trace& trace, Scheduler* scheduler)
      : trace_(trace), scheduler_(scheduler), started_(trace.models.size(), 0) {
    result_.answers.resize(trace.requests.size());
  }

  Result Run() {
    while (true) {
      const int64_t now = Next();
      if (now == kNever) return std::move(result_);
      Advance(now);
      EndRuns();
      while (arrived_ < trace_.requests.size() && trace_.requests[arrived_].arrival_ns <= now_) Arrive();
      StartRuns();
    }
  }

 private:
  int64_t Next() const {
    int64_t next = scheduler_->LookAt();
    if (next != kNever) next = std::max(next, now_ + kShortestSleepNs);
    if (arrived_ < trace_.requests.size()) next = std::min(next, trace_.requests[arrived_].arrival_ns);
    const double speed = Speed();
    for (const Running& run : running_) {
      next = std::min(next, now_ + static_cast<int64_t>(std::ceil(run.left_ns / speed)));
    }
    return next;
  }

  // Runs that together want more cores than there are share them.
  double Speed() const {
    double cores = 0;
    for (const Running& run : running_) cores += run.cores;
    return cores <= trace_.cores ? 1 : trace_.cores / cores;
  }

  void Advance(int64_t now) {
    const double done = static_cast<double>(now - now_) * Speed();
    for (Running& run : running_) run.left_ns -= done;
    now_ = now;
  }

  void Arrive() {
    Answer& answer = result_.answers[arrived_];
    const Outcome refused = scheduler_->Arrive(arrived_, now_, &answer.predicted_ns);
    if (refused != Outcome::kNone) Close(arrived_, refused);
    ++arrived_;
  }

  void StartRuns() {
    Batch batch;
    drops_.clear();
    while (scheduler_->Start(now_, &batch, &drops_)) {
      const double work = Work(batch);
      for (const Part& part : batch.parts) {
        Answer& answer = result_.answers[part.request];
        if (answer.start_ns < 0) answer.start_ns = now_;
        answer.batch_rows = batch.rows;
        answer.work_ns += work * static_cast<double>(part.rows) / static_cast<double>(batch.rows);
      }
      const double cores = std::min(static_cast<double>(trace_.models[batch.model].threads), trace_.cores);
      running_.push_back({now_, work, work, cores, std::exchange(batch, {})});
      ++result_.runs;
    }
    for (const Drop& drop : drops_) Close(drop.request, drop.why);
  }

  void EndRuns() {
    for (size_t i = 0; i < running_.size();) {
      if (running_[i].left_ns > kRoundingNs) {
        ++i;
        continue;
      }
      const Running run = std::move(running_[i]);
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      whole_.clear();
      scheduler_->End(run.batch, now_ - run.start_ns, static_cast<int64_t>(run.work_ns), now_, &whole_);
      for (const size_t request : whole_) Close(request, Outcome::kAnswered);
    }
  }

  void Close(size_t request, Outcome outcome) {
    Answer& answer = result_.answers[request];
    assert(answer.outcome == Outcome::kNone);
    answer.outcome = outcome;
    answer.end_ns = now_;
  }

  double Work(const Batch& batch) {
    const Model& model = trace_.models[batch.model];
    double ns = model.RunNs(batch.rows);
    const size_t number = started_[batch.model]++;
    if (!model.factors.empty()) ns *= model.factors[number % model.factors.size()];
    while (pace_ < trace_.paces.size() && trace_.paces[pace_].from_ns <= now_) ++pace_;
    if (pace_ > 0) ns *= trace_.paces[pace_ - 1].factor;
    return std::max(std::floor(ns), 1.0);
  }

  const Trace& trace_;
  Scheduler* const scheduler_;
  int64_t now_ = 0;
  size_t arrived_ = 0;
  size_t pace_ = 0;  // Paces that have begun.
  std::vector<size_t> started_;
  std::vector<Running> running_;  // In order of start.
  std::vector<Drop> drops_;
  std::vector<size_t> whole_;
  Result result_;
};

}  // namespace

Result Simulate(const Trace& trace, Scheduler* scheduler) { return EventLoop(trace, scheduler).Run(); }

}  // namespace maas::simulation
