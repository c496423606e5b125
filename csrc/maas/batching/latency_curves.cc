#include "maas/batching/latency_curves.h"

namespace maas {

LatencyCurve* LatencyCurves::Of(const std::string& lane_key) {
  if (lane_key.empty()) return &standard_;
  const auto it = by_key_.find(lane_key);
  if (it != by_key_.end()) return &it->second;
  return by_key_.size() < kMostBuckets ? &by_key_[lane_key] : &standard_;
}

const LatencyCurve& LatencyCurves::Find(const std::string& lane_key) const {
  static const LatencyCurve kUnknown;
  if (lane_key.empty()) return standard_;
  const auto it = by_key_.find(lane_key);
  if (it != by_key_.end()) return it->second;
  return by_key_.size() < kMostBuckets ? kUnknown : standard_;
}

void LatencyCurves::Record(LatencyCurve* curve, int64_t rows, int64_t typical_ns, int64_t high_ns, int64_t ns,
                           int64_t now) {
  check_.Record(typical_ns, high_ns, ns);
  curve->Record(rows, ns, now);
}

}  // namespace maas
