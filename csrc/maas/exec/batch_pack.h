// Packs the rows of a batch's requests into the tensors of one run.
//
// Threads: pure functions on the caller's buffers; no lock is held meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/dims.h"
#include "maas/exec/entry.h"

namespace maas {

// The request that a slice belongs to.
inline const Entry& EntryOf(const Slice& slice) { return static_cast<const Entry&>(*slice.item); }

// Whether the input needs no packing: the batch is one whole request whose bytes are already what the run
// wants, and big and aligned enough that binding them anew costs less than copying them.
bool CanBindDirectly(const InputSpec& spec, const BoundInput& input, std::span<const Slice> batch);

// Writes input `index` of every slice, one after the other along its batch axis, into `dst` of shape `dims`:
// dequantized, padded, and filled where the request left a mask or lengths to the server.
// REQUIRES: not BYTES; `dims` is RunBytes() >= 0.
void PackInput(const ModelSpec& spec, size_t index, std::span<const Slice> batch, const Dims& dims,
               std::byte* dst);

// The elements of a BYTES input in the order of the run's tensor of shape `dims`; they borrow from the
// requests.
std::vector<std::string_view> PackStrings(const ModelSpec& spec, size_t index, std::span<const Slice> batch,
                                          const Dims& dims);

// Splits the wire form of BYTES (4-byte little-endian lengths) that BindRequest has checked.
std::vector<std::string_view> SplitStrings(std::span<const std::byte> data);

}  // namespace maas
