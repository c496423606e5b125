#include "maas/batching/window_quantile.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace maas {
namespace {

TEST(WindowQuantile, RoundsTheRankDown) {
  struct Row {
    int values;  // 1, 2, 3 and so on.
    double q;
    double quantile;
  };
  const Row rows[] = {
      {1, 0, 1}, {1, 0.5, 1}, {1, 1, 1},   {2, 0.5, 1},  {2, 0.9, 1},   {3, 0.5, 2},
      {4, 0, 1}, {4, 1, 4},   {4, 0.9, 3}, {10, 0.9, 9}, {11, 0.9, 10}, {10, 0.5, 5},
  };
  for (const Row& row : rows) {
    WindowQuantile<16> window;
    for (int i = row.values; i >= 1; --i) window.Add(i);
    EXPECT_EQ(window.Quantile(row.q), row.quantile) << row.values << ' ' << row.q;
  }
}

TEST(WindowQuantile, ForgetsAllButTheLast) {
  WindowQuantile<4> window;
  for (int i = 0; i < 100; ++i) {
    window.Add(i);
    EXPECT_EQ(window.count(), static_cast<size_t>(std::min(i + 1, 4)));
    EXPECT_EQ(window.Quantile(0), std::max(i - 3, 0)) << i;
    EXPECT_EQ(window.Quantile(1), i);
  }
}

TEST(WindowQuantile, StartsAnew) {
  WindowQuantile<4> window;
  for (int i = 0; i < 6; ++i) window.Add(100);
  window.Clear();
  EXPECT_EQ(window.count(), 0u);
  window.Add(3);
  EXPECT_EQ(window.Quantile(0.9), 3);
}

TEST(WindowQuantile, IsDeafToThreeOutliersAmong32) {
  WindowQuantile<32> window;
  for (int i = 0; i < 32; ++i) window.Add(i % 10 == 9 ? 1000 : 1);
  EXPECT_EQ(window.Quantile(0.9), 1);
  EXPECT_EQ(window.Quantile(1), 1000);
}

}  // namespace
}  // namespace maas
