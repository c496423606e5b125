// The engine, and its fronts in Python: as maas_server/engine.py and front.py drive them.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "bindings/asyncio_sink.h"
#include "bindings/bindings.h"
#include "bindings/failure.h"
#include "bindings/serving_cpu.h"
#include "bindings/waker.h"
#include "maas/batching/device.h"
#include "maas/quant/quantize.h"
#include "maas/serving/engine.h"
#include "maas/wire/codec.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

using EnginePtr = std::shared_ptr<Engine>;

EnginePtr MakeEngine() { return std::make_shared<Engine>(Engine::Options{}, SteadyClock::Get()); }

void SetRoute(Engine& engine, const std::string& model,
              const std::map<int64_t, std::shared_ptr<Version>>& versions,
              const std::map<std::string, int64_t>& labels, int64_t standard, std::set<int64_t> known) {
  const auto is_none = [](const auto& each) { return each.second == nullptr; };
  if (std::any_of(versions.begin(), versions.end(), is_none))
    throw std::invalid_argument("versions: got None");
  auto route = std::make_shared<Route>();
  route->versions = versions;
  route->labels.insert(labels.begin(), labels.end());
  if (const auto it = versions.find(standard); it != versions.end()) route->standard = it->second;
  route->known = std::move(known);
  engine.routes().Set(model, std::move(route));
}

TenantPolicy MakeTenantPolicy(double weight, int64_t max_rows_in_flight, double max_rows_per_second) {
  if (!std::isfinite(weight) || weight <= 0)
    throw std::invalid_argument("weight: expected more than 0, and finite");
  if (max_rows_in_flight < 0) throw std::invalid_argument("max_rows_in_flight: expected at least 0");
  if (!std::isfinite(max_rows_per_second) || max_rows_per_second < 0)
    throw std::invalid_argument("max_rows_per_second: expected at least 0, and finite");
  return {weight, max_rows_in_flight, max_rows_per_second};
}

void SetTenants(Engine& engine, const TenantPolicy& standard,
                const std::map<std::string, TenantPolicy>& by_name) {
  engine.tenants().Configure({standard, {by_name.begin(), by_name.end()}});
}

py::list ListTenants(Engine& engine, size_t most) {
  py::list out;
  for (const Tenants::Usage& each : engine.tenants().Read(most)) {
    // Names come from callers.
    const py::str name = py::reinterpret_steal<py::str>(
        PyUnicode_DecodeUTF8(each.name.data(), static_cast<py::ssize_t>(each.name.size()), "replace"));
    out.append(py::make_tuple(name, each.weight, each.rows_in_flight, each.rows, each.refused));
  }
  return out;
}

void RegisterSharedMemory(Engine& engine, const std::string& name, const std::string& key, uint64_t offset,
                          uint64_t byte_size) {
  const Status status = engine.shared_memory().Register(name, key, offset, byte_size);
  if (!status.ok()) Raise(status);
}

py::list ListSharedMemory(Engine& engine) {
  py::list out;
  for (const auto& region : engine.shared_memory().List()) {
    out.append(py::make_tuple(region->name(), region->key(), region->offset(), region->size()));
  }
  return out;
}

enum class Protocol : uint8_t { kPredict, kModelInfer, kModelStreamInfer, kTensorFlowPredict };

const Codec& CodecOf(Protocol protocol) {
  switch (protocol) {
    case Protocol::kModelInfer:
      return ModelInferCodec();
    case Protocol::kModelStreamInfer:
      return ModelStreamInferCodec();
    case Protocol::kTensorFlowPredict:
      return TensorFlowPredictCodec();
    default:
      return PredictCodec();
  }
}

// [(instance, run), ...]
py::list InterruptsOf(const std::vector<Interrupt>& interrupts) {
  py::list out;
  for (const Interrupt& each : interrupts) out.append(py::make_tuple(each.instance, each.number));
  return out;
}

