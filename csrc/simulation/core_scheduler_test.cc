// Properties of the server's scheduler that hold whatever comes.
#include "simulation/core_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "simulation/bounds.h"
#include "simulation/simulation_testing.h"

namespace maas::simulation {
namespace {

using testing::Each;
using testing::ElementsAre;

// Passes everything on, and looks at what starts: nothing may be told of twice, nothing may start that cannot
// be answered in time even if it runs alone.
class Witness final : public Scheduler {
 public:
  explicit Witness(const Trace* trace) : trace_(trace), core_(trace) {}

  Outcome Arrive(size_t request, int64_t now, int64_t* predicted_ns) override {
    const Outcome outcome = core_.Arrive(request, now, predicted_ns);
    if (outcome != Outcome::kNone) Tell(request);
    return outcome;
  }
  bool Start(int64_t now, Batch* batch, std::vector<Drop>* drops) override {
    const size_t before = drops->size();
    const bool started = core_.Start(now, batch, drops);
    for (size_t i = before; i < drops->size(); ++i) Tell((*drops)[i].request);
    if (!started) return false;
    const Model& model = trace_->models[batch->model];
    for (const Part& part : batch->parts) {
      const Request& request = trace_->requests[part.request];
      started_[part.request] += part.rows;
      EXPECT_LE(started_[part.request], request.rows);
      if (request.deadline_ns == kNever) continue;
      EXPECT_GT(request.deadline_ns, now) << "request " << part.request << " had expired";
      if (hopeless_ns_ < 0) continue;
      EXPECT_GE(request.deadline_ns, now + static_cast<int64_t>(model.RunNs(1)) - hopeless_ns_)
          << "request " << part.request << " was hopeless";
    }
    order_.insert(order_.end(), batch->parts.begin(), batch->parts.end());
    return true;
  }
  void End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t now, std::vector<size_t>* whole) override {
    const size_t before = whole->size();
    core_.End(batch, ns, cpu_ns, now, whole);
    for (size_t i = before; i < whole->size(); ++i) Tell((*whole)[i]);
  }
  int64_t LookAt() const override { return core_.LookAt(); }

  // By how much a start may look too late, since estimates are not exact; < 0: not looked at.
  void set_tolerance(int64_t ns) { hopeless_ns_ = ns; }
  // Requests in order of their starts.
  const std::vector<Part>& order() const { return order_; }
  CoreScheduler* core() { return &core_; }

 private:
  void Tell(size_t request) { EXPECT_TRUE(told_.insert(request).second) << "twice: " << request; }

