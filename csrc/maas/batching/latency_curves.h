// T(n) of each shape bucket of a version, and whether it may be relied upon.
//
// What was measured at load counts for the bucket of models that have one shape; other buckets are learned
// from their runs. Beyond kMostBuckets, buckets share one curve.
// Threads: none of its own; the owner's lock guards it. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "maas/batching/latency_curve.h"
#include "maas/batching/prediction_check.h"

namespace maas {

class LatencyCurves {
 public:
  static constexpr size_t kMostBuckets = 64;

  // The curve of a bucket; it lives as long as this. Of() makes one if there is none and room for one.
  LatencyCurve* Of(const std::string& lane_key);
  const LatencyCurve& Find(const std::string& lane_key) const;

  // As measured at load.
  void Seed(int64_t rows, int64_t ns) { standard_.Seed(rows, ns); }
  // A run that was predicted to take `typical_ns` (0: nothing was known), at most `high_ns`, took `ns`.
  void Record(LatencyCurve* curve, int64_t rows, int64_t typical_ns, int64_t high_ns, int64_t ns,
              int64_t now);

  // Whether estimates from the curve may be acted upon.
  bool Trusted(const LatencyCurve& curve) const { return check_.trusted() && curve.known(); }
  const PredictionCheck& check() const { return check_; }

  // Calls visit(lane_key, curve) for all that are known; the shared one has the key "".
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    if (standard_.known()) visit(std::string(), standard_);
    for (const auto& [key, curve] : by_key_) {
      if (curve.known()) visit(key, curve);
    }
  }

 private:
  LatencyCurve standard_;  // Of the bucket "", and of those for which there is no room.
  std::unordered_map<std::string, LatencyCurve> by_key_;
  PredictionCheck check_;
};

}  // namespace maas
