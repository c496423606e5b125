// Chunks made of text, for tests and fuzzers.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "maas/net/chunk.h"

namespace maas {

// Has memory, also where there is no text.
inline Chunk MakeChunk(std::string_view text) {
  Chunk chunk;
  if (!chunk.Reserve(std::max<size_t>(text.size(), 1))) return chunk;
  if (!text.empty()) std::memcpy(chunk.data(), text.data(), text.size());
  chunk.set_size(text.size());
  return chunk;
}

}  // namespace maas
