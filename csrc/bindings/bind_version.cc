// Specs and versions: Python describes a model, the core keeps it.
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <optional>
#include <stdexcept>

#include "bindings/bindings.h"
#include "bindings/check_spec.h"
#include "bindings/counters.h"
#include "bindings/failure.h"
#include "bindings/serving_cpu.h"
#include "bindings/types.h"
#include "maas/serving/engine.h"
#include "maas/wire/predict_decoder.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

int Axis(std::optional<int> axis) { return axis.value_or(-1); }

InputSpec MakeInput(std::string name, const std::string& datatype, std::vector<int64_t> shape,
                    std::optional<int> batch_axis, std::optional<int> pad_group, std::optional<int> pad_axis,
                    const std::string& pad_value, const std::string& auto_fill,
                    std::optional<std::vector<int64_t>> wire_shape) {
  InputSpec spec;
  spec.name = std::move(name);
  spec.datatype = ParseDataType(datatype);
  spec.dims = std::move(shape);
  spec.batch_axis = Axis(batch_axis);
  spec.pad_group = Axis(pad_group);
  spec.pad_axis = Axis(pad_axis);
  if (pad_value.size() > spec.pad_value.size()) throw std::invalid_argument("pad_value: more than 8 bytes");
  std::memcpy(spec.pad_value.data(), pad_value.data(), pad_value.size());
  spec.wire_dims = std::move(wire_shape);
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
                      std::optional<int> pad_axis, std::vector<std::string> labels,
                      std::optional<std::vector<int64_t>> wire_shape, bool any_shape) {
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
  spec.any_shape = any_shape;
  spec.labels = std::move(labels);
  spec.wire_dims = std::move(wire_shape);
  return spec;
}

std::shared_ptr<Version> MakeVersion(std::string model, int64_t number, std::vector<InputSpec> inputs,
                                     std::vector<OutputSpec> outputs,
                                     const std::vector<std::vector<int64_t>>& pads, bool batching,
                                     int64_t max_batch_size, int64_t max_request_rows, int64_t max_queue_rows,
                                     int64_t max_queue_delay_us, PriorityOptions priorities,
                                     std::vector<int64_t> preferred_batch_sizes,
                                     std::shared_ptr<Device> device, int cpus, double weight, int threads,
                                     int64_t default_deadline_us) {
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
  const auto& preferred = preferred_batch_sizes;
  if (!std::is_sorted(preferred.begin(), preferred.end()) ||
      (!preferred.empty() && (preferred.front() < 1 || preferred.back() > max_batch_size))) {
    throw std::invalid_argument("preferred_batch_sizes: expected 1 to max_batch_size, ascending");
  }
  BatchQueue::Options options;
  options.batch = {max_batch_size, max_queue_delay_us * 1000, std::move(preferred_batch_sizes)};
  options.priorities = std::move(priorities);
  options.max_queue_rows = max_queue_rows;
  if (!std::isfinite(weight) || weight <= 0)
    throw std::invalid_argument("weight: expected more than 0, and finite");
  if (threads < 1) throw std::invalid_argument("threads: expected at least 1");
  if (default_deadline_us < 0 || default_deadline_us > kMaxTimeoutUs) {
    throw std::invalid_argument("default_deadline_us: expected 0 to " + std::to_string(kMaxTimeoutUs));
  }
  options.device = std::move(device);
  options.weight = weight;
  options.threads = threads;
  options.cpus = cpus;
  options.process_cpu_ns = ServingCpuNs;
  return std::make_shared<Version>(std::move(spec), std::move(options), SteadyClock::Get(),
                                   default_deadline_us * 1000);
}

}  // namespace

void BindVersion(py::module_& m) {
  m.attr("LATENCY_BOUNDS_SECONDS") = LatencyBoundsSeconds();
  py::class_<InputSpec>(m, "InputSpec", "One input, as the core packs it; see models/plan.py.")
      .def(py::init(&MakeInput), py::kw_only(), py::arg("name"), py::arg("datatype"), py::arg("shape"),
           py::arg("batch_axis") = py::none(), py::arg("pad_group") = py::none(),
           py::arg("pad_axis") = py::none(), py::arg("pad_value") = py::bytes(),
           py::arg("auto_fill") = "none", py::arg("wire_shape") = py::none());
  py::class_<OutputSpec>(m, "OutputSpec", "One output, as the core scatters it; see models/plan.py.")
      .def(py::init(&MakeOutput), py::kw_only(), py::arg("name"), py::arg("datatype"), py::arg("shape"),
           py::arg("sources"), py::arg("batch_axis") = py::none(), py::arg("pad_group") = py::none(),
           py::arg("pad_axis") = py::none(), py::arg("labels") = std::vector<std::string>(),
           py::arg("wire_shape") = py::none(), py::arg("any_shape") = false);
  py::class_<Version, std::shared_ptr<Version>>(m, "Version",
                                                "One model version: its queue and its counters.")
      .def(py::init(&MakeVersion), py::kw_only(), py::arg("model"), py::arg("version"), py::arg("inputs"),
           py::arg("outputs"), py::arg("pad_groups"), py::arg("batching"), py::arg("max_batch_size"),
           py::arg("max_request_rows"), py::arg("max_queue_rows"), py::arg("max_queue_delay_us"),
           py::arg("priorities") = PriorityOptions(),
           py::arg("preferred_batch_sizes") = std::vector<int64_t>(), py::arg("device").none(false),
           py::arg("cpus"), py::arg("weight") = 1.0, py::arg("threads") = 1,
           py::arg("default_deadline_us") = 0)
      .def("counters", &CountersOf, "What it did so far; times in nanoseconds.")
      .def(
          "record_run", [](Version& v, int64_t rows, int64_t ns) { v.queue.SeedRun(rows, ns); },
          py::arg("rows"), py::arg("ns"), "Tell T(rows) as measured outside.")
      .def("scheduling", &SchedulingOf, "How its requests are scheduled now; times in nanoseconds.")
      .def("close", &CloseVersion, "Take no more requests; instances answer the rest and end.")
      .def(
          "abort",
          [](Version& v, int code, std::string reason, std::string message) {
            AbortVersion(&v, MakeFailure(code, std::move(reason), std::move(message)));
          },
          py::arg("code"), py::arg("reason"), py::arg("message"), "Close, and fail whatever waits.");
}

}  // namespace maas::bindings
