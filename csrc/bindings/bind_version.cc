// Specs and versions: Python describes a model, the core keeps it.
#include <pybind11/stl.h>

#include <cstring>
#include <ctime>
#include <optional>
#include <stdexcept>

#include "bindings/bindings.h"
#include "bindings/check_spec.h"
#include "bindings/failure.h"
#include "bindings/types.h"
#include "maas/serving/engine.h"
#include "maas/wire/predict_decoder.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

int Axis(std::optional<int> axis) { return axis.value_or(-1); }

InputSpec MakeInput(std::string name, const std::string& datatype, std::vector<int64_t> shape,
                    std::optional<int> batch_axis, std::optional<int> pad_group, std::optional<int> pad_axis,
                    const std::string& pad_value, const std::string& auto_fill) {
  InputSpec spec;
  spec.name = std::move(name);
  spec.datatype = ParseDataType(datatype);
  spec.dims = std::move(shape);
  spec.batch_axis = Axis(batch_axis);
  spec.pad_group = Axis(pad_group);
  spec.pad_axis = Axis(pad_axis);
  if (pad_value.size() > spec.pad_value.size()) throw std::invalid_argument("pad_value: more than 8 bytes");
  std::memcpy(spec.pad_value.data(), pad_value.data(), pad_value.size());
  if (auto_fill == "mask") {
    spec.auto_fill = AutoFill::kMask;
  } else if (auto_fill == "length") {
    spec.auto_fill = AutoFill::kLength;
  } else if (auto_fill != "none") {
    throw std::invalid_argument("auto_fill: expected none, mask or length, got " + auto_fill);
  }
  return spec;
}

OutputSpec MakeOutput(std::string name, const std::string& datatype, std::vector<int64_t> shape,
                      const std::vector<std::optional<std::pair<int, int>>>& sources,
                      std::optional<int> batch_axis, std::optional<int> pad_group,
                      std::optional<int> pad_axis) {
  OutputSpec spec;
  spec.name = std::move(name);
  spec.datatype = ParseDataType(datatype);
  spec.dims = std::move(shape);
  if (sources.size() != spec.dims.size()) throw std::invalid_argument("sources: expected one per dimension");
  for (const auto& source : sources) {
    spec.sources.push_back(source ? DimSource{source->first, source->second} : DimSource{});
  }
  spec.batch_axis = Axis(batch_axis);
  spec.pad_group = Axis(pad_group);
  spec.pad_axis = Axis(pad_axis);
  return spec;
}

int64_t ProcessCpuNs() {
  timespec ts{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

std::shared_ptr<Version> MakeVersion(std::string model, int64_t number, std::vector<InputSpec> inputs,
                                     std::vector<OutputSpec> outputs,
                                     const std::vector<std::vector<int64_t>>& pads, bool batching,
                                     int64_t max_batch_size, int64_t max_request_rows, int64_t max_queue_rows,
                                     int64_t max_queue_delay_us, int cpus) {
  ModelSpec spec;
  spec.name = std::move(model);
  spec.version = number;
  spec.inputs = std::move(inputs);
  spec.outputs = std::move(outputs);
  for (const auto& buckets : pads) spec.pad_groups.push_back({buckets});
  spec.batching = batching;
  spec.max_batch_size = max_batch_size;
  spec.max_request_rows = max_request_rows;
  CheckSpec(spec);
  if (max_queue_delay_us < 0 || max_queue_delay_us > kMaxTimeoutUs) {
    throw std::invalid_argument("max_queue_delay_us: expected 0 to " + std::to_string(kMaxTimeoutUs));
  }
  BatchQueue::Options options;
  options.batch = {max_batch_size, max_queue_delay_us * 1000};
  options.max_queue_rows = max_queue_rows;
  options.cpus = cpus;
  options.process_cpu_ns = ProcessCpuNs;
  return std::make_shared<Version>(std::move(spec), std::move(options), SteadyClock::Get());
}

py::dict Counters(Version& version) {
  const VersionCounters& c = version.counters;
  const auto get = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  using namespace py::literals;
  const uint64_t accepted = get(c.accepted);
  const uint64_t ended = get(c.succeeded) + get(c.failed) + get(c.cancelled) + get(c.expired);
  return py::dict("accepted"_a = accepted, "succeeded"_a = get(c.succeeded), "failed"_a = get(c.failed),
                  "cancelled"_a = get(c.cancelled), "expired"_a = get(c.expired),
                  "rejected"_a = get(c.rejected), "batches"_a = get(c.batches), "rows"_a = get(c.rows),
                  "run_ns"_a = get(c.run_ns), "queue_ns"_a = get(c.queue_ns),
                  "queued_rows"_a = version.queue.waiting_rows(),
                  "pending"_a = accepted > ended ? accepted - ended : 0);
}

}  // namespace

void BindVersion(py::module_& m) {
  py::class_<InputSpec>(m, "InputSpec", "One input, as the core packs it; see models/plan.py.")
      .def(py::init(&MakeInput), py::kw_only(), py::arg("name"), py::arg("datatype"), py::arg("shape"),
           py::arg("batch_axis") = py::none(), py::arg("pad_group") = py::none(),
           py::arg("pad_axis") = py::none(), py::arg("pad_value") = py::bytes(),
           py::arg("auto_fill") = "none");
  py::class_<OutputSpec>(m, "OutputSpec", "One output, as the core scatters it; see models/plan.py.")
      .def(py::init(&MakeOutput), py::kw_only(), py::arg("name"), py::arg("datatype"), py::arg("shape"),
           py::arg("sources"), py::arg("batch_axis") = py::none(), py::arg("pad_group") = py::none(),
           py::arg("pad_axis") = py::none());
  py::class_<Version, std::shared_ptr<Version>>(m, "Version",
                                                "One model version: its queue and its counters.")
      .def(py::init(&MakeVersion), py::kw_only(), py::arg("model"), py::arg("version"), py::arg("inputs"),
           py::arg("outputs"), py::arg("pad_groups"), py::arg("batching"), py::arg("max_batch_size"),
           py::arg("max_request_rows"), py::arg("max_queue_rows"), py::arg("max_queue_delay_us"),
           py::arg("cpus"))
      .def("counters", &Counters, "What it did so far; times in nanoseconds.")
      .def(
          "record_run", [](Version& v, int64_t rows, int64_t ns) { v.queue.RecordRun(rows, ns); },
          py::arg("rows"), py::arg("ns"), "Tell T(rows) as measured outside.")
      .def("close", &CloseVersion, "Take no more requests; instances answer the rest and end.")
      .def(
          "abort",
          [](Version& v, int code, std::string reason, std::string message) {
            AbortVersion(&v, MakeFailure(code, std::move(reason), std::move(message)));
          },
          py::arg("code"), py::arg("reason"), py::arg("message"), "Close, and fail whatever waits.");
}

}  // namespace maas::bindings
