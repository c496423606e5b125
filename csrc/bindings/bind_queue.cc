// Priority levels and queue policies, as Python configures them.
#include <pybind11/stl.h>

#include <map>
#include <stdexcept>
#include <string>

#include "bindings/bindings.h"
#include "maas/batching/queue_policy.h"
#include "maas/wire/decoding.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

// A level is twice itself in the queue, and more than so many distinguish nothing.
constexpr uint64_t kMaxLevels = uint64_t{1} << 32;

QueuePolicy MakePolicy(int64_t default_timeout_us, bool allow_timeout_override,
                       const std::string& timeout_action, int64_t max_queue_size) {
  if (default_timeout_us < 0 || default_timeout_us > kMaxTimeoutUs) {
    throw std::invalid_argument("default_timeout_us: expected 0 to " + std::to_string(kMaxTimeoutUs));
  }
  if (max_queue_size < 0) throw std::invalid_argument("max_queue_size: expected at least 0");
  if (timeout_action != "reject" && timeout_action != "delay") {
    throw std::invalid_argument("timeout_action: expected reject or delay, got " + timeout_action);
  }
  const bool delay = timeout_action == "delay";
  return {default_timeout_us * 1000, allow_timeout_override,
          delay ? TimeoutAction::kDelay : TimeoutAction::kReject, max_queue_size};
}

PriorityOptions MakePriorities(uint64_t levels, uint64_t standard, const QueuePolicy& policy,
                               std::map<uint64_t, QueuePolicy> by_level) {
  if (levels < 1 || levels > kMaxLevels || standard < 1 || standard > levels) {
    throw std::invalid_argument("levels, default: expected 1 <= default <= levels <= 2^32");
  }
  return {levels, standard, policy, std::move(by_level)};
}

}  // namespace

void BindQueue(py::module_& m) {
  py::class_<QueuePolicy>(m, "QueuePolicy", "How long and how many requests of a priority level may wait.")
      .def(py::init(&MakePolicy), py::kw_only(), py::arg("default_timeout_us") = 0,
           py::arg("allow_timeout_override") = false, py::arg("timeout_action") = "reject",
           py::arg("max_queue_size") = 0);
  py::class_<PriorityOptions>(m, "Priorities",
                              "The priority levels of a version; see batching/queue_policy.h.")
      .def(py::init(&MakePriorities), py::kw_only(), py::arg("levels") = 1, py::arg("default") = 1,
           py::arg("policy") = QueuePolicy(), py::arg("by_level") = std::map<uint64_t, QueuePolicy>());
}

}  // namespace maas::bindings
