// What becomes of the slices of a split request: each is filed when its run is over, in any order, and the
// request is answered by whoever brings the last one back.
//
// Threads: any; several may bring slices of one request at a time. Nothing is copied, encoded or completed
// under a lock.
#pragma once

#include <cstdint>
#include <span>

#include "maas/exec/answer.h"
#include "maas/exec/entry.h"

namespace maas {

// Copies the slice's rows, which begin at `row` of the run's outputs, into the answer of its request.
// `receipt` is that of the run. Not ok: the slice is to be given to FailSlice() with that, else to
// ReturnSlice().
Status FileSlice(const Slice& slice, std::span<const RunOutput> outputs, int64_t row, const Receipt& receipt);

// A slice that was filed is back. REQUIRES: its batch still holds it.
void ReturnSlice(const Slice& slice);

// A slice is back that failed, and its request fails with it: once, with the first failure, and what still
// waits of it does not run. REQUIRES: its batch still holds it.
void FailSlice(const Slice& slice, const Status& status);

}  // namespace maas
