#include "maas/base/dims.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace maas {
namespace {

TEST(Dims, ZerosHaveTheRankAskedFor) {
  EXPECT_EQ(Zeros(0).rank(), 0);
  EXPECT_EQ(Zeros(3), Dims({0, 0, 0}));
}

TEST(Dims, HoldsWhatItWasGiven) {
  const Dims dims = {2, 3, -1};
  ASSERT_EQ(dims.rank(), 3);
  EXPECT_EQ(dims[0], 2);
  EXPECT_EQ(dims[2], -1);
  EXPECT_EQ(std::vector<int64_t>(dims.begin(), dims.end()), (std::vector<int64_t>{2, 3, -1}));
  EXPECT_EQ(dims.span().size(), 3u);
}

TEST(Dims, GrowsToTheHighestRank) {
  Dims dims;
  for (int i = 0; i < kMaxRank; ++i) dims.push_back(i);
  EXPECT_EQ(dims.rank(), kMaxRank);
  EXPECT_EQ(dims[kMaxRank - 1], kMaxRank - 1);
}

TEST(Dims, ComparesWhatItHoldsNotWhatItHeld) {
  Dims dims = {2, 3, 4};
  dims.clear();
  EXPECT_EQ(dims, Dims());
  dims.push_back(2);
  EXPECT_EQ(dims, Dims({2}));
  EXPECT_NE(dims, Dims({2, 3, 4}));
  EXPECT_NE(dims, Dims({3}));
}

TEST(Dims, CountsElements) {
  EXPECT_EQ(ElementCount(Dims()), 1);
  EXPECT_EQ(ElementCount(Dims({7})), 7);
  EXPECT_EQ(ElementCount(Dims({2, 3, 4})), 24);
  EXPECT_EQ(ElementCount(Dims({2, 0, 4})), 0);
}

TEST(Dims, CountsUpToTheLimit) {
  EXPECT_EQ(ElementCount(Dims({kMaxElements})), kMaxElements);
  EXPECT_EQ(ElementCount(Dims({kMaxElements / 4, 4})), kMaxElements);
  EXPECT_EQ(ElementCount(Dims({kMaxElements / 4, 5})), -1);
  EXPECT_EQ(ElementCount(Dims({kMaxElements + 1})), -1);
}

TEST(Dims, CountsWithoutOverflow) {
  EXPECT_EQ(ElementCount(Dims({INT64_MAX, INT64_MAX})), -1);
  EXPECT_EQ(ElementCount(Dims({int64_t{1} << 32, int64_t{1} << 32})), -1);
  EXPECT_EQ(ElementCount(Dims({INT64_MAX, 0, INT64_MAX})), 0);
}

TEST(Dims, RefusesNegativesEvenBesideZeros) {
  EXPECT_EQ(ElementCount(Dims({-1})), -1);
  EXPECT_EQ(ElementCount(Dims({0, -1})), -1);
  EXPECT_EQ(ElementCount(Dims({-2, -3})), -1);
  EXPECT_EQ(ElementCount(Dims({INT64_MIN})), -1);
}

TEST(Dims, CarriesVaryingSizesOverToAnotherShape) {
  const auto reshaped = [](const Dims& from, const Dims& sizes, const Dims& to) {
    return Reshaped(from.span(), sizes, to.span());
  };
  EXPECT_EQ(reshaped({-1, 4, 1}, {3, 4, 1}, {-1, 4}), Dims({3, 4}));
  EXPECT_EQ(reshaped({-1}, {3}, {1, -1, 1}), Dims({1, 3, 1}));
  EXPECT_EQ(reshaped({-1, 6, -1}, {2, 6, 5}, {-1, 2, 3, -1}), Dims({2, 2, 3, 5}));
  EXPECT_EQ(reshaped({1}, {1}, {}), Dims());
  EXPECT_EQ(reshaped({}, {}, {1, 1}), Dims({1, 1}));
}

TEST(Dims, PrintsLikeAShape) {
  EXPECT_EQ(ToString(Dims()), "[]");
  EXPECT_EQ(ToString(Dims({5})), "[5]");
  EXPECT_EQ(ToString(Dims({2, 3, -1})), "[2,3,-1]");
}

}  // namespace
}  // namespace maas
