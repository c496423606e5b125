#include "maas/batching/batch_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "maas/base/clock.h"

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kNow = 1'000'000 * kMs;
constexpr int64_t kMaxRows = 64;

// T(n) = 6 ms + 0.4 ms n.
LatencyCurve Curve() {
  LatencyCurve curve;
  for (int64_t rows = 1; rows <= kMaxRows; rows *= 2) curve.Seed(rows, 6 * kMs + rows * 4 * kMs / 10);
  return curve;
}

// So many requests of one row, with so much time left from kNow on.
struct Group {
  int count;
  int64_t left_ms;  // -1: no deadline.
};
std::vector<Waiting> Queue(const std::vector<Group>& groups) {
  std::vector<Waiting> order;
  for (const Group& group : groups) {
    for (int i = 0; i < group.count; ++i) {
      order.push_back({1, group.left_ms < 0 ? kNever : kNow + group.left_ms * kMs});
    }
  }
  return order;
}

// The indices of the batch.
std::vector<size_t> Chosen(const LatencyCurve& curve, const std::vector<Waiting>& order, double price) {
  const Choice choice = ChooseBatch(curve, order, kMaxRows, price, kNow);
  std::vector<size_t> chosen;
  int64_t rows = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i].due_ns < choice.due_from_ns) continue;
    if (rows + order[i].rows > choice.max_rows) break;
    rows += order[i].rows;
    chosen.push_back(i);
  }
  return chosen;
}

TEST(ChooseBatch, TakesWhatHasTimeForIt) {
  const LatencyCurve curve = Curve();
  const double overload = curve.BestRate(kMaxRows);
  struct {
    const char* what;
    std::vector<Group> queue;
    double price;
    size_t first;
    size_t count;
  } const rows[] = {
      {"all that waits", {{5, 100}}, 0, 0, 5},
      {"all that waits, also at overload", {{5, 100}}, overload, 0, 5},
      {"no more than a batch", {{100, 100}}, 0, 0, 64},
      {"what nobody waits for", {{3, -1}}, 0, 0, 3},
      {"what nobody waits for fills up", {{3, 100}, {100, -1}}, 0, 0, 64},
      {"a small batch for the first, if that is all that they have time for", {{8, 10}, {10, 100}}, 0, 0, 10},
      {"the first are worth no small batch at overload", {{2, 7}, {64, 50}}, overload, 2, 64},
      {"enough of the first are worth it", {{12, 13}, {4, 200}}, overload, 0, 16},
      {"a tight one among others is passed over", {{30, 100}, {1, 7}, {34, 100}}, overload, 0, 64},
  };
  for (const auto& row : rows) {
    const std::vector<size_t> chosen = Chosen(curve, Queue(row.queue), row.price);
    ASSERT_FALSE(chosen.empty()) << row.what;
    EXPECT_EQ(chosen.front(), row.first) << row.what;
    EXPECT_EQ(chosen.size(), row.count) << row.what;
  }
}

TEST(ChooseBatch, GivesOneWhoIsOnlyTypicallyInTimeHisChance) {
  LatencyCurve curve = Curve();
  for (int i = 0; i < 200; ++i) curve.Record(1, i % 4 == 0 ? 13 * kMs : 6'400'000, kNow);
  ASSERT_LT(curve.Typical(1), 8 * kMs);
  ASSERT_GT(curve.High(1), 10 * kMs);
  EXPECT_EQ(Chosen(curve, Queue({{1, 9}}), 0).size(), 1u);
}

TEST(ChooseBatch, NeverTakesMoreThanABatchNorWhatMakesOneOfItLate) {
  const LatencyCurve curve = Curve();
  std::mt19937 random(7);
  const auto pick = [&random](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most));
  };
  for (int round = 0; round < 2'000; ++round) {
    std::vector<Waiting> order(static_cast<size_t>(1 + pick(200)));
    for (Waiting& one : order) {
      do {
        one.rows = 1 + pick(pick(4) == 0 ? kMaxRows : 3);
        one.due_ns = pick(8) == 0 ? kNever : kNow + pick(80) * kMs;
      } while (IsHopeless(curve, kMaxRows, one, kNow));
    }
    const double price = curve.BestRate(kMaxRows) * static_cast<double>(pick(11)) / 10;
    const std::vector<size_t> chosen = Chosen(curve, order, price);
    ASSERT_FALSE(chosen.empty());
    int64_t rows = 0;
    int64_t due_ns = kNever;
    for (const size_t i : chosen) {
      rows += order[i].rows;
      due_ns = std::min(due_ns, order[i].due_ns);
    }
    EXPECT_LE(rows, kMaxRows);
    if (chosen.size() > 1 && due_ns != kNever) {
      EXPECT_LE(kNow + curve.High(rows), due_ns);
    }
  }
}

