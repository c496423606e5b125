// The error that several of gRPC's parts have in common.
#pragma once

#include "maas/base/status.h"

namespace maas {

inline Status OutOfMemory() {
  return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the request");
}

}  // namespace maas
