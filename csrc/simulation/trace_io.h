// How a trace comes in and a result goes out: lines of text, then arrays of little-endian 8-byte numbers.
//
//   in      = *( line LF ) "data" LF *column *factors
//   line    = "policy" SP name | "timeout" SP ns | "width" SP count | "cores" SP number
//           | "model" SP max_batch_rows SP max_queue_rows SP instances SP weight SP threads SP base_ns SP
//           row_ns
//             SP seed_factor SP count                  ; count: of its factors
//           | "tenant" SP weight | "pace" SP from_ns SP factor | "requests" SP count
//   column  = int64 of each request: arrival_ns, deadline_ns (-1: none), rows, model, tenant, priority
//   factors = float64, of each model in turn
//
//   out     = "requests" SP count SP "runs" SP count SP "lapses" SP count LF
//             int64 of each request: outcome, start_ns, end_ns, batch_rows, predicted_ns
//             float64 of each request: work_ns
//
// The policies "bound" and "in_order" answer with one line: "rows" SP number LF.
// Threads: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

#include "simulation/simulator.h"
#include "simulation/trace.h"

namespace maas::simulation {

struct Job {
  std::string policy;
  int64_t timeout_ns = kNever;
  size_t width = 16;
  Trace trace;
};

// An empty string, or what is wrong with the input.
std::string ReadJob(std::istream& in, Job* job);

void WriteResult(const Result& result, uint64_t lapses, std::ostream& out);

}  // namespace maas::simulation
