// Which requests make up the next batch, and whether a new one can be answered in time: pure functions of
// what waits, the clock and T(n).
//
// The batch. Requests stand in order of service. Those that could not be answered in time even if they ran
// now are hopeless. A batch of up to n rows is made of the first, in that order, who have time for T(n);
// usually that is all that waits, or a full batch. When it is not, because some have little time left, it may
// be better to pass them over: a small batch for them costs the device time that more requests behind them
// would have had (Nexus calls it early drop). So each such n is weighed: the rows that get answered in time,
// of what waits, less what the time is worth. Time is worth nothing while the device can serve all that is
// asked for, and at overload as many rows as it could serve in it. What has no deadline, or a lower priority,
// counts for nothing there: nobody is given up for its sake.
//
// Admission. A new request is served behind the rows ahead of it, in batches as large as can be. Its own
// batch is at least as large as overload will make it: where deadlines are short, serving all that is asked
// for takes batches so large that only those who come late enough before their beginning can be in them, and
// the others are told at once.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "maas/batching/latency_curve.h"

namespace maas {

// One request that waits.
struct Waiting {
  int64_t rows = 0;
  int64_t due_ns = 0;  // When its answer must be ready; kNever: whenever.
  bool counts = true;  // Whether anything is given up for its sake; else it fills up what the others leave.
};

// Which of those that wait make the batch: in order, all that are due no earlier than due_from_ns, until the
// next would make more than max_rows rows.
struct Choice {
  int64_t due_from_ns = 0;
  int64_t max_rows = 0;
};

// What a row that is served in time is worth in device time, in rows per nanosecond: 0 while `demand` (rows
// per nanosecond) is well below `best_rate`, that rate at overload.
double TimePrice(double demand, double best_rate);

// Whether a request of `rows` rows cannot be answered in time any more, even if it runs now.
bool IsHopeless(const LatencyCurve& curve, int64_t max_rows, const Waiting& one, int64_t now);

// The next batch of at most `max_rows` rows, never empty unless the first has more. `order`: in order of
// service. REQUIRES: curve.known(), !order.empty(), none is hopeless.
Choice ChooseBatch(const LatencyCurve& curve, std::span<const Waiting> order, int64_t max_rows,
                   double time_price, int64_t now);

// How large batches must be for as much as possible of `demand` (rows per nanosecond) to be answered within
// `patience_ns` of arrival; 1 to max_rows. REQUIRES: curve.known().
int64_t TargetRows(const LatencyCurve& curve, int64_t max_rows, double demand, int64_t patience_ns);

// The fewest rows of a batch that serves nearly as many in its time as one of `max_rows` does: larger ones
// gain little, and whoever comes during their runs waits longer. REQUIRES: curve.known().
int64_t ThriftyRows(const LatencyCurve& curve, int64_t max_rows);

// What stands between a new request and its answer.
struct Ahead {
  int64_t free_ns = 0;      // When the device can begin a run.
  int64_t rows = 0;         // Of its lane, to be served before it.
  int64_t other_ns = 0;     // Runs of other lanes of the version that come before it.
  double share = 1;         // Of the device that the version has while others want it too: (0, 1].
  int64_t target_rows = 1;  // TargetRows().
};
// When a request of `rows` rows that is served behind them will be answered. REQUIRES: curve.known().
int64_t PredictAnswer(const LatencyCurve& curve, int64_t max_rows, const Ahead& ahead, int64_t rows);

}  // namespace maas
