// Checks the quantization of a tensor, whether it came with an input or is asked for of an output.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "maas/base/datatype.h"
#include "maas/base/status.h"
#include "maas/wire/field_path.h"
#include "maas/wire/predict_view.h"

namespace maas {

// Checks *q, which stands in the request at `at`, and normalises it: zero_points as many as scales; axis
// (when has_axis) in 0..rank-1. `name` and `dims` are the quantized tensor's; -1 for a dimension whose size
// is not known yet, with which any number of scales agrees. Empty scales are in order here iff
// `scales_optional`; there are no zero points then either. REQUIRES: IsQuantized(datatype).
Status NormalizeQuantization(const FieldPath* at, std::string_view name, DataType datatype,
                             std::span<const int64_t> dims, bool scales_optional, Quantization* q);

}  // namespace maas
