// The classification extension: instead of a row's values, the largest of them with what they stand for.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "maas/base/datatype.h"

namespace maas {

// Appends the `count` largest values of one row, the largest first and of equal ones the first, as BYTES
// elements "value:index" or, where `labels` has one, "value:index:label". NaN comes after every number.
// Returns how many there are: `count`, or all of a shorter row. REQUIRES: `row` has elements of `type`, which
// is not kBytes; count > 0.
int64_t Classify(DataType type, std::span<const std::byte> row, int64_t count,
                 std::span<const std::string> labels, std::string* out);

}  // namespace maas
