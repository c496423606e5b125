// Traces for tests, with times in milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "simulation/simulator.h"
#include "simulation/trace.h"

namespace maas::simulation {

inline constexpr int64_t kMs = 1'000'000;

// T(n) = 6 ms + 1 ms n.
inline Model TestModel(int64_t max_batch_rows = 4) {
  Model model;
  model.max_batch_rows = max_batch_rows;
  model.base_ns = 6.0 * kMs;
  model.row_ns = 1.0 * kMs;
  return model;
}

// `patience_ms` < 0: no deadline.
inline Request Ask(int64_t arrival_ms, int64_t patience_ms, int64_t rows = 1, size_t queue = 0) {
  Request request;
  request.arrival_ns = arrival_ms * kMs;
  request.deadline_ns = patience_ms < 0 ? kNever : (arrival_ms + patience_ms) * kMs;
  request.rows = rows;
  request.queue = queue;
  return request;
}

inline Trace OneModel(std::vector<Request> requests, Model model = TestModel()) {
  Trace trace;
  trace.models.push_back(model);
  trace.requests = std::move(requests);
  return trace;
}

// Poisson arrivals for `seconds` at `load` times what the first model can do at best; each waits as long as
// one of `patience_ms` says.
inline Trace RandomTrace(uint64_t seed, double load, double seconds, const std::vector<int64_t>& patience_ms,
                         Model model = TestModel(16)) {
  std::mt19937_64 random(seed);
  const double best = model.RunNs(model.max_batch_rows) / static_cast<double>(model.max_batch_rows);
  std::exponential_distribution<double> gap(load / best);
  Trace trace = OneModel({}, model);
  double at = gap(random);
  for (; at < seconds * 1e9; at += gap(random)) {
    const int64_t patience = patience_ms[random() % patience_ms.size()];
    Request request = Ask(0, patience);
    request.arrival_ns = static_cast<int64_t>(at);
    request.deadline_ns = patience < 0 ? kNever : request.arrival_ns + patience * kMs;
    trace.requests.push_back(request);
  }
  return trace;
}

// Rows with a deadline that were answered in time.
inline int64_t GoodRows(const Trace& trace, const Result& result) {
  int64_t rows = 0;
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    const Request& request = trace.requests[i];
    const Answer& answer = result.answers[i];
    if (request.deadline_ns == kNever || answer.outcome != Outcome::kAnswered) continue;
    if (answer.end_ns <= request.deadline_ns) rows += request.rows;
  }
  return rows;
}

// Milliseconds at which each request ended.
inline std::vector<int64_t> EndsMs(const Result& result) {
  std::vector<int64_t> ends;
  for (const Answer& answer : result.answers) ends.push_back(answer.end_ns / kMs);
  return ends;
}

inline std::vector<Outcome> OutcomesOf(const Result& result) {
  std::vector<Outcome> outcomes;
  for (const Answer& answer : result.answers) outcomes.push_back(answer.outcome);
  return outcomes;
}

}  // namespace maas::simulation
