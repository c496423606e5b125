// The encodings of gRPC messages. Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "maas/base/status.h"
#include "maas/net/chunk.h"

namespace maas {

enum class Encoding : uint8_t { kIdentity = 0, kGzip = 1, kDeflate = 2 };

// What a server says that it takes, as the value of grpc-accept-encoding.
inline constexpr std::string_view kAcceptedEncodings = "identity, deflate, gzip";

// The encoding that a grpc-encoding names. False: unknown; an empty one as well.
bool ParseEncoding(std::string_view name, Encoding* out);

// Overwrites *out. RESOURCE_EXHAUSTED: more than `most` bytes would come out, or there is no memory.
// INTERNAL: it is damaged, or not all of it is one piece of data. Takes no more memory than a few times of
// what comes out. REQUIRES: `encoding` is not kIdentity; `in` is less than 4 GiB.
Status Decompress(Encoding encoding, std::span<const std::byte> in, size_t most, Chunk* out);

}  // namespace maas
