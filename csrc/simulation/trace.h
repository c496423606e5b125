// What a simulation is given: requests as they arrive, the models that they are for, and the device.
//
// Everything random was drawn before: the same trace gives the same result.
// Threads: plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "maas/base/clock.h"

namespace maas::simulation {

struct Request {
  int64_t arrival_ns = 0;
  int64_t deadline_ns = kNever;
  int64_t rows = 1;
  size_t queue = 0;
  size_t tenant = 0;
  uint64_t priority = 0;
};

// One model: how it is configured, and how long its runs take.
struct Model {
  int64_t max_batch_rows = 64;
  int64_t max_queue_rows = 4096;
  int64_t instances = 1;  // Runs of it under way at a time, at most.
  double weight = 1;
  int threads = 1;  // That compute in a run.
  double base_ns = 0;
  double row_ns = 0;
  // What a scheduler is told before the first request, over the truth; 0: it is told nothing.
  double seed_factor = 1;
  // How much longer than it should each of its runs takes, in order of their start, over and over. Empty:
  // none.
  std::vector<double> factors{};

  // A run of `rows` rows when nothing disturbs it. Unit: nanoseconds.
  double RunNs(int64_t rows) const { return base_ns + row_ns * static_cast<double>(rows); }
};

// From `from_ns` on, runs that start take `factor` as long, on the whole device.
struct Pace {
  int64_t from_ns = 0;
  double factor = 1;
};

struct Trace {
  double cores = 1;
  std::vector<Model> models;
  std::vector<double> tenant_weights{1.0};
  std::vector<Pace> paces{};      // In order of time.
  std::vector<Request> requests;  // In order of arrival.
};

}  // namespace maas::simulation
