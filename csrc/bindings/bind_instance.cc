// One lane of execution, driven by a Python thread: next() blocks, the runner runs, finish() answers and goes
// on.
#include <pybind11/stl.h>

#include <optional>

#include "bindings/bindings.h"
#include "bindings/failure.h"
#include "bindings/types.h"
#include "maas/exec/instance.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

// Throws unless the instance is between next() and finish() or fail().
void RequireRun(const Instance& instance) {
  if (!instance.running()) throw std::runtime_error("no run is prepared: call next() first");
}

// The key of the prepared run, or None at the end.
std::optional<uint64_t> Advance(Instance& instance) {
  // Waiting and packing touch no Python object: requests are borrowed bytes that the sink holds references
  // to.
  py::gil_scoped_release release;
  if (!instance.Next()) return std::nullopt;
  return instance.plan().key;
}

std::optional<uint64_t> Next(Instance& instance) {
  if (instance.running()) throw std::runtime_error("a run is prepared: call finish() or fail() first");
  return Advance(instance);
}

std::optional<uint64_t> DeliverAndAdvance(Instance& instance) {
  // Encoding writes into bytes objects that nobody else has seen yet and that Reserve() made under the GIL.
  py::gil_scoped_release release;
  instance.Deliver();
  if (!instance.Next()) return std::nullopt;
  return instance.plan().key;
}

py::array Wrap(const RunPlan::Tensor& tensor, DataType type, const py::handle& owner, bool writeable) {
  const std::vector<py::ssize_t> shape(tensor.dims.begin(), tensor.dims.end());
  py::array array(NumpyDtype(type), shape, tensor.data, owner);
  if (!writeable) array.attr("setflags")(py::arg("write") = false);
  return array;
}

py::object WrapStrings(const std::vector<std::string_view>& strings, const Dims& dims) {
  const std::vector<py::ssize_t> shape(dims.begin(), dims.end());
  py::array array(py::dtype("O"), shape);
  auto** out = static_cast<PyObject**>(array.mutable_data());
  for (size_t i = 0; i < strings.size(); ++i) {
    py::bytes value(strings[i].data(), strings[i].size());
    Py_XDECREF(out[i]);
    out[i] = value.release().ptr();
  }
  return array;
}

// The tensors of the prepared run. Valid as long as its key, or until the next step when the key is 0.
py::tuple Arrays(const py::object& self) {
  auto& instance = self.cast<Instance&>();
  RequireRun(instance);
  const RunPlan& plan = instance.plan();
  const ModelSpec& spec = instance.version().spec;
  py::tuple inputs(plan.inputs.size());
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const DataType type = spec.inputs[i].datatype;
    if (type == DataType::kBytes) {
      inputs[i] = WrapStrings(instance.strings(i), plan.inputs[i].dims);
    } else {
      inputs[i] = Wrap(plan.inputs[i], type, self, false);
    }
  }
  py::tuple outputs(plan.outputs.size());
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    outputs[i] = plan.outputs[i].data == nullptr
                     ? py::object(py::none())
                     : py::object(Wrap(plan.outputs[i], spec.outputs[i].datatype, self, true));
  }
  return py::make_tuple(inputs, outputs);
}

void ReadStrings(const py::array& array, RunOutput* out, std::vector<py::object>* keep) {
  const py::object flat = array.attr("ravel")().attr("tolist")();
  for (const py::handle item : flat) {
    // Runtimes answer strings as str or bytes; on the wire both are bytes.
    py::object bytes =
        py::isinstance<py::str>(item) ? item.attr("encode")() : py::reinterpret_borrow<py::object>(item);
    char* data = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(bytes.ptr(), &data, &size) != 0) throw py::error_already_set();
    out->strings.emplace_back(data, static_cast<size_t>(size));
    keep->push_back(std::move(bytes));
  }
}

// Reads what the runner returned; None stands for "all written where the plan said".
std::vector<RunOutput> ReadOutputs(const Instance& instance, const py::object& outputs,
                                   std::vector<py::object>* keep) {
  const ModelSpec& spec = instance.version().spec;
  std::vector<RunOutput> out(spec.outputs.size());
  if (outputs.is_none()) return out;
  const auto sequence = outputs.cast<py::sequence>();
  if (sequence.size() != out.size()) {
    throw std::invalid_argument("outputs: expected " + std::to_string(out.size()) + ", got " +
                                std::to_string(sequence.size()));
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const OutputSpec& output = spec.outputs[i];
    const py::object item = sequence[i];
    if (!py::isinstance<py::array>(item)) {
      throw std::invalid_argument("output '" + output.name + "': expected a numpy array");
    }
    auto array = item.cast<py::array>();
    if (array.ndim() > kMaxRank) {
      throw std::invalid_argument("output '" + output.name + "': expected a rank of at most " +
                                  std::to_string(kMaxRank) + ", got " + std::to_string(array.ndim()));
    }
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) out[i].dims.push_back(array.shape(axis));
    if (output.datatype == DataType::kBytes) {
      ReadStrings(array, &out[i], keep);
      continue;
    }
    if (!HoldsType(array.dtype(), output.datatype)) {
      throw std::invalid_argument("output '" + output.name + "': expected " +
                                  std::string(Name(output.datatype)) + ", got an array of " +
                                  py::str(array.dtype()).cast<std::string>());
    }
    if ((array.flags() & py::array::c_style) == 0) {
      array = py::array::ensure(array, py::array::c_style);
      if (!array) throw std::bad_alloc();
    }
    out[i].data = static_cast<const std::byte*>(array.data());
    keep->push_back(std::move(array));
  }
  return out;
}

std::optional<uint64_t> Finish(Instance& instance, const py::object& outputs) {
  RequireRun(instance);
  // Keeps the runner's arrays until their bytes have been copied out.
  std::vector<py::object> keep;
  instance.Finish(ReadOutputs(instance, outputs, &keep));
  if (keep.empty()) return DeliverAndAdvance(instance);
  {
    // As in DeliverAndAdvance; apart from it because the arrays must not be held through the wait for a
    // batch.
    py::gil_scoped_release release;
    instance.Deliver();
  }
  keep.clear();
  return Advance(instance);
}

std::optional<uint64_t> Fail(Instance& instance, int code, std::string reason, std::string message) {
  RequireRun(instance);
  instance.Fail(MakeFailure(code, std::move(reason), std::move(message)));
  return DeliverAndAdvance(instance);
}

}  // namespace

void BindInstance(py::module_& m) {
  py::class_<Instance>(m, "Instance", "One lane of execution; for one thread at a time.")
      .def(py::init<std::shared_ptr<Version>>(), py::arg("version").none(false))
      .def_property_readonly("id", &Instance::id, "As Front.cancel() names it.")
      .def_property_readonly("run", &Instance::run_number,
                             "Number of the prepared run, as Front.cancel() names it.")
      .def("next", &Next, "Wait for a batch and pack it; its key (0: keep nothing), or None at the end.")
      .def("arrays", &Arrays, "(inputs, outputs) of the prepared run; None for outputs of unknown shape.")
      .def("forgotten", &Instance::forgotten, "Keys whose memory is gone since the last run.")
      .def("finish", &Finish, py::arg("outputs"),
           "Answer the run (None: outputs written in place), then next().")
      .def("fail", &Fail, py::arg("code"), py::arg("reason"), py::arg("message"),
           "Fail the run, then next().");
}

}  // namespace maas::bindings
