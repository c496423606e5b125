#include "maas/pack/pack_plan.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace maas {
namespace {

Box Whole(const Dims& dims) { return {dims, Zeros(dims.rank())}; }

// One element's way: where from, where to, and its index along the axis within the box.
struct Move {
  int64_t src;
  int64_t dst;
  int64_t axis_index;
  friend bool operator==(const Move&, const Move&) = default;
};

int64_t OffsetOf(const Box& box, const std::vector<int64_t>& index) {
  int64_t offset = 0;
  for (int d = 0; d < box.dims.rank(); ++d) {
    offset = offset * box.dims[d] + box.offset[d] + index[static_cast<size_t>(d)];
  }
  return offset;
}

// Every index of the box in row-major order, by counting.
std::vector<Move> MovesByDefinition(const Box& src, const Box& dst, const Dims& extent, int axis) {
  std::vector<Move> moves;
  std::vector<int64_t> index(static_cast<size_t>(extent.rank()), 0);
  for (int64_t left = ElementCount(extent); left > 0; --left) {
    moves.push_back(
        {OffsetOf(src, index), OffsetOf(dst, index), axis < 0 ? 0 : index[static_cast<size_t>(axis)]});
    for (int d = extent.rank() - 1; d >= 0; --d) {
      if (++index[static_cast<size_t>(d)] < extent[d]) break;
      index[static_cast<size_t>(d)] = 0;
    }
  }
  return moves;
}

std::vector<Move> MovesOf(const PackPlan& plan) {
  std::vector<Move> moves;
  ForEachRun(plan, [&](int64_t src, int64_t dst, int64_t axis_index) {
    for (int64_t i = 0; i < plan.run; ++i) {
      moves.push_back({src + i, dst + i, plan.axis_run ? i : axis_index});
    }
  });
  return moves;
}

TEST(PackPlan, MovesAWholeTensorInOneRun) {
  const Box whole = Whole({4, 3, 5});
  const PackPlan plan = PlanPack(whole, whole, {4, 3, 5});
  EXPECT_EQ(plan.run, 60);
  EXPECT_EQ(plan.loop_count, 0);
  EXPECT_EQ(plan.src_offset, 0);
  EXPECT_EQ(plan.dst_offset, 0);
}

TEST(PackPlan, MovesRowsIntoTheirPlaceInABatchInOneRun) {
  const PackPlan plan = PlanPack(Whole({2, 3, 5}), {{32, 3, 5}, {7, 0, 0}}, {2, 3, 5});
  EXPECT_EQ(plan.run, 30);
  EXPECT_EQ(plan.loop_count, 0);
  EXPECT_EQ(plan.dst_offset, 7 * 15);
}

TEST(PackPlan, LoopsOverWhatIsOutsideABatchAxisThatIsNotTheFirst) {
  const PackPlan plan = PlanPack(Whole({2, 3, 128}), {{2, 8, 128}, {0, 4, 0}}, {2, 3, 128});
  EXPECT_EQ(plan.run, 3 * 128);
  ASSERT_EQ(plan.loop_count, 1);
  EXPECT_EQ(plan.loops[0].extent, 2);
  EXPECT_EQ(plan.loops[0].src_stride, 3 * 128);
  EXPECT_EQ(plan.loops[0].dst_stride, 8 * 128);
  EXPECT_EQ(plan.dst_offset, 4 * 128);
}

TEST(PackPlan, LoopsOverRowsThatArePadded) {
  const PackPlan plan = PlanPack(Whole({2, 5}), {{4, 16}, {1, 0}}, {2, 5});
  EXPECT_EQ(plan.run, 5);
  ASSERT_EQ(plan.loop_count, 1);
  EXPECT_EQ(plan.loops[0].dst_stride, 16);
}

TEST(PackPlan, JoinsDimensionsAroundOneOfExtentOne) {
  const PackPlan plan = PlanPack(Whole({4, 1, 6}), Whole({4, 1, 6}), {4, 1, 6});
  EXPECT_EQ(plan.run, 24);
  EXPECT_EQ(plan.loop_count, 0);
}

TEST(PackPlan, MovesSingleElementsOfAColumn) {
  const PackPlan plan = PlanPack({{4, 6}, {0, 2}}, Whole({4, 1}), {4, 1});
  EXPECT_EQ(plan.run, 1);
  ASSERT_EQ(plan.loop_count, 1);
  EXPECT_EQ(plan.loops[0].extent, 4);
  EXPECT_EQ(plan.loops[0].src_stride, 6);
  EXPECT_EQ(plan.loops[0].dst_stride, 1);
}

TEST(PackPlan, MovesTheOneElementOfAScalar) {
  const PackPlan plan = PlanPack(Whole({}), Whole({}), {});
  EXPECT_EQ(plan.run, 1);
  EXPECT_EQ(plan.loop_count, 0);
}

TEST(PackPlan, MovesNothingOfAnEmptyBox) {
  for (const Dims& extent : {Dims({0, 3, 5}), Dims({4, 0, 5}), Dims({4, 3, 0})}) {
    const PackPlan plan = PlanPack(Whole({4, 3, 5}), Whole({4, 3, 5}), extent);
    EXPECT_EQ(plan.run, 0);
    EXPECT_TRUE(MovesOf(plan).empty());
  }
  EXPECT_EQ(PlanPack(Whole({0, 3}), Whole({0, 3}), {0, 3}).run, 0);
}

TEST(PackPlan, LoopsOverAnAxisThatIsNotInnermost) {
  const PackPlan plan = PlanPack(Whole({2, 3, 8, 8}), Whole({2, 3, 8, 8}), {2, 3, 8, 8}, 1);
  EXPECT_EQ(plan.run, 64);
  EXPECT_FALSE(plan.axis_run);
  ASSERT_EQ(plan.loop_count, 2);
  EXPECT_EQ(plan.axis_loop, 0);
  EXPECT_EQ(plan.loops[0].extent, 3);
}

TEST(PackPlan, RunsAlongAnAxisThatIsInnermost) {
  const PackPlan plan = PlanPack(Whole({2, 8, 8, 3}), Whole({2, 8, 8, 3}), {2, 8, 8, 3}, 3);
  EXPECT_EQ(plan.run, 3);
  EXPECT_TRUE(plan.axis_run);
  EXPECT_EQ(plan.axis_loop, -1);
  ASSERT_EQ(plan.loop_count, 1);
  EXPECT_EQ(plan.loops[0].extent, 128);
  EXPECT_TRUE(InnermostLoopIsDense(plan));
}

TEST(PackPlan, TakesNoNoticeOfAnAxisOfExtentOne) {
  const PackPlan plan = PlanPack({{2, 3, 8}, {0, 1, 0}}, Whole({2, 1, 8}), {2, 1, 8}, 1);
  EXPECT_EQ(plan.axis_loop, -1);
  EXPECT_FALSE(plan.axis_run);
  EXPECT_EQ(plan.run, 8);
}

TEST(PackPlan, AbsorbsALoopOfDenseRuns) {
  PackPlan plan = PlanPack({{9, 8, 3}, {1, 0, 0}}, {{4, 20, 3}, {0, 2, 0}}, {4, 8, 3}, 2);
  ASSERT_TRUE(InnermostLoopIsDense(plan));
  AbsorbInnermostLoop(&plan);
  EXPECT_EQ(plan.run, 24);
  ASSERT_EQ(plan.loop_count, 1);
  EXPECT_FALSE(InnermostLoopIsDense(plan));
  EXPECT_EQ(plan.loops[0].dst_stride, 60);
}

TEST(PackPlan, HandlesTheHighestRank) {
  Dims dims;
  Dims extent;
  for (int i = 0; i < kMaxRank; ++i) {
    dims.push_back(2);
    extent.push_back(i % 2 == 0 ? 2 : 1);
  }
  const PackPlan plan = PlanPack(Whole(dims), Whole(extent), extent);
  EXPECT_EQ(MovesOf(plan), MovesByDefinition(Whole(dims), Whole(extent), extent, -1));
}

class PackPlanProperty : public testing::TestWithParam<uint32_t> {
 protected:
  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  // A tensor around a box of `extent`, and the place of the box in it.
  Box Around(const Dims& extent) {
    Box box;
    for (int d = 0; d < extent.rank(); ++d) {
      // Half of the dimensions fit exactly, so that they join.
      const int before = Uniform(0, 1) * Uniform(0, 2);
      const int after = Uniform(0, 1) * Uniform(0, 2);
      box.dims.push_back(before + extent[d] + after);
      box.offset.push_back(before);
    }
    return box;
  }