  const Trace* const trace_;
  CoreScheduler core_;
  std::set<size_t> told_;
  std::map<size_t, int64_t> started_;
  std::vector<Part> order_;
  int64_t hopeless_ns_ = -1;
};

int64_t Count(const Result& result, Outcome outcome) {
  return std::count_if(result.answers.begin(), result.answers.end(),
                       [&](const Answer& answer) { return answer.outcome == outcome; });
}

TEST(CoreSchedulerTest, ALoneRequestRunsAtOnce) {
  const Trace trace = OneModel({Ask(5, 100)});
  CoreScheduler scheduler(&trace);
  const Result result = Simulate(trace, &scheduler);
  EXPECT_THAT(EndsMs(result), ElementsAre(12));
  EXPECT_EQ(result.answers[0].outcome, Outcome::kAnswered);
  EXPECT_NEAR(static_cast<double>(result.answers[0].predicted_ns), 12.0 * kMs, 1.0 * kMs);
}

TEST(CoreSchedulerTest, TheEarliestDeadlineIsServedFirst) {
  const Trace trace =
      OneModel({Ask(0, 100), Ask(1, 90), Ask(2, 80), Ask(3, 70), Ask(4, 60), Ask(5, 50)}, TestModel(4));
  CoreScheduler scheduler(&trace);
  EXPECT_THAT(EndsMs(Simulate(trace, &scheduler)), ElementsAre(7, 24, 17, 17, 17, 17));
}

TEST(CoreSchedulerTest, WhatCannotBeInTimeIsRefusedAtOnce) {
  // Nothing is refused before a run has shown that what was measured at load is still so.
  const Trace trace = OneModel({Ask(0, 100), Ask(10, 100, 4), Ask(11, 8), Ask(12, 16)});
  CoreScheduler scheduler(&trace);
  const Result result = Simulate(trace, &scheduler);
  EXPECT_THAT(OutcomesOf(result),
              ElementsAre(Outcome::kAnswered, Outcome::kAnswered, Outcome::kRefusedLate, Outcome::kAnswered));
  EXPECT_THAT(EndsMs(result), ElementsAre(7, 20, 11, 27));
}

TEST(CoreSchedulerTest, ALargeRequestIsAnsweredOnceAllItsSlicesAre) {
  const Trace trace = OneModel({Ask(0, 100, 10)}, TestModel(4));
  CoreScheduler scheduler(&trace);
  const Result result = Simulate(trace, &scheduler);
  EXPECT_EQ(result.runs, 3);
  EXPECT_THAT(EndsMs(result), ElementsAre(28));
  EXPECT_DOUBLE_EQ(result.answers[0].work_ns, 28.0 * kMs);
}

class PropertyTest : public testing::TestWithParam<std::tuple<uint64_t, double>> {
 protected:
  uint64_t seed() const { return std::get<0>(GetParam()); }
  double load() const { return std::get<1>(GetParam()); }
};

TEST_P(PropertyTest, EveryRequestHasOneOutcomeAndNothingHopelessRuns) {
  Trace trace = RandomTrace(seed(), load(), 3.0, {12, 30, 60, 250, -1});
  for (size_t i = 0; i < trace.requests.size(); i += 17)
    trace.requests[i].rows = 1 + static_cast<int64_t>(i % 40);
  Witness witness(&trace);
  witness.set_tolerance(kMs / 10);
  const Result result = Simulate(trace, &witness);
  EXPECT_EQ(Count(result, Outcome::kNone), 0);
  EXPECT_LE(static_cast<double>(GoodRows(trace, result)), RowsAtMost(trace) + 1e-6);
  EXPECT_EQ(witness.core()->lapses(), 0);
}

TEST_P(PropertyTest, NoiseStallsAndLiesLoseNoRequest) {
  Trace trace = RandomTrace(seed(), load(), 3.0, {30, 60, -1});
  trace.models[0].factors = {1, 0.9, 1.1, 1, 7, 1, 1.3, 1, 0.8, 60};
  trace.models[0].seed_factor = seed() % 2 == 0 ? 5 : 0;
  trace.paces = {{1000 * kMs, 3}, {2000 * kMs, 0.5}};
  Witness witness(&trace);
  EXPECT_EQ(Count(Simulate(trace, &witness), Outcome::kNone), 0);
}

TEST_P(PropertyTest, SeveralModelsOnSeveralCoresLoseNoRequest) {
  Trace trace = RandomTrace(seed(), load() * 2, 2.0, {20, 60, 250, -1});
  trace.models.push_back(TestModel(4));
  trace.models.push_back(TestModel(16));
  trace.models[2].threads = 2;
  trace.models[1].instances = 3;
  trace.cores = 2;
  trace.tenant_weights = {1, 3};
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    trace.requests[i].queue = i % 3;
    trace.requests[i].tenant = i % 2;
    trace.requests[i].priority = 1 + i % 5 / 4;
  }
  Witness witness(&trace);
  EXPECT_EQ(Count(Simulate(trace, &witness), Outcome::kNone), 0);
}

TEST_P(PropertyTest, EqualsAreServedInOrderOfArrival) {
  const Trace trace = RandomTrace(seed(), load(), 2.0, {60});
  Witness witness(&trace);
  Simulate(trace, &witness);
  std::vector<size_t> order;
  for (const Part& part : witness.order()) order.push_back(part.request);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));

  const Trace untimed = RandomTrace(seed(), load(), 2.0, {-1});
  Witness other(&untimed);
  EXPECT_THAT(OutcomesOf(Simulate(untimed, &other)),
              Each(testing::AnyOf(Outcome::kAnswered, Outcome::kRefusedFull)));
  order.clear();
  for (const Part& part : other.order()) order.push_back(part.request);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_P(PropertyTest, WhatHasNoDeadlineDoesNotStarve) {
  // Deadlines at the load, and beside them a twentieth of the capacity that waits for ever.
  Trace trace = RandomTrace(seed(), load(), 4.0, {60});
  const size_t timed = trace.requests.size();
  const Trace quiet = RandomTrace(seed() + 1000, 0.05, 4.0, {-1});
  trace.requests.insert(trace.requests.end(), quiet.requests.begin(), quiet.requests.end());
  ASSERT_GT(trace.requests.size(), timed + 20);
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const Request& a, const Request& b) { return a.arrival_ns < b.arrival_ns; });
  CoreScheduler scheduler(&trace);
  const Result result = Simulate(trace, &scheduler);
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    if (trace.requests[i].deadline_ns != kNever) continue;
    EXPECT_EQ(result.answers[i].outcome, Outcome::kAnswered);
    EXPECT_LT(result.answers[i].end_ns - trace.requests[i].arrival_ns, 1000 * kMs);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PropertyTest,
                         testing::Combine(testing::Range<uint64_t>(1, 6), testing::Values(0.5, 1.1, 4.0)));

}  // namespace
}  // namespace maas::simulation
