#include "bindings/counters.h"

#include <chrono>

#include "maas/model/lane_key.h"

namespace py = pybind11;
using py::literals::operator""_a;

namespace maas::bindings {
namespace {

// When an instant of the version's clock was, by the wall clock of now; 0 for a negative one.
int64_t UnixMs(const Version& version, int64_t instant_ns) {
  if (instant_ns < 0) return 0;
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const int64_t wall_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count();
  return (wall_ns - (version.clock->Now() - instant_ns)) / 1'000'000;
}

py::tuple SizesOf(const RunStatistics::Snapshot& statistics) {
  py::tuple sizes(statistics.sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    const BatchSizeTotals& each = statistics.sizes[i];
    sizes[i] =
        py::make_tuple(each.rows, each.batches, each.times.pack_ns, each.times.run_ns, each.times.answer_ns);
  }
  return sizes;
}

}  // namespace

py::dict CountersOf(Version& version) {
  const VersionCounters& c = version.counters;
  const auto get = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  // Before `accepted`: what ends meanwhile must not make more ends than beginnings.
  const uint64_t ended = get(c.succeeded) + get(c.failed) + get(c.cancelled) + get(c.expired);
  const uint64_t accepted = get(c.accepted);
  const RunStatistics::Snapshot statistics = version.statistics.Read();
  py::tuple latency(statistics.latency.size());
  for (size_t i = 0; i < latency.size(); ++i) latency[i] = py::int_(statistics.latency[i]);
  return py::dict(
      "accepted"_a = accepted, "succeeded"_a = get(c.succeeded), "failed"_a = get(c.failed),
      "cancelled"_a = get(c.cancelled), "expired"_a = get(c.expired), "rejected"_a = get(c.rejected),
      "batches"_a = get(c.batches), "rows"_a = get(c.rows), "run_ns"_a = get(c.run_ns),
      "queue_ns"_a = get(c.queue_ns), "queued_rows"_a = version.queue.waiting_rows(),
      "pending"_a = accepted > ended ? accepted - ended : 0, "succeeded_ns"_a = get(c.succeeded_ns),
      "failed_ns"_a = get(c.failed_ns), "cancelled_ns"_a = get(c.cancelled_ns),
      "expired_ns"_a = get(c.expired_ns), "timed_out"_a = get(c.timed_out),
      "pack_ns"_a = statistics.batches.pack_ns, "answer_ns"_a = statistics.batches.answer_ns,
      "requests_pack_ns"_a = statistics.requests.pack_ns, "requests_run_ns"_a = statistics.requests.run_ns,
      "requests_answer_ns"_a = statistics.requests.answer_ns,
      "last_unix_ms"_a = UnixMs(version, get(c.last_run_ns)), "batch_sizes"_a = SizesOf(statistics),
      "latency"_a = latency, "hopeless"_a = get(c.hopeless), "refused_late"_a = get(c.refused_late),
      "refused_tenant"_a = get(c.refused_tenant), "late"_a = get(c.late),
      "interrupted"_a = get(c.interrupted));
}

py::dict SchedulingOf(Version& version) {
  const BatchQueue::Scheduling read = version.queue.ReadScheduling(version.clock->Now());
  py::list curves;
  for (const auto& [key, points] : version.queue.ReadCurves()) {
    py::list list;
    for (const LatencyCurve::Point& point : points) {
      list.append(py::make_tuple(point.rows, point.typical_ns, point.high_ns));
    }
    curves.append(py::make_tuple(SizeKeyText(version.spec, key), list));
  }
  return py::dict("mode"_a = read.predictive ? "predictive" : "work_conserving", "lapses"_a = read.lapses,
                  "predicted_ns"_a = read.predicted_ns, "headroom"_a = read.headroom,
                  "margin_ns"_a = version.counters.margin_ns.load(), "curves"_a = curves,
                  "device_idle"_a = read.device_idle);
}

py::tuple LatencyBoundsSeconds() {
  py::tuple bounds(LatencyHistogram::kBoundsNs.size());
  for (size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = static_cast<double>(LatencyHistogram::kBoundsNs[i]) / 1e9;
  }
  return bounds;
}

}  // namespace maas::bindings
