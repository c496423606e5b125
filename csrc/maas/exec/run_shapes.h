// The shapes of one run: what each input and output measures for so many rows of one lane. Pure arithmetic.
#pragma once

#include <cstdint>
#include <vector>

#include "maas/base/dims.h"
#include "maas/model/bind.h"
#include "maas/model/spec.h"

namespace maas {

struct RunShapes {
  std::vector<Dims> inputs;   // One per ModelSpec::inputs.
  std::vector<Dims> outputs;  // One per ModelSpec::outputs; meaningless where !known.
  std::vector<bool> known;    // Whether the output's shape is known before the run.
};

// The most bytes that one tensor of a run may take, in staging at least. Sizes come from requests, and a few
// bytes can ask for a lot by dimensions of 0 and by padding.
inline constexpr int64_t kMaxTensorBytes = int64_t{16} << 30;

// The bytes of a dense tensor; 0 for BYTES. -1: a dimension is not known, or it is over kMaxTensorBytes, or
// would be if its dimensions of 0 were 1 (strides are products too).
int64_t RunBytes(const Dims& dims, DataType type);

// `any` is any request of the batch: they agree in all that matters here.
RunShapes ShapesOfRun(const ModelSpec& spec, const BoundRequest& any, int64_t rows);

// The part of an output that belongs to one request: `batch` is the shape of the run's whole output.
// The batch axis holds `rows` and a padded axis that came out padded is cut to the request's own length.
Dims ShapeOfAnswer(const OutputSpec& spec, const BoundRequest& request, const Dims& batch, int64_t rows);

}  // namespace maas
