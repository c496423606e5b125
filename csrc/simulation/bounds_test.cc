#include "simulation/bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "simulation/baselines.h"
#include "simulation/simulation_testing.h"

namespace maas::simulation {
namespace {

constexpr size_t kWide = 1'000'000;

TEST(RowsAtMostTest, RowsAreWorkAtTheBestRateWithinTheirTime) {
  // Four at a time take 10 ms: 2.5 ms each. In 10 ms four can be done, of however many.
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(std::vector<Request>(9, Ask(0, 10)))), 4);
  // Within 7 ms only one fits into a run, and takes all of it.
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(std::vector<Request>(9, Ask(0, 7)))), 1);
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(std::vector<Request>(9, Ask(0, 6)))), 0);
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(std::vector<Request>(9, Ask(0, -1)))), 0);
}

TEST(RowsAtMostTest, TheCheapestKindComesFirst) {
  // Ten of 2.5 ms in 20 ms leave no time for those that take 7 ms each.
  std::vector<Request> requests(10, Ask(0, 20));
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(requests)), 8);
  requests.push_back(Ask(0, 7));
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(requests)), 8);
  // With six of them there are 5 ms left, five sevenths of one.
  requests.erase(requests.begin(), requests.begin() + 4);
  EXPECT_DOUBLE_EQ(RowsAtMost(OneModel(requests)), 6 + 5.0 / 7);
}

TEST(RowsAtMostTest, TwoCoresDoTwiceAsMuchUnlessARunTakesBoth) {
  Trace trace = OneModel(std::vector<Request>(20, Ask(0, 10)));
  trace.cores = 2;
  EXPECT_DOUBLE_EQ(RowsAtMost(trace), 8);
  trace.models[0].threads = 2;
  EXPECT_DOUBLE_EQ(RowsAtMost(trace), 4);
}

TEST(RowsAtMostTest, AtHalfThePaceHalfAsMuchIsDone) {
  Trace trace = OneModel(std::vector<Request>(40, Ask(0, 40)));
  EXPECT_DOUBLE_EQ(RowsAtMost(trace), 16);
  trace.paces = {{20 * kMs, 2}};
  EXPECT_DOUBLE_EQ(RowsAtMost(trace), 12);
  trace.paces = {{0, 4}, {20 * kMs, 0.5}};
  EXPECT_DOUBLE_EQ(RowsAtMost(trace), 18);
  EXPECT_EQ(RowsInOrder(trace, kWide), -1);
}

TEST(RowsAtMostTest, ManyCostsAreRoundedDown) {
  std::vector<Request> requests;
  for (int64_t patience = 7; patience < 60; ++patience) requests.push_back(Ask(0, patience));
  const Trace trace = OneModel(requests, TestModel(50));
  EXPECT_GE(RowsAtMost(trace), static_cast<double>(RowsInOrder(OneModel({Ask(0, 7)}), kWide)));
  EXPECT_LE(RowsAtMost(trace), static_cast<double>(requests.size()));
}

// The most rows in time from `free_ns` on, of the requests from `next` on, by trying every chain of batches
// of any requests in order.
int64_t Best(const Trace& trace, int64_t free_ns, size_t next) {
  int64_t best = 0;
  const size_t count = trace.requests.size() - next;
  for (size_t set = 1; set < (size_t{1} << count); ++set) {
    std::vector<Request> batch;
    size_t last = 0;
    for (size_t i = 0; i < count; ++i) {
      if ((set >> i & 1) == 0) continue;
      batch.push_back(trace.requests[next + i]);
      last = i;
    }
    const auto rows = static_cast<int64_t>(batch.size());
    if (rows > trace.models[0].max_batch_rows) continue;
    int64_t start = free_ns;
    for (const Request& request : batch) start = std::max(start, request.arrival_ns);
    const int64_t end = start + static_cast<int64_t>(trace.models[0].RunNs(rows));
    if (std::any_of(batch.begin(), batch.end(), [&](const Request& one) { return one.deadline_ns < end; })) {
      continue;
    }
    best = std::max(best, rows + Best(trace, end, next + last + 1));
  }
  return best;
}

TEST(RowsInOrderTest, FindsWhatTryingEverythingFinds) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    for (const int64_t patience : {8, 12, 20}) {
      Trace trace = RandomTrace(seed, 2.0, 1.0, {patience}, TestModel(3));
      trace.requests.resize(std::min<size_t>(trace.requests.size(), 8));
      ASSERT_EQ(RowsInOrder(trace, kWide), Best(trace, 0, 0)) << "seed " << seed << ", patience " << patience;
    }
  }
}

TEST(RowsInOrderTest, IsNoMoreThanTheBoundAndNoLessThanOthersGet) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    for (const double load : {0.3, 0.9, 1.5, 4.0}) {
      const Trace trace = RandomTrace(seed, load, 2.0, {60});
      const int64_t knowing = RowsInOrder(trace, 16);
      EXPECT_LE(static_cast<double>(knowing), RowsAtMost(trace) + 1e-6);
      EXPECT_LE(RowsInOrder(trace, 1), knowing);
      for (const bool by_deadline : {false, true}) {
        Baseline scheduler(&trace, {.by_deadline = by_deadline});
        EXPECT_LE(GoodRows(trace, Simulate(trace, &scheduler)), knowing)
            << "seed " << seed << ", load " << load;
      }
    }
  }
}

TEST(RowsInOrderTest, OtherTracesHaveNone) {
  EXPECT_EQ(RowsInOrder(OneModel({Ask(0, 20), Ask(1, 30)}), kWide), -1);
  EXPECT_EQ(RowsInOrder(OneModel({Ask(0, 20, 2)}), kWide), -1);
  EXPECT_EQ(RowsInOrder(OneModel({Ask(0, -1)}), kWide), -1);
  EXPECT_EQ(RowsInOrder(OneModel({}), kWide), -1);
  Trace wide = OneModel({Ask(0, 20)});
  wide.models[0].instances = 2;
  EXPECT_EQ(RowsInOrder(wide, kWide), 1);
  wide.cores = 2;
  EXPECT_EQ(RowsInOrder(wide, kWide), -1);
  wide.models.push_back(TestModel());
  EXPECT_EQ(RowsInOrder(wide, kWide), -1);
}

}  // namespace
}  // namespace maas::simulation
