// What other servers do, to compare with: a batch of whatever waits as soon as there is room to run it.
//
// Of several models that have something waiting, the one whose first request comes first in the order.
// Priorities, tenants, weights and bounds of queues count for nothing. Made by simulate.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

#include "simulation/simulator.h"

namespace maas::simulation {

struct BaselineOptions {
  bool by_deadline = false;     // Earliest deadline first, and none is started after it; else as they came.
  int64_t timeout_ns = kNever;  // A request that waited so long is dropped instead of started.
};

class Baseline final : public Scheduler {
 public:
  // `trace` is not owned and outlives this.
  Baseline(const Trace* trace, BaselineOptions options);

  Outcome Arrive(size_t request, int64_t now, int64_t* predicted_ns) override;
  bool Start(int64_t now, Batch* batch, std::vector<Drop>* drops) override;
  void End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t now, std::vector<size_t>* whole) override;
  int64_t LookAt() const override { return kNever; }

 private:
  using Key = std::pair<int64_t, size_t>;  // Smallest first; the second is the request.
  using Queue = std::priority_queue<Key, std::vector<Key>, std::greater<>>;

  // Drops what must not start any more from the front.
  void DropDead(Queue* queue, int64_t now, std::vector<Drop>* drops) const;

  const Trace* const trace_;
  const BaselineOptions options_;
  std::vector<Queue> queues_;     // By model.
  std::vector<int64_t> running_;  // By model.
  double cores_in_use_ = 0;
};

}  // namespace maas::simulation
