#include <pybind11/stl.h>

#include <stdexcept>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/failure.h"
#include "maas/wire/model_infer_error.h"
#include "maas/wire/predict_encoder.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

// Owned by the module, which lives as long as the interpreter.
PyObject* core_error = nullptr;

// Messages quote what strangers sent; whatever is not UTF-8 is replaced rather than lost to a second error.
py::str Text(const std::string& s) {
  PyObject* text = PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "replace");
  if (text == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(text);
}

}  // namespace

py::tuple ToPython(const Status& status) {
  py::tuple violations(status.violations().size());
  for (size_t i = 0; i < status.violations().size(); ++i) {
    const Violation& v = status.violations()[i];
    violations[i] = py::make_tuple(Text(v.field), Text(v.description));
  }
  return py::make_tuple(static_cast<int>(status.code()), Text(status.reason()), Text(status.message()),
                        violations, status.retry_after_ns(), py::bytes(EncodeStatus(status)));
}

Status MakeFailure(int code, std::string reason, std::string message) {
  if (code <= static_cast<int>(Code::kOk) || code > static_cast<int>(Code::kUnavailable)) {
    throw std::invalid_argument("code: expected 1 to 14, got " + std::to_string(code));
  }
  return Status(static_cast<Code>(code), std::move(reason), std::move(message));
}

void Raise(const Status& status) {
  PyErr_SetObject(core_error, ToPython(status).ptr());
  throw py::error_already_set();
}

void BindErrors(py::module_& m) {
  core_error = PyErr_NewExceptionWithDoc(
      "maas_server._core.CoreError",
      "args: (code, reason, message, violations, retry_after_ns, google.rpc.Status bytes).", nullptr,
      nullptr);
  if (core_error == nullptr) throw py::error_already_set();
  m.add_object("CoreError", py::reinterpret_borrow<py::object>(core_error));
  m.attr("NOT_SERVING") = py::frozenset(py::cast(NotServingReasons()));
  m.def("triton_phrase", &TritonPhrase, py::arg("reason"), py::arg("model"), py::arg("version"),
        "What clients of Triton look for; empty: no sentence is about that. See wire/model_infer_error.h.");
}

}  // namespace maas::bindings