// A sink with the engine that it submits to. Python keeps it as long as the engine, whose threads may still
// complete what was submitted here.
class Front {
 public:
  Front(EnginePtr engine, size_t max_answer_bytes) : sink_(max_answer_bytes), engine_(std::move(engine)) {
    if (engine_ == nullptr) throw std::invalid_argument("engine: got None");
  }

  uint64_t Submit(Protocol protocol, const py::bytes& raw, int64_t deadline_ns, const py::object& future,
                  std::string_view tenant) {
    // The GIL stays: decoding and queueing a request take about a microsecond and move no payload, less than
    // giving the GIL away and fighting for it again.
    uint64_t ticket = 0;
    const Status status =
        sink_.Submit(engine_.get(), CodecOf(protocol), raw, deadline_ns, future, tenant, &ticket);
    if (!status.ok()) Raise(status);
    return ticket;
  }
  // An exception through C++ and Python costs several times what refusing does otherwise.
  py::object TrySubmit(Protocol protocol, const py::bytes& raw, int64_t deadline_ns, const py::object& future,
                       std::string_view tenant) {
    uint64_t ticket = 0;
    const Status status =
        sink_.Submit(engine_.get(), CodecOf(protocol), raw, deadline_ns, future, tenant, &ticket);
    if (!status.ok()) return ToPython(status);
    return py::int_(ticket);
  }
  py::tuple SubmitStream(const py::bytes& raw, int64_t deadline_ns, const py::object& stream, uint64_t group,
                         std::string_view tenant) {
    return sink_.SubmitStream(engine_.get(), raw, deadline_ns, stream, group, tenant);
  }
  void Close() { sink_.Close(); }
  uint64_t refused() const { return sink_.refused(); }
  py::list CancelStream(const py::object& stream) {
    return InterruptsOf(sink_.CancelStream(engine_.get(), stream));
  }
  py::list Cancel(uint64_t ticket) { return InterruptsOf(sink_.Cancel(engine_.get(), ticket)); }
  void Delivered() { sink_.Delivered(); }
  py::tuple Drain() { return sink_.Drain(); }
  int fd() const { return sink_.fd(); }

 private:
  AsyncioSink sink_;
  const EnginePtr engine_;  // After the sink: goes before it.
};

}  // namespace

