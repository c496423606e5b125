// What can be had of a trace by someone who knows it all: a bound that no scheduler exceeds, and a schedule
// that knowing alone makes possible. The truth lies between.
//
// Both assume runs that take exactly Model::RunNs() times the pace: factors do not count, so the bound does
// not hold for luck with short runs.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simulation/trace.h"

namespace maas::simulation {

// The most rows with a deadline that can be answered in time, if rows were work that can be divided and
// interrupted at will, each done at the best rate that its time allows: in a batch whose run fits between
// arrival and deadline. Requests without a deadline are taken to wait.
//
// Where paces change, time is counted in work that could be done in it; a run that starts just before a
// slower pace gains what that ignores.
//
// Of rows that cost the same, as many as possible are done by always working on the earliest deadline and
// dropping what has passed. Of rows that cost differently, the cheapest first: the sets that can be done form
// a polymatroid, so what a dearer kind adds is what all up to it can get done less what those before it can.
double RowsAtMost(const Trace& trace);

// In how many distinct costs RowsAtMost() tells rows apart, at most; a cost is rounded down to the next.
inline constexpr size_t kCosts = 12;

// Rows that the best schedule found answers in time, of those that run batches in order of arrival. Exact
// when `width` is large: requests of one row with the same time each are best run in order, so that a
// schedule is a chain of batch sizes, and of the chains that answered as many only those matter that are
// neither later nor further along than another. `width`: how many of those are kept.
// -1: the trace is another: several models, other rows than 1, different times, paces, more than one run at a
// time.
int64_t RowsInOrder(const Trace& trace, size_t width);

}  // namespace maas::simulation
