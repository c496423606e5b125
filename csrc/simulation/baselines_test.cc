#include "simulation/baselines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulation/simulation_testing.h"

namespace maas::simulation {
namespace {

using testing::Each;
using testing::ElementsAre;

Result RunBaseline(const Trace& trace, BaselineOptions options) {
  Baseline scheduler(&trace, options);
  return Simulate(trace, &scheduler);
}

// The first runs alone for 7 ms; meanwhile five more come, of which four fit the next batch.
const std::vector<Request> kSix{Ask(0, 100), Ask(1, 90), Ask(2, 80), Ask(3, 70), Ask(4, 60), Ask(5, 16)};

TEST(FifoTest, RunsWhateverWaitsInOrderOfArrival) {
  const Result result = RunBaseline(OneModel(kSix), {});
  EXPECT_THAT(EndsMs(result), ElementsAre(7, 17, 17, 17, 17, 24));
  EXPECT_THAT(OutcomesOf(result), Each(Outcome::kAnswered));
  EXPECT_EQ(result.runs, 3);
}

TEST(FifoTest, AnswersThoseWhoNoLongerWait) {
  const Trace trace = OneModel({Ask(0, 5), Ask(1, 5)});
  const Result result = RunBaseline(trace, {});
  EXPECT_THAT(EndsMs(result), ElementsAre(7, 14));
  EXPECT_EQ(GoodRows(trace, result), 0);
}

TEST(FifoTest, DropsWhoWaitedAsLongAsTheTimeout) {
  const Result result = RunBaseline(OneModel(kSix), {.timeout_ns = 5 * kMs});
  EXPECT_THAT(OutcomesOf(result), ElementsAre(Outcome::kAnswered, Outcome::kTimedOut, Outcome::kTimedOut,
                                              Outcome::kAnswered, Outcome::kAnswered, Outcome::kAnswered));
  EXPECT_THAT(EndsMs(result), ElementsAre(7, 7, 7, 16, 16, 16));
}

TEST(EdfTest, RunsTheEarliestDeadlinesAndNothingAfterThem) {
  const Result result = RunBaseline(OneModel(kSix), {.by_deadline = true});
  // The latest deadline of the five that wait is that of the one that came first.
  EXPECT_THAT(EndsMs(result), ElementsAre(7, 24, 17, 17, 17, 17));
  const Result expired = RunBaseline(OneModel({Ask(0, 100), Ask(1, 5), Ask(1, 90)}), {.by_deadline = true});
  EXPECT_THAT(OutcomesOf(expired), ElementsAre(Outcome::kAnswered, Outcome::kExpired, Outcome::kAnswered));
}

TEST(BaselineTest, RunsAsManyAtATimeAsThereAreCores) {
  Trace trace = OneModel({Ask(0, 100, 4), Ask(0, 100, 4), Ask(0, 100, 4)});
  trace.cores = 2;
  trace.models[0].instances = 3;
  EXPECT_THAT(EndsMs(RunBaseline(trace, {})), ElementsAre(10, 10, 20));
  trace.models[0].instances = 1;
  EXPECT_THAT(EndsMs(RunBaseline(trace, {})), ElementsAre(10, 20, 30));
}

TEST(BaselineTest, TheModelWhoseFirstRequestComesFirstIsNext) {
  Trace trace = OneModel({Ask(0, 100), Ask(1, 90, 1, 1), Ask(2, 20, 1, 0)});
  trace.models.push_back(TestModel());
  EXPECT_THAT(EndsMs(RunBaseline(trace, {})), ElementsAre(7, 14, 21));
  EXPECT_THAT(EndsMs(RunBaseline(trace, {.by_deadline = true})), ElementsAre(7, 21, 14));
}

}  // namespace
}  // namespace maas::simulation
