#include "maas/batching/queue_policy.h"

#include <algorithm>

#include "maas/base/clock.h"

namespace maas {

uint64_t LevelOf(const PriorityOptions& options, uint64_t priority) {
  return priority == 0 || priority > options.levels ? options.default_level : priority;
}

const QueuePolicy& PolicyOf(const PriorityOptions& options, uint64_t level) {
  const auto it = options.by_level.find(level);
  return it == options.by_level.end() ? options.policy : it->second;
}

int64_t WaitsUntil(const QueuePolicy& policy, int64_t accepted_ns, int64_t timeout_ns) {
  int64_t wait_ns = policy.default_timeout_ns;
  if (wait_ns == 0) return kNever;
  if (policy.allow_timeout_override && timeout_ns > 0) wait_ns = std::min(wait_ns, timeout_ns);
  return accepted_ns + wait_ns;
}

}  // namespace maas
