// Status as Python takes it: a tuple of what maas_server.errors needs.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "maas/base/status.h"

namespace maas::bindings {

// (code, reason, message, ((field, description), ...), retry_after_ns, google.rpc.Status bytes).
// REQUIRES: the GIL; !status.ok().
pybind11::tuple ToPython(const Status& status);

// Throws std::invalid_argument unless `code` is one of the numbers of Code, kOk apart.
Status MakeFailure(int code, std::string reason, std::string message);

// Throws _core.CoreError with that tuple as its arguments. REQUIRES: the GIL.
[[noreturn]] void Raise(const Status& status);

}  // namespace maas::bindings
