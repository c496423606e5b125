// What the header fields of a request say to gRPC.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "maas/base/clock.h"
#include "maas/base/status.h"
#include "maas/http2/headers.h"
#include "maas/rpc/compression.h"

namespace maas {

struct RequestHead {
  std::string_view path;
  Encoding encoding = Encoding::kIdentity;
  int64_t timeout_ns = kNever;
  // The values of the tenant key, in their order.
  std::string tenant;
  // Nothing that a gRPC client sends: what to make of it is somebody else's decision.
  bool odd = false;
  // A field that is gRPC's own does not parse; with the words of C-core.
  Status error;
};

// `tenant_key` in lower case; empty: there is none.
RequestHead ReadRequestHead(Headers headers, std::string_view tenant_key);

}  // namespace maas