TEST(IsHopeless, IsWhoCouldNotBeAnsweredInTimeEvenNow) {
  const LatencyCurve curve = Curve();
  EXPECT_FALSE(IsHopeless(curve, kMaxRows, {1, kNever}, kNow));
  EXPECT_FALSE(IsHopeless(curve, kMaxRows, {1, kNow + curve.Typical(1)}, kNow));
  EXPECT_TRUE(IsHopeless(curve, kMaxRows, {1, kNow + curve.Typical(1) - 1}, kNow));
  EXPECT_FALSE(IsHopeless(curve, kMaxRows, {100, kNow + curve.Typical(64)}, kNow)) << "a batch at a time";
}

TEST(TimePrice, IsNothingWhileThereIsRoomAndTheFullRateAtOverload) {
  EXPECT_EQ(TimePrice(0.5, 1), 0);
  EXPECT_NEAR(TimePrice(0.9, 1), 0.5, 1e-9);
  EXPECT_EQ(TimePrice(2, 1), 1);
  EXPECT_EQ(TimePrice(2, 0), 0);
}

TEST(TargetRows, GrowsWithTheDemandAndShrinksWithPatience) {
  const LatencyCurve curve = Curve();
  const double best = curve.BestRate(kMaxRows);
  EXPECT_EQ(TargetRows(curve, kMaxRows, 0.01 * best, 200 * kMs), 1);
  EXPECT_EQ(TargetRows(curve, kMaxRows, 5 * best, 200 * kMs), kMaxRows);
  EXPECT_EQ(TargetRows(curve, kMaxRows, 5 * best, 45 * kMs), kMaxRows) << "who comes late enough suffices";
  EXPECT_LT(TargetRows(curve, kMaxRows, 1.2 * best, 45 * kMs), kMaxRows);
  EXPECT_LE(TargetRows(curve, kMaxRows, 5 * best, 20 * kMs), 32);
  EXPECT_EQ(TargetRows(curve, kMaxRows, 5 * best, 1), 1) << "nothing helps";
  EXPECT_LE(TargetRows(curve, 24, 5 * best, 200 * kMs), 24);
}

TEST(ThriftyRows, AreTheFewestThatServeNearlyAsMany) {
  const LatencyCurve curve = Curve();
  const auto share = [&curve](int64_t rows) {
    return static_cast<double>(rows) / static_cast<double>(curve.Mean(rows)) / curve.BestRate(kMaxRows);
  };
  const int64_t thrifty = ThriftyRows(curve, kMaxRows);
  EXPECT_GE(share(thrifty), 0.8);
  EXPECT_LT(share(thrifty - std::max<int64_t>(thrifty / 8, 1)), 0.8);
  LatencyCurve steep;  // A row takes as long in company as alone.
  for (int64_t rows = 1; rows <= kMaxRows; rows *= 2) steep.Seed(rows, rows * kMs);
  EXPECT_EQ(ThriftyRows(steep, kMaxRows), 1);
  LatencyCurve flat;  // All that fit take no longer than one.
  for (int64_t rows = 1; rows <= kMaxRows; rows *= 2) flat.Seed(rows, kMs);
  EXPECT_GE(ThriftyRows(flat, kMaxRows), kMaxRows * 8 / 10);
  EXPECT_EQ(ThriftyRows(curve, 1), 1);
}

TEST(PredictAnswer, CountsTheBatchesAheadAndItsOwn) {
  const LatencyCurve curve = Curve();
  const int64_t full = curve.Mean(64);
  struct {
    const char* what;
    Ahead ahead;
    int64_t rows;
    int64_t expected;
  } const rows[] = {
      {"alone", {kNow, 0, 0, 1, 1}, 1, kNow + curve.High(1)},
      {"beside others", {kNow, 31, 0, 1, 1}, 1, kNow + curve.High(32)},
      {"behind a full batch", {kNow, 64, 0, 1, 1}, 1, kNow + full + curve.High(1)},
      {"does not fit beside them", {kNow, 60, 0, 1, 1}, 8, kNow + full + curve.High(64)},
      {"larger than a batch", {kNow, 0, 0, 1, 1}, 130, kNow + 2 * full + curve.High(64)},
      {"once the device is free", {kNow + 5, 0, 0, 1, 1}, 1, kNow + 5 + curve.High(1)},
      {"behind other lanes", {kNow, 0, 7 * kMs, 1, 1}, 1, kNow + 7 * kMs + curve.High(1)},
      {"half of the device", {kNow, 64, 0, 0.5, 1}, 1, kNow + 2 * full + curve.High(1)},
      {"in a batch as large as overload makes it", {kNow, 0, 0, 1, 48}, 1, kNow + curve.High(48)},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(PredictAnswer(curve, kMaxRows, row.ahead, row.rows), row.expected) << row.what;
  }
}

}  // namespace
}  // namespace maas