  Dims RandomExtent(int lowest) {
    Dims extent;
    for (int rank = Uniform(0, 5); rank > 0; --rank) extent.push_back(Uniform(lowest, 4));
    return extent;
  }

  std::mt19937 random_{GetParam()};
};

TEST_P(PackPlanProperty, MovesEveryElementOfTheBoxOnceAndInOrder) {
  for (int i = 0; i < 200; ++i) {
    const Dims extent = RandomExtent(0);
    const Box src = Around(extent);
    const Box dst = Around(extent);
    const int axis = Uniform(-1, extent.rank() - 1);
    ASSERT_EQ(MovesOf(PlanPack(src, dst, extent, axis)), MovesByDefinition(src, dst, extent, axis))
        << ToString(src.dims) << " -> " << ToString(dst.dims) << " box " << ToString(extent) << " axis "
        << axis;
  }
}

TEST_P(PackPlanProperty, LeavesNoDenseLoopAndNoTwoThatJoin) {
  for (int i = 0; i < 200; ++i) {
    const Dims extent = RandomExtent(1);
    const PackPlan plan = PlanPack(Around(extent), Around(extent), extent);
    ASSERT_FALSE(InnermostLoopIsDense(plan));
    for (int l = 1; l < plan.loop_count; ++l) {
      const PackLoop& inner = plan.loops[static_cast<size_t>(l - 1)];
      const PackLoop& outer = plan.loops[static_cast<size_t>(l)];
      ASSERT_FALSE(outer.src_stride == inner.extent * inner.src_stride &&
                   outer.dst_stride == inner.extent * inner.dst_stride);
      ASSERT_GT(outer.extent, 1);
    }
  }
}

TEST_P(PackPlanProperty, PackingWhatWasSplitGivesItBack) {
  for (int i = 0; i < 50; ++i) {
    Dims whole = RandomExtent(1);
    whole.push_back(Uniform(1, 6));
    std::vector<int> original(static_cast<size_t>(ElementCount(whole)));
    std::iota(original.begin(), original.end(), 0);
    std::vector<int> packed(original.size(), -1);

    const int axis = Uniform(0, whole.rank() - 1);
    for (int64_t at = 0, rows = 0; at < whole[axis]; at += rows) {
      rows = std::min<int64_t>(Uniform(1, 3), whole[axis] - at);
      Dims extent = whole;
      extent[axis] = rows;
      Box place = Whole(whole);
      place.offset[axis] = at;
      // The part has a tensor of its own, larger than it, as a padded one is.
      const Box own = Around(extent);
      std::vector<int> part(static_cast<size_t>(ElementCount(own.dims)), -2);
      const auto copy = [](const PackPlan& plan, const std::vector<int>& from, std::vector<int>* to) {
        for (const Move& m : MovesOf(plan))
          to->at(static_cast<size_t>(m.dst)) = from.at(static_cast<size_t>(m.src));
      };
      copy(PlanPack(place, own, extent), original, &part);
      copy(PlanPack(own, place, extent), part, &packed);
    }
    ASSERT_EQ(packed, original) << ToString(whole) << " along " << axis;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PackPlanProperty, testing::Values(1u, 2u, 3u, 4u));

}  // namespace
}  // namespace maas
