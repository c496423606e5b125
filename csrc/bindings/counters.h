// What a version did so far, for Python.
#pragma once

#include <pybind11/pybind11.h>

#include "maas/exec/version.h"

namespace maas::bindings {

// The fields of models/host.py's Counters; `batch_sizes` as (rows, batches, pack_ns, run_ns, answer_ns).
// REQUIRES: the GIL.
pybind11::dict CountersOf(Version& version);

// `_core.Version.scheduling()`. REQUIRES: the GIL.
pybind11::dict SchedulingOf(Version& version);

// The upper bounds of the classes that `latency` counts, without the last. REQUIRES: the GIL.
pybind11::tuple LatencyBoundsSeconds();

}  // namespace maas::bindings