void BindCore(py::module_& m) {
  py::class_<Device, std::shared_ptr<Device>>(m, "Device", "What versions share; see batching/device.h.")
      .def(py::init([](double cpus) {
             if (!(cpus > 0)) throw std::invalid_argument("cpus: expected more than 0");
             return std::make_shared<Device>(cpus);
           }),
           py::arg("cpus"))
      .def(
          "idle",
          [](Device& device) {
            MutexLock lock(&device.mu());
            return device.Idle(SteadyClock::Get()->Now());
          },
          "Share of the last second or two that nothing ran.")
      .def(
          "running",
          [](Device& device) {
            MutexLock lock(&device.mu());
            return device.running();
          },
          "Runs under way.");
  py::class_<TenantPolicy>(m, "TenantPolicy", "Weight and limits of a tenant; see serving/tenants.h.")
      .def(py::init(&MakeTenantPolicy), py::kw_only(), py::arg("weight") = 1.0,
           py::arg("max_rows_in_flight") = 0, py::arg("max_rows_per_second") = 0.0);
  py::class_<Engine, EnginePtr>(m, "Engine", "Routes requests to versions; see serving/engine.h.")
      .def(py::init(&MakeEngine))
      .def("set_route", &SetRoute, py::arg("model"), py::arg("versions"), py::arg("labels"),
           py::arg("default"), py::arg("known"), "Replace who answers for a model.")
      .def(
          "drop_route", [](Engine& e, const std::string& model) { e.routes().Set(model, nullptr); },
          py::arg("model"), "The model is gone.")
      .def("set_tenants", &SetTenants, py::arg("standard"), py::arg("by_name"),
           "Replace weights and limits; `standard`: of names that are not there.")
      .def("tenants", &ListTenants, py::arg("most"), "[(name, weight, rows_in_flight, rows, refused), ...]")
      .def("register_shared_memory", &RegisterSharedMemory, py::arg("name"), py::arg("key"),
           py::arg("offset"), py::arg("byte_size"), "Open a region under a name. Raises CoreError.")
      .def(
          "unregister_shared_memory",
          [](Engine& e, const std::string& name) { e.shared_memory().Unregister(name); }, py::arg("name"),
          "Forget a region; requests under way keep it.")
      .def(
          "unregister_all_shared_memory", [](Engine& e) { e.shared_memory().UnregisterAll(); },
          "Forget every region.")
      .def("shared_memory", &ListSharedMemory, "[(name, key, offset, byte_size), ...], sorted.");
  py::enum_<Protocol>(m, "Protocol", "What a request's bytes are, and its answer's.")
      .value("PREDICT", Protocol::kPredict)
      .value("MODEL_INFER", Protocol::kModelInfer)
      .value("MODEL_STREAM_INFER", Protocol::kModelStreamInfer)
      .value("TENSORFLOW_PREDICT", Protocol::kTensorFlowPredict);
  py::class_<Front>(m, "Front", "Takes requests from one asyncio loop and gives their answers back to it.")
      .def(py::init<EnginePtr, size_t>(), py::arg("engine"), py::arg("max_answer_bytes") = SIZE_MAX,
           py::keep_alive<2, 1>())
      .def("submit", &Front::Submit, py::arg("protocol"), py::arg("raw"), py::arg("deadline_ns"),
           py::arg("future"), py::arg("tenant") = "",
           "Accept one request; returns a ticket. Raises CoreError.")
      .def("try_submit", &Front::TrySubmit, py::arg("protocol"), py::arg("raw"), py::arg("deadline_ns"),
           py::arg("future"), py::arg("tenant") = "",
           "As submit(), but returns what CoreError would have for arguments instead of raising it.")
      .def("submit_stream", &Front::SubmitStream, py::arg("raw"), py::arg("deadline_ns"), py::arg("stream"),
           py::arg("group"), py::arg("tenant") = "",
           "Accept a PredictStreamRequest; returns (accepted, answers to those refused).")
      .def("close", &Front::Close, "Refuse every submit() from now on; what was accepted goes on.")
      .def_property_readonly("refused", &Front::refused, "How many submit() calls came after close().")
      .def("cancel", &Front::Cancel, py::arg("ticket"),
           "The caller went away; [(instance, run), ...] that nobody waits for any more.")
      .def("cancel_stream", &Front::CancelStream, py::arg("stream"),
           "Its caller went away, with all that is under way; as cancel().")
      .def("drain", &Front::Drain,
           "([future, result, ...], [(stream, answers, [bytes, ...]), ...], timed) since last time.")
      .def("delivered", &Front::Delivered, "What drain() returned last has been handed on.")
      .def("fileno", &Front::fd, "Readable when drain() has something.");
  m.def("leave_serving_cpu", &LeaveServingCpu,
        "This thread's CPU time is not to count as the server's; see bindings/serving_cpu.h.");
  m.def("serving_cpu_ns", &ServingCpuNs, "CPU time of all threads but those.");
  py::class_<Waker>(m, "Waker", "Wakes again and again until close(); see bindings/waker.h.")
      .def(py::init([](int64_t period_us) {
             return std::make_unique<Waker>(std::chrono::microseconds(period_us));
           }),
           py::arg("period_us"))
      .def("close", &Waker::Stop, "Wake no more.");
  m.attr("NEVER") = kNever;
  m.def(
      "simd", [] { return Name(DetectIsa()); }, "The instruction set that the kernels use.");
}

}  // namespace maas::bindings
