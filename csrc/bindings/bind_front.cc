// The compiled front as Python starts, tells and stops it. No request passes through here.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/failure.h"
#include "maas/front/answers.h"
#include "maas/front/front_server.h"
#include "maas/net/tls.h"
#include "maas/serving/engine.h"

namespace py = pybind11;

namespace maas::bindings {
namespace {

int64_t Nanoseconds(double seconds) {
  constexpr double kMost = 1e9;  // Thirty years.
  return static_cast<int64_t>(std::min(seconds, kMost) * 1e9);
}

// Null for None.
std::shared_ptr<const TlsContext> MakeTls(const TlsOptions* options) {
  std::shared_ptr<const TlsContext> tls;
  if (options == nullptr) return tls;
  if (const Status status = TlsContext::Make(*options, &tls); !status.ok()) Raise(status);
  return tls;
}

FrontOptions MakeOptions(const std::string& host, int port, int io_threads, size_t max_message_bytes,
                         uint32_t max_concurrent_streams, double min_ping_interval, double max_connection_age,
                         double max_connection_age_grace, size_t memory_limit, const std::string& tenant_key,
                         const py::bytes& socket_path, const TlsOptions* tls) {
  if (port < 0 || port > std::numeric_limits<uint16_t>::max())
    throw std::invalid_argument("port: expected 0 to 65535");
  if (io_threads < 1) throw std::invalid_argument("io_threads: expected at least 1");
  FrontOptions options;
  options.host = host;
  options.port = static_cast<uint16_t>(port);
  options.io_threads = io_threads;
  options.max_message_bytes = max_message_bytes;
  options.max_concurrent_streams = max_concurrent_streams;
  options.min_ping_interval_ns = Nanoseconds(min_ping_interval);
  options.max_connection_age_ns = Nanoseconds(max_connection_age);
  options.max_connection_age_grace_ns = Nanoseconds(max_connection_age_grace);
  options.memory_limit = memory_limit;
  options.tenant_key = tenant_key;
  options.socket_path = socket_path;
  options.tls = MakeTls(tls);
  return options;
}

// Keeps the engine, whose threads may still complete what was submitted here.
class CompiledFront {
 public:
  CompiledFront(std::shared_ptr<Engine> engine, const FrontOptions& options) : engine_(std::move(engine)) {
    if (engine_ == nullptr) throw std::invalid_argument("engine: got None");
    if (const Status status = FrontServer::Start(options, engine_.get(), &front_); !status.ok())
      Raise(status);
  }
  CompiledFront(const CompiledFront&) = delete;
  CompiledFront& operator=(const CompiledFront&) = delete;
  ~CompiledFront() { Close(); }
  void SetState(bool ready, const std::map<std::string, bool>& health) {
    auto state = std::make_shared<ServingState>();
    state->ready = ready;
    state->health.insert(health.begin(), health.end());
    Front().SetState(std::move(state));
  }
  void SetTls(const TlsOptions& options) { Front().SetTls(MakeTls(&options)); }
  void Refuse() { Front().Refuse(); }
  uint64_t refused() { return Front().refused(); }
  void Shutdown(double grace) { Front().Shutdown(Nanoseconds(grace)); }
  bool finished() { return Front().finished(); }
  bool idle() { return Front().idle(); }
  uint16_t port() { return Front().port(); }
  int fd() { return Front().fd(); }
  py::list TakeInterrupts() {
    py::list out;
    for (const Interrupt& each : Front().TakeInterrupts())
      out.append(py::make_tuple(each.instance, each.number));
    return out;
  }
  py::dict Counters() {
    py::dict out;
    if (front_ == nullptr) return out;
    const FrontCounters counters = front_->counters();
    py::dict ended;
    for (const auto& [why, count] : counters.ended) ended[py::str(why)] = count;
    out["connections"] = counters.connections;
    out["open_connections"] = counters.open_connections;
    out["calls"] = counters.calls;
    out["passed_through"] = counters.passed_through;
    out["received_bytes"] = counters.received_bytes;
    out["sent_bytes"] = counters.sent_bytes;
    out["memory_bytes"] = counters.memory_bytes;
    out["accept_failures"] = counters.accept_failures;
    out["ended"] = ended;
    return out;
  }
  void Close() {
    // Threads of Python that come meanwhile find none.
    std::unique_ptr<FrontServer> front = std::move(front_);
    // Joins threads that wait for runs, which want the GIL.
    const py::gil_scoped_release no_gil;
    front.reset();
  }

