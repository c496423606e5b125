#include "maas/exec/run_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

namespace maas {
namespace {

TEST(LatencyHistogram, CountsEachAnswerInEveryBoundThatItKept) {
  LatencyHistogram histogram;
  histogram.Add(0);
  histogram.Add(LatencyHistogram::kBoundsNs[0]);
  histogram.Add(LatencyHistogram::kBoundsNs[0] + 1);
  histogram.Add(LatencyHistogram::kBoundsNs.back());
  histogram.Add(LatencyHistogram::kBoundsNs.back() + 1);
  const auto counts = histogram.Cumulative();
  EXPECT_EQ(counts[0], 2u) << "a bound is inclusive";
  EXPECT_EQ(counts[1], 3u);
  EXPECT_EQ(counts[LatencyHistogram::kClasses - 2], 4u);
  EXPECT_EQ(counts[LatencyHistogram::kClasses - 1], 5u) << "the last holds all";
}

TEST(LatencyHistogram, MergesClassByClass) {
  LatencyHistogram one;
  LatencyHistogram other;
  one.Add(1);
  other.Add(1);
  other.Add(3'000'000'000);
  one.Merge(other);
  EXPECT_EQ(one.Cumulative().front(), 2u);
  EXPECT_EQ(one.Cumulative().back(), 3u);
}

TEST(BatchSizeClass, IsTheSizeItselfWhereSizesAreSmall) {
  for (int64_t rows = 1; rows <= 128; ++rows) EXPECT_EQ(BatchSizeClass(rows), rows);
}

TEST(BatchSizeClass, NeverRoundsDownNorUpByMoreThanAnEighth) {
  for (int64_t rows = 129; rows < 20'000; ++rows) {
    EXPECT_GE(BatchSizeClass(rows), rows);
    EXPECT_LE(BatchSizeClass(rows) - rows, rows / 8);
    EXPECT_EQ(BatchSizeClass(BatchSizeClass(rows)), BatchSizeClass(rows));
  }
  EXPECT_EQ(BatchSizeClass(256), 256);
  EXPECT_EQ(BatchSizeClass(257), 288);
}

TEST(BatchSizeClass, HasFewValues) {
  std::set<int64_t> classes;
  for (int64_t rows = 1; rows <= 1 << 16; ++rows) classes.insert(BatchSizeClass(rows));
  EXPECT_EQ(classes.size(), 128u + 9 * 8);
  EXPECT_EQ(BatchSizeClass(int64_t{1} << 40), int64_t{1} << 40);
}

TEST(RunStatistics, SumsOverBatchesAndOverRequestsAndBySize) {
  RunStatistics statistics;
  LatencyHistogram latency;
  latency.Add(200'000);
  statistics.Record({4, 3, {10, 100, 20}}, latency);
  statistics.Record({4, 1, {1, 2, 3}}, {});
  statistics.Record({1, 1, {5, 6, 7}}, {});
  statistics.RecordAnswer(50'000);
  const RunStatistics::Snapshot got = statistics.Read();
  EXPECT_EQ(got.batches.pack_ns, 16u);
  EXPECT_EQ(got.batches.run_ns, 108u);
  EXPECT_EQ(got.batches.answer_ns, 30u);
  EXPECT_EQ(got.requests.pack_ns, 36u);
  EXPECT_EQ(got.requests.run_ns, 308u);
  EXPECT_EQ(got.requests.answer_ns, 70u);
  ASSERT_EQ(got.sizes.size(), 2u);
  EXPECT_EQ(got.sizes[0].rows, 1);
  EXPECT_EQ(got.sizes[0].batches, 1u);
  EXPECT_EQ(got.sizes[1].rows, 4);
  EXPECT_EQ(got.sizes[1].batches, 2u);
  EXPECT_EQ(got.sizes[1].times.pack_ns, 11u);
  EXPECT_EQ(got.sizes[1].times.run_ns, 102u);
  EXPECT_EQ(got.sizes[1].times.answer_ns, 23u);
  EXPECT_EQ(got.latency.front(), 1u);
  EXPECT_EQ(got.latency.back(), 2u);
}

TEST(RunStatistics, LosesNothingUnderThreads) {
  RunStatistics statistics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&statistics, t] {
      for (int i = 0; i < 500; ++i) {
        LatencyHistogram latency;
        latency.Add(i);
        statistics.Record({1 + t, 2, {1, 1, 1}}, latency);
        if (i % 50 == 0) static_cast<void>(statistics.Read());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const RunStatistics::Snapshot got = statistics.Read();
  EXPECT_EQ(got.batches.run_ns, 2000u);
  EXPECT_EQ(got.requests.run_ns, 4000u);
  EXPECT_EQ(got.latency.back(), 2000u);
  ASSERT_EQ(got.sizes.size(), 4u);
  EXPECT_TRUE(
      std::all_of(got.sizes.begin(), got.sizes.end(), [](const auto& each) { return each.batches == 500; }));
}

}  // namespace
}  // namespace maas
