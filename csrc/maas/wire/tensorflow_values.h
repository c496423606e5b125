// Reads the values of a scanned entry, packed or not, as elements of the core.
//
// Threads: pure functions. REQUIRES, for all: the entry was scanned without an error, and its message is
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "maas/base/datatype.h"
#include "maas/wire/tensorflow_entry.h"

namespace maas {

// Writes entry.count elements at `out`. False: a value has more bits than the datatype, and *bad is the last
// such. Integers of 8 and 16 bits may be signed or not. REQUIRES: entry.field is that of the datatype, and of
// varints.
bool ReadVarintValues(const TensorFlowEntry& entry, DataType datatype, std::byte* out, int64_t* bad);

// Writes entry.count elements of `size` bytes at `out`. REQUIRES: entry.field is one of values of 4 or 8
// bytes.
void ReadFixedValues(const TensorFlowEntry& entry, size_t size, std::byte* out);

// Calls `visit` with each of string_val, in order.
void VisitTexts(const TensorFlowEntry& entry, const std::function<void(std::span<const std::byte>)>& visit);

}  // namespace maas