 private:
  FrontServer& Front() {
    if (front_ == nullptr) throw std::runtime_error("the front is closed");
    return *front_;
  }
  const std::shared_ptr<Engine> engine_;
  std::unique_ptr<FrontServer> front_;  // Last: goes before the engine.
};

TlsOptions MakeTlsOptions(std::string certificate_chain, std::string private_key, std::string client_ca,
                          const std::string& client_auth) {
  TlsOptions options{std::move(certificate_chain), std::move(private_key), std::move(client_ca)};
  if (client_auth == "optional") {
    options.clients = ClientCertificates::kOptional;
  } else if (client_auth == "required") {
    options.clients = ClientCertificates::kRequired;
  } else if (client_auth != "none") {
    throw std::invalid_argument("client_auth: expected none, optional or required");
  }
  return options;
}

}  // namespace

void BindFront(py::module_& m) {
  m.attr("NO_COMPILED_FRONT") = "";
  py::class_<TlsOptions>(m, "TlsOptions", "A server's certificate and whom it trusts; see net/tls.h.")
      .def(py::init(&MakeTlsOptions), py::kw_only(), py::arg("certificate_chain"), py::arg("private_key"),
           py::arg("client_ca") = "", py::arg("client_auth") = "none");
  py::class_<FrontOptions>(m, "FrontOptions", "See front/front_server.h.")
      .def(py::init(&MakeOptions), py::kw_only(), py::arg("host"), py::arg("port"), py::arg("io_threads"),
           py::arg("max_message_bytes"), py::arg("max_concurrent_streams"), py::arg("min_ping_interval"),
           py::arg("max_connection_age"), py::arg("max_connection_age_grace"), py::arg("memory_limit"),
           py::arg("tenant_key"), py::arg("socket_path"), py::arg("tls") = nullptr);
  py::class_<CompiledFront>(m, "CompiledFront",
                            "Serves gRPC on threads of its own; see front/front_server.h.")
      .def(py::init<std::shared_ptr<Engine>, const FrontOptions&>(), py::arg("engine"), py::arg("options"),
           "Listen and serve. Raises CoreError.")
      .def_property_readonly("port", &CompiledFront::port, "That it listens on.")
      .def_property_readonly("refused", &CompiledFront::refused, "Calls since refuse().")
      .def_property_readonly("finished", &CompiledFront::finished, "No connection is left after shutdown().")
      .def_property_readonly("idle", &CompiledFront::idle,
                             "And nothing that was submitted is under way: close() returns at once.")
      .def("set_state", &CompiledFront::SetState, py::kw_only(), py::arg("ready"), py::arg("health"),
           "Replace what is answered about the server and its health.")
      .def("set_tls", &CompiledFront::SetTls, py::arg("options"),
           "For connections that come. Raises CoreError.")
      .def("refuse", &CompiledFront::Refuse, "Refuse new calls; what was accepted goes on.")
      .def("shutdown", &CompiledFront::Shutdown, py::arg("grace"),
           "Take no connection, end those that are idle, cut what is left after `grace` seconds.")
      .def("take_interrupts", &CompiledFront::TakeInterrupts,
           "[(instance, run), ...] that nobody waits for any more.")
      .def("fileno", &CompiledFront::fd,
           "Readable when take_interrupts() has something, or it finished, or is idle.")
      .def("counters", &CompiledFront::Counters, "What it did so far; empty when it is closed.")
      .def("close", &CompiledFront::Close, "Cut what is open, and wait until the core let go of it.");
}

}  // namespace maas::bindings
