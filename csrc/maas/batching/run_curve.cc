#include "maas/batching/run_curve.h"

#include <algorithm>
#include <bit>

namespace maas {
namespace {

// The smallest p with 2^p >= rows.
int PointOf(int64_t rows) {
  return static_cast<int>(std::bit_width(static_cast<uint64_t>(std::max<int64_t>(rows, 1) - 1)));
}

}  // namespace

void RunCurve::Record(int64_t rows, int64_t ns) {
  double& point = ns_[static_cast<size_t>(std::min(PointOf(rows), kPoints - 1))];
  const double value = static_cast<double>(std::clamp<int64_t>(ns, 1, kMostNs));
  point = point == 0 ? value : point + kWeight * (value - point);
}

int64_t RunCurve::Estimate(int64_t rows) const {
  const int wanted = std::min(PointOf(rows), kPoints - 1);
  for (int p = wanted; p < kPoints; ++p) {
    if (ns_[static_cast<size_t>(p)] > 0) return static_cast<int64_t>(ns_[static_cast<size_t>(p)]);
  }
  for (int p = wanted - 1; p >= 0; --p) {
    const double ns = ns_[static_cast<size_t>(p)];
    if (ns > 0) {
      const double grown = ns * static_cast<double>(int64_t{1} << (wanted - p));
      return static_cast<int64_t>(std::min(grown, static_cast<double>(kMostNs)));
    }
  }
  return 0;
}

}  // namespace maas
