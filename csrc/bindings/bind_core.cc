// The engine and its asyncio sink, as maas_server/engine.py drives them.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "bindings/asyncio_sink.h"
#include "bindings/bindings.h"
#include "maas/quant/quantize.h"
#include "maas/serving/engine.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

// Members in the order of construction: the engine's threads end before the sink goes.
class Core {
 public:
  Core() : engine_(Engine::Options{}, SteadyClock::Get()) {}

  uint64_t Submit(const py::bytes& raw, int64_t deadline_ns, const py::object& future) {
    // The GIL stays: decoding and queueing a request take about a microsecond and move no payload, less than
    // giving the GIL away and fighting for it again.
    return sink_.Submit(&engine_, raw, deadline_ns, future);
  }
  py::tuple SubmitStream(const py::bytes& raw, int64_t deadline_ns, const py::object& stream,
                         uint64_t group) {
    return sink_.SubmitStream(&engine_, raw, deadline_ns, stream, group);
  }
  void CancelStream(const py::object& stream) { sink_.CancelStream(&engine_, stream); }
  void Cancel(uint64_t ticket) { sink_.Cancel(&engine_, ticket); }
  py::tuple Drain() { return sink_.Drain(); }
  int fd() const { return sink_.fd(); }

  void SetRoute(const std::string& model, const std::map<int64_t, std::shared_ptr<Version>>& versions,
                const std::map<std::string, int64_t>& labels, int64_t standard, std::set<int64_t> known) {
    const auto is_none = [](const auto& each) { return each.second == nullptr; };
    if (std::any_of(versions.begin(), versions.end(), is_none))
      throw std::invalid_argument("versions: got None");
    auto route = std::make_shared<Route>();
    route->versions = versions;
    route->labels.insert(labels.begin(), labels.end());
    if (const auto it = versions.find(standard); it != versions.end()) route->standard = it->second;
    route->known = std::move(known);
    engine_.routes().Set(model, std::move(route));
  }
  void DropRoute(const std::string& model) { engine_.routes().Set(model, nullptr); }

 private:
  AsyncioSink sink_;
  Engine engine_;
};

}  // namespace

void BindCore(py::module_& m) {
  py::class_<Core>(m, "Core", "Takes requests from an asyncio loop and gives their answers back to it.")
      .def(py::init<>())
      .def("submit", &Core::Submit, py::arg("raw"), py::arg("deadline_ns"), py::arg("future"),
           "Accept a PredictRequest; returns a ticket. Raises CoreError.")
      .def("submit_stream", &Core::SubmitStream, py::arg("raw"), py::arg("deadline_ns"), py::arg("stream"),
           py::arg("group"), "Accept a PredictStreamRequest; returns (accepted, answers to those refused).")
      .def("cancel", &Core::Cancel, py::arg("ticket"), "The caller went away.")
      .def("cancel_stream", &Core::CancelStream, py::arg("stream"),
           "Its caller went away, with all that is under way.")
      .def("drain", &Core::Drain,
           "([future, result, ...], [(stream, answers, [bytes, ...]), ...]) since last time.")
      .def("fileno", &Core::fd, "Readable when drain() has something.")
      .def("set_route", &Core::SetRoute, py::arg("model"), py::arg("versions"), py::arg("labels"),
           py::arg("default"), py::arg("known"), "Replace who answers for a model.")
      .def("drop_route", &Core::DropRoute, py::arg("model"), "The model is gone.");
  m.attr("NEVER") = kNever;
  m.def(
      "simd", [] { return Name(DetectIsa()); }, "The instruction set that the kernels use.");
}

}  // namespace maas::bindings
