// Errors that belong to gRPC itself rather than to what it serves. Their reason is empty where grpcio sends
// no details either.
#pragma once

#include "maas/base/status.h"

namespace maas {

inline Status OutOfMemory() {
  return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the request");
}

}  // namespace maas
