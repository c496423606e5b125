// T(n) of each shape bucket of a version, and whether it may be relied upon.
//
// What was measured at load counts for the bucket of models that have one shape; other buckets are learned
// from their runs. Of more than kMostBuckets those that ran last are remembered.
// Owned by a BatchQueue; the device's mutex guards it. Threads: none of its own. Time is an argument.
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

  // The curve of a bucket; one of which nothing is known if it never ran. Valid until the next Record().
  const LatencyCurve& Find(const std::string& key) const;

  // As measured at load.
  void Seed(int64_t rows, int64_t ns) { standard_.Seed(rows, ns); }
  // A run that was predicted to take `typical_ns` (0: nothing was known), at most `high_ns`, took `ns`.
  void Record(const std::string& key, int64_t rows, int64_t typical_ns, int64_t high_ns, int64_t ns,
              int64_t now);

  // Whether estimates from the curve may be acted upon.
  bool Trusted(const LatencyCurve& curve) const { return check_.trusted() && curve.known(); }
  // Whether they are new enough besides for something to be lost on their word.
  bool Firm(const LatencyCurve& curve, int64_t now) const { return Trusted(curve) && curve.Fresh(now); }
  const PredictionCheck& check() const { return check_; }

  // Calls visit(key, curve) for all that are known.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    if (standard_.known()) visit(std::string(), standard_);
    for (const auto& [key, bucket] : by_key_) visit(key, bucket.curve);
  }

 private:
  struct Bucket {
    LatencyCurve curve;
    int64_t ran_ns = 0;
  };
  LatencyCurve standard_;  // Of the bucket "".
  std::unordered_map<std::string, Bucket> by_key_;
  PredictionCheck check_;
};

}  // namespace maas
