// Priority levels, and how long and how many requests of each may wait: pure functions of the configuration.
//
// Level 1 is the highest. A level's policy bounds the time until a request begins to run, not the time until
// it is answered: that is its deadline.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <map>

namespace maas {

enum class TimeoutAction : uint8_t {
  kReject,  // The request leaves unrun.
  kDelay,   // It runs after the others of its level.
};

struct QueuePolicy {
  int64_t default_timeout_ns = 0;       // How long a request may wait; 0: for ever.
  bool allow_timeout_override = false;  // Whether a request's own timeout, if shorter, takes its place.
  TimeoutAction timeout_action = TimeoutAction::kReject;
  int64_t max_queue_size = 0;  // Requests that may wait; 0: no such limit.

  bool operator==(const QueuePolicy&) const = default;
};

struct PriorityOptions {
  uint64_t levels = 1;
  uint64_t default_level = 1;  // 1 to `levels`.
  QueuePolicy policy;
  std::map<uint64_t, QueuePolicy> by_level;  // Instead of `policy`.

  // Whether it makes no difference.
  bool trivial() const { return levels == 1 && policy == QueuePolicy() && by_level.empty(); }
};

// The level of a request that asks for `priority`: the default one for 0, and for what is no level.
uint64_t LevelOf(const PriorityOptions& options, uint64_t priority);

const QueuePolicy& PolicyOf(const PriorityOptions& options, uint64_t level);

// Until when a request may wait to begin; kNever: for ever. `timeout_ns`: its own; 0: none.
int64_t WaitsUntil(const QueuePolicy& policy, int64_t accepted_ns, int64_t timeout_ns);

}  // namespace maas
