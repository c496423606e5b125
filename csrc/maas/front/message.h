// Short messages as chunks, with room for gRPC's prefix before them.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "maas/base/status.h"
#include "maas/net/chunk.h"
#include "maas/rpc/message_reader.h"

namespace maas {

// False: there is no memory.
[[nodiscard]] inline bool MakeMessage(std::string_view bytes, Chunk* out) {
  constexpr size_t kMost = SIZE_MAX / 2;  // No text is longer, which compilers do not see.
  if (bytes.size() > kMost || !out->Reserve(kMessagePrefix + bytes.size())) return false;
  if (!bytes.empty()) std::memcpy(out->data() + kMessagePrefix, bytes.data(), bytes.size());
  out->set_size(kMessagePrefix + bytes.size());
  return true;
}

inline Status NoMemory() {
  return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the answer");
}

}  // namespace maas
