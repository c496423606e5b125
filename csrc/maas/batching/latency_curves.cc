#include "maas/batching/latency_curves.h"

#include <algorithm>

namespace maas {

const LatencyCurve& LatencyCurves::Find(const std::string& key) const {
  static const LatencyCurve kUnknown;
  if (key.empty()) return standard_;
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? kUnknown : it->second.curve;
}

void LatencyCurves::Record(const std::string& key, int64_t rows, int64_t typical_ns, int64_t high_ns,
                           int64_t ns, int64_t now) {
  check_.Record(typical_ns, high_ns, ns);
  if (key.empty()) {
    standard_.Record(rows, ns, now);
    return;
  }
  if (by_key_.size() >= kMostBuckets && !by_key_.contains(key)) {
    by_key_.erase(std::min_element(by_key_.begin(), by_key_.end(), [](const auto& a, const auto& b) {
      return a.second.ran_ns < b.second.ran_ns;
    }));
  }
  Bucket& bucket = by_key_[key];
  bucket.ran_ns = now;
  bucket.curve.Record(rows, ns, now);
}

}  // namespace maas
