#include "maas/batching/batch_policy.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

constexpr int64_t kNow = 1'000'000'000;
constexpr int64_t kForever = INT64_MAX;
const BatchOptions kAtOnce{8, 0};
const BatchOptions kDelayed{8, 5'000'000};
const BatchOptions kPreferring{8, 5'000'000, {2, 4}};
const BatchOptions kPreferringAtOnce{8, 0, {2, 4}};
constexpr LoadView kIdle{};
// Many quick requests, and no CPU to spare.
constexpr LoadView kBusy{20'000, 4, 1.0, 50'000};

LoadView Busy(double LoadView::*field, double value) {
  LoadView load = kBusy;
  load.*field = value;
  return load;
}
LoadView Busy(int64_t LoadView::*field, int64_t value) {
  LoadView load = kBusy;
  load.*field = value;
  return load;
}

struct Row {
  const char* what;
  BatchOptions options;
  LaneView lane;
  LoadView load;
  GatherMemory memory;
  int64_t gather_began;
  Decision expected;
};

const Row kRows[] = {
    {"sleeps when nothing waits", kAtOnce, {}, kIdle, {}, -1, {Action::kWait, kForever, 1, false}},
    {"runs one at once when idle", kAtOnce, {1, 1, kNow, 1}, kIdle, {}, -1, {Action::kRun}},
    {"runs what waits, though more would fit", kAtOnce, {7, 7, kNow - 1, 7}, kIdle, {}, -1, {Action::kRun}},
    {"waits below size and below delay",
     kDelayed,
     {7, 7, kNow - 4'999'999, 7},
     kIdle,
     {},
     -1,
     {Action::kWait, kNow + 1, kForever, false}},
    {"closes when the oldest waited max delay",
     kDelayed,
     {7, 7, kNow - 5'000'000, 7},
     kIdle,
     {},
     -1,
     {Action::kRun}},
    {"closes a full batch before max delay", kDelayed, {8, 3, kNow, 3}, kIdle, {}, -1, {Action::kRun}},
    {"closes an overfull batch", kDelayed, {800, 3, kNow, 3}, kBusy, {}, -1, {Action::kRun}},
    {"max delay comes before gathering",
     kDelayed,
     {1, 1, kNow, 1},
     kBusy,
     {},
     -1,
     {Action::kWait, kNow + 5'000'000, kForever, false}},
    {"gathers company under load",
     kAtOnce,
     {1, 1, kNow, 1},
     kBusy,
     {},
     -1,
     {Action::kWait, kNow + kGatherNs, 4, true}},
    {"goes on gathering from when it began",
     kAtOnce,
     {2, 2, kNow, 2},
     kBusy,
     {},
     kNow - 1000,
     {Action::kWait, kNow - 1000 + kGatherNs, 4, true}},
    {"ends a gathering in time", kAtOnce, {2, 2, kNow, 2}, kBusy, {}, kNow - kGatherNs, {Action::kRun}},
    {"ends a gathering when all are there", kAtOnce, {4, 4, kNow, 4}, kBusy, {}, -1, {Action::kRun}},
    {"ends a gathering when all are there, in several lanes",
     kAtOnce,
     {1, 1, kNow, 4},
     kBusy,
     {},
     -1,
     {Action::kRun}},
    {"sleeps through the first arrival under load",
     kAtOnce,
     {},
     kBusy,
     {},
     -1,
     {Action::kWait, kNow + kGatherNs, 4, true}},
    {"sleeps on when a gathering caught nobody",
     kAtOnce,
     {},
     kBusy,
     {},
     kNow - kGatherNs,
     {Action::kWait, kForever, 1, false}},
    {"never lets a lone client wait",
     kAtOnce,
     {1, 1, kNow, 1},
     Busy(&LoadView::concurrency, int64_t{1}),
     {},
     -1,
     {Action::kRun}},
    {"lets nobody wait while there is CPU to spare",
     kAtOnce,
     {1, 1, kNow, 1},
     Busy(&LoadView::cpu_share, kGatherFromCpu),
     {},
     -1,
     {Action::kRun}},
    {"gathers when woken threads run late, though our share of the CPU is small",
     kAtOnce,
     {1, 1, kNow, 1},
     LoadView{20'000, 4, 0.1, 50'000, kGatherFullLagNs},
     {},
     -1,
     {Action::kWait, kNow + kGatherNs, 4, true}},
    {"does not gather when woken threads run soon",
     kAtOnce,
     {1, 1, kNow, 1},
     LoadView{20'000, 4, 0.1, 50'000, kGatherFromLagNs},
     {},
     -1,
     {Action::kRun}},
    {"cuts max delay to what a deadline allows",
     kDelayed,
     {1, 1, kNow, 1, kNow + 1'000'000},
     LoadView{0, 1, 0, 50'000},
     {},
     -1,
     {Action::kWait, kNow + 1'000'000 - 50'000 - kDispatchNs, kForever, false}},
    {"starts as much earlier as instances wake late",
     kDelayed,
     {1, 1, kNow, 1, kNow + 1'000'000},
     LoadView{0, 1, 0, 50'000, 100'000},
     {},
     -1,
     {Action::kWait, kNow + 1'000'000 - 50'000 - kDispatchNs - 100'000, kForever, false}},
    {"runs at once what a deadline presses",
     kDelayed,
     {1, 1, kNow, 1, kNow + 100'000},
     LoadView{0, 1, 0, 50'000},
     {},
     -1,
     {Action::kRun}},
    {"cuts a gathering to what a deadline allows",
     kAtOnce,
     {1, 1, kNow, 1, kNow + 1'000'000},
     kBusy,
     {},
     -1,
     {Action::kWait, kNow + 1'000'000 - 50'000 - kDispatchNs, 4, true}},
    {"gathers nobody for a batch that a deadline presses",
     kAtOnce,
     {1, 1, kNow, 1, kNow + 100'000},
     kBusy,
     {},
     -1,
     {Action::kRun}},
    {"gathers half as long when CPU is half scarce",
     kAtOnce,
     {1, 1, kNow, 1},
     Busy(&LoadView::cpu_share, (kGatherFromCpu + kGatherFullCpu) / 2),
     {},
     -1,
     {Action::kWait, kNow + kGatherNs / 2, 4, true}},
    {"does not gather for a slow model",
     kAtOnce,
     {1, 1, kNow, 1},
     Busy(&LoadView::run_ns, int64_t{2'100'000}),
     {},
     -1,
     {Action::kRun}},
    {"gathers for a model of unknown speed",
     kAtOnce,
     {1, 1, kNow, 1},
     Busy(&LoadView::run_ns, int64_t{0}),
     {},
     -1,
     {Action::kWait, kNow + kGatherNs, 4, true}},
    {"does not gather when few arrive",
     kAtOnce,
     {1, 1, kNow, 1},
     Busy(&LoadView::arrivals_per_second, 499.0),
     {},
     -1,
     {Action::kRun}},
    {"runs before a queue policy takes a request out",
     kDelayed,
     LaneView{.rows = 1, .requests = 1, .oldest_ns = kNow, .queued = 1, .leaves_ns = kNow + 4'000'000},
     LoadView{0, 1, 0, 50'000, 100'000},
     {},
     -1,
     {Action::kWait, kNow + 4'000'000 - kLeaveMarginNs - 100'000, kForever, false}},
    {"gathers nobody past what a queue policy allows",
     kAtOnce,
     LaneView{.rows = 1,
              .requests = 1,
              .oldest_ns = kNow,
              .queued = 1,
              .leaves_ns = kNow + 100'000 + kLeaveMarginNs},
     kBusy,
     {},
     -1,
     {Action::kWait, kNow + 100'000, 4, true}},
    {"lets what waits for nobody run though a delay is configured",
     kDelayed,
     LaneView{.rows = 1, .requests = 1, .oldest_ns = kNow, .queued = 1, .at_once = true},
     kBusy,
     {},
     -1,
     {Action::kRun}},
    {"runs a preferred size before max delay",
     kPreferring,
     LaneView{.rows = 5, .requests = 3, .oldest_ns = kNow, .queued = 3, .preferred_rows = 4},
     kIdle,
     {},
     -1,
     {.action = Action::kRun, .rows = 4}},
    {"waits while no preferred size is reached",
     kPreferring,
     LaneView{.rows = 3, .requests = 3, .oldest_ns = kNow, .queued = 3},
     kIdle,
     {},
     -1,
     {Action::kWait, kNow + 5'000'000, kForever, false}},
    {"prefers a size over a full batch",
     kPreferring,
     LaneView{.rows = 80, .requests = 40, .oldest_ns = kNow, .queued = 40, .preferred_rows = 4},
     kIdle,
     {},
     -1,
     {.action = Action::kRun, .rows = 4}},
    {"prefers no size once max delay is over",
     kPreferring,
     LaneView{.rows = 5, .requests = 3, .oldest_ns = kNow - 5'000'000, .queued = 3, .preferred_rows = 4},
     kIdle,
     {},
     -1,
     {Action::kRun}},
    {"prefers a size without a delay as well",
     kPreferringAtOnce,
     LaneView{.rows = 5, .requests = 3, .oldest_ns = kNow - 5'000'000, .queued = 3, .preferred_rows = 4},
     kBusy,
     {},
     -1,
     {.action = Action::kRun, .rows = 4}},
    {"runs what there is when no preferred size is reached and nothing is to be waited for",
     kPreferringAtOnce,
     LaneView{.rows = 3, .requests = 3, .oldest_ns = kNow, .queued = 3},
     kIdle,
     {},
     -1,
     {Action::kRun}},
    {"does not gather while it backs off", kAtOnce, {1, 1, kNow, 1}, kBusy, {2, 1}, -1, {Action::kRun}},
    {"gathers again after it backed off",
     kAtOnce,
     {1, 1, kNow, 1},
     kBusy,
     {2, 0},
     -1,
     {Action::kWait, kNow + kGatherNs, 4, true}},
};

TEST(BatchPolicy, DecidesAsTheTableSays) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const Decision got = DecideBatch(row.options, row.lane, row.load, row.memory, row.gather_began, kNow);
    EXPECT_EQ(got.action, row.expected.action);
    EXPECT_EQ(got.rows, row.expected.rows);
    if (row.expected.action == Action::kRun || got.action == Action::kRun) continue;
    EXPECT_NEAR(static_cast<double>(got.until_ns), static_cast<double>(row.expected.until_ns), 1);
    EXPECT_EQ(got.wake_requests, row.expected.wake_requests);
    EXPECT_EQ(got.gathering, row.expected.gathering);
  }
}

TEST(BatchPolicy, EveryWaitEndsByItselfOrByTheNextPush) {
  // Whoever sleeps without an end must be woken by the first that comes.
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const Decision got = DecideBatch(row.options, row.lane, row.load, row.memory, row.gather_began, kNow);
    if (got.action == Action::kRun) continue;
    EXPECT_GT(got.until_ns, kNow);
    EXPECT_TRUE(got.until_ns != kForever || got.wake_requests == 1);
  }
}

TEST(BatchPolicy, AGatheringNeverLastsLongerThanItsWindow) {
  EXPECT_EQ(GatherWindow(Busy(&LoadView::cpu_share, 5.0), {}), kGatherNs);
  EXPECT_EQ(GatherWindow(Busy(&LoadView::cpu_share, -5.0), {}), 0);
  EXPECT_LE(kGatherNs, 2'000'000);
}

TEST(BatchPolicy, BacksOffLongerEachTimeNobodyCame) {
  GatherMemory memory;
  for (int32_t expected : {1, 2, 4, 8, 16, 32, 64, 64, 64}) {
    memory = AfterGather(memory, 0);
    EXPECT_EQ(memory.backoff, expected);
    EXPECT_EQ(memory.skip, expected);
    for (int32_t i = 0; i < expected; ++i) {
      EXPECT_EQ(GatherWindow(kBusy, memory), 0);
      memory = AfterBatch(memory);
    }
    EXPECT_GT(GatherWindow(kBusy, memory), 0);
  }
}

TEST(BatchPolicy, ForgetsItsFailuresOnceSomebodyCame) {
  GatherMemory memory{64, 0};
  memory = AfterGather(memory, 1);
  EXPECT_EQ(memory.backoff, 0);
  EXPECT_EQ(memory.skip, 0);
}

TEST(BatchPolicy, ABatchWithoutGatheringCountsOneDownAndNoFurther) {
  EXPECT_EQ(AfterBatch({4, 1}).skip, 0);
  EXPECT_EQ(AfterBatch({4, 0}).skip, 0);
  EXPECT_EQ(AfterBatch({4, 1}).backoff, 4);
}

}  // namespace
}  // namespace maas
