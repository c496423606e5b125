#include "simulation/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulation/baselines.h"
#include "simulation/simulation_testing.h"

namespace maas::simulation {
namespace {

using testing::ElementsAre;

Result RunFifo(const Trace& trace) {
  Baseline scheduler(&trace, {});
  return Simulate(trace, &scheduler);
}

TEST(SimulatorTest, WorkIsSharedOutByRows) {
  const Result result = RunFifo(OneModel({Ask(0, 100, 1), Ask(0, 100, 3)}));
  EXPECT_EQ(result.runs, 1);
  EXPECT_EQ(result.answers[0].batch_rows, 4);
  EXPECT_DOUBLE_EQ(result.answers[0].work_ns, 2.5 * kMs);
  EXPECT_DOUBLE_EQ(result.answers[1].work_ns, 7.5 * kMs);
  EXPECT_EQ(result.answers[0].start_ns, 0);
  EXPECT_EQ(result.answers[0].predicted_ns, -1);
}

TEST(SimulatorTest, FactorsGoByTheOrderOfRunsAndRepeat) {
  Trace trace = OneModel({Ask(0, 100, 4), Ask(0, 100, 4), Ask(0, 100, 4)});
  trace.models[0].factors = {1, 3};
  EXPECT_THAT(EndsMs(RunFifo(trace)), ElementsAre(10, 40, 50));
}

TEST(SimulatorTest, APaceCountsForRunsThatStartAfterIt) {
  Trace trace = OneModel({Ask(0, 100, 4), Ask(0, 100, 4), Ask(0, 100, 4)});
  trace.paces = {{5 * kMs, 2}, {25 * kMs, 0.5}};
  EXPECT_THAT(EndsMs(RunFifo(trace)), ElementsAre(10, 30, 35));
}

TEST(SimulatorTest, ARunThatEndsFreesItsPlaceForThoseWhoComeAtThatInstant) {
  EXPECT_THAT(EndsMs(RunFifo(OneModel({Ask(0, 100), Ask(7, 100), Ask(7, 100)}))), ElementsAre(7, 15, 15));
}

// Starts whatever comes at once.
class Eager final : public Scheduler {
 public:
  Outcome Arrive(size_t request, int64_t /*now*/, int64_t* /*predicted_ns*/) override {
    waiting_.push_back(request);
    return Outcome::kNone;
  }
  bool Start(int64_t /*now*/, Batch* batch, std::vector<Drop>* /*drops*/) override {
    if (waiting_.empty()) return false;
    *batch = {0, 1, {{waiting_.front(), 1}}, 0};
    waiting_.erase(waiting_.begin());
    return true;
  }
  void End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t /*now*/,
           std::vector<size_t>* whole) override {
    EXPECT_GE(ns, cpu_ns);
    EXPECT_EQ(cpu_ns, 7 * kMs);
    whole->push_back(batch.parts[0].request);
  }
  int64_t LookAt() const override { return kNever; }

 private:
  std::vector<size_t> waiting_;
};

TEST(SimulatorTest, RunsBeyondTheCoresSlowEachOther) {
  Eager eager;
  // From 4 ms on two share the core: the first has 3 ms left, and then the second is alone with 4.
  Trace trace = OneModel({Ask(0, 100), Ask(4, 100)});
  EXPECT_THAT(EndsMs(Simulate(trace, &eager)), ElementsAre(10, 14));
  trace.cores = 2;
  EXPECT_THAT(EndsMs(Simulate(trace, &eager)), ElementsAre(7, 11));
  // A run alone takes what T(n) says, with however many threads.
  trace.models[0].threads = 4;
  EXPECT_THAT(EndsMs(Simulate(trace, &eager)), ElementsAre(10, 14));
}

// Holds every request until an instant, and then runs one at a time.
class Holder final : public Scheduler {
 public:
  Outcome Arrive(size_t request, int64_t now, int64_t* predicted_ns) override {
    if (request == 1) return Outcome::kRefusedFull;
    *predicted_ns = now + 1;
    waiting_.push_back(request);
    return Outcome::kNone;
  }
  bool Start(int64_t now, Batch* batch, std::vector<Drop>* drops) override {
    if (now < 50 * kMs || waiting_.empty()) return false;
    if (waiting_.back() == 2) drops->push_back({2, Outcome::kHopeless});
    *batch = {0, 1, {{waiting_.front(), 1}}, 0};
    waiting_.clear();
    return true;
  }
  void End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t /*now*/,
           std::vector<size_t>* whole) override {
    EXPECT_EQ(ns, 7 * kMs);
    EXPECT_EQ(cpu_ns, 7 * kMs);
    whole->push_back(batch.parts[0].request);
  }
  int64_t LookAt() const override { return waiting_.empty() ? kNever : 50 * kMs; }

 private:
  std::vector<size_t> waiting_;
};

TEST(SimulatorTest, OutcomesPredictionsAndWakeUpsAreTheSchedulers) {
  Holder holder;
  const Result result = Simulate(OneModel({Ask(0, 100), Ask(1, 100), Ask(2, 10)}), &holder);
  EXPECT_THAT(OutcomesOf(result), ElementsAre(Outcome::kAnswered, Outcome::kRefusedFull, Outcome::kHopeless));
  EXPECT_THAT(EndsMs(result), ElementsAre(57, 1, 50));
  EXPECT_EQ(result.answers[0].predicted_ns, 1);
}

}  // namespace
}  // namespace maas::simulation
