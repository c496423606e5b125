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

// `any` is any request of the batch: they agree in all that matters here.
RunShapes ShapesOfRun(const ModelSpec& spec, const BoundRequest& any, int64_t rows);

// The part of an output that belongs to one request: `batch` is the shape of the run's whole output.
// The batch axis holds `rows` and a padded axis that came out padded is cut to the request's own length.
Dims ShapeOfAnswer(const OutputSpec& spec, const BoundRequest& request, const Dims& batch, int64_t rows);

}  // namespace maas
