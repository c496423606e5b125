#include "maas/exec/run_shapes.h"

#include <algorithm>

namespace maas {

int64_t RunBytes(const Dims& dims, DataType type) {
  Dims strides = dims;
  for (int axis = 0; axis < dims.rank(); ++axis) {
    if (dims[axis] == 0) strides[axis] = 1;
  }
  const int64_t most = ElementCount(strides);
  const auto size = static_cast<int64_t>(ElementSize(type));
  if (most < 0 || most > kMaxTensorBytes / std::max<int64_t>(size, 1)) return -1;
  return ElementCount(dims) * size;
}

RunShapes ShapesOfRun(const ModelSpec& spec, const BoundRequest& any, int64_t rows) {
  RunShapes shapes;
  shapes.inputs.reserve(spec.inputs.size());
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const InputSpec& input = spec.inputs[i];
    const BoundInput& bound = any.inputs[i];
    Dims dims = bound.absent ? Dims(input.dims) : bound.dims;
    if (input.batch_axis >= 0) dims[input.batch_axis] = rows;
    if (input.pad_axis >= 0) dims[input.pad_axis] = any.padded[static_cast<size_t>(input.pad_group)];
    shapes.inputs.push_back(dims);
  }
  for (const OutputSpec& output : spec.outputs) {
    if (output.any_shape) {
      shapes.outputs.emplace_back();
      shapes.known.push_back(false);
      continue;
    }
    Dims dims(output.dims);
    bool known = output.datatype != DataType::kBytes;
    for (int axis = 0; axis < dims.rank(); ++axis) {
      if (axis == output.batch_axis) {
        dims[axis] = rows;
      } else if (dims[axis] < 0) {
        const DimSource source = output.sources[static_cast<size_t>(axis)];
        known = known && source.input >= 0;
        if (source.input >= 0) dims[axis] = shapes.inputs[static_cast<size_t>(source.input)][source.axis];
      }
    }
    shapes.outputs.push_back(dims);
    shapes.known.push_back(known);
  }
  return shapes;
}

Dims ShapeOfAnswer(const OutputSpec& spec, const BoundRequest& request, const Dims& batch, int64_t rows) {
  Dims dims = batch;
  if (spec.batch_axis >= 0) dims[spec.batch_axis] = rows;
  if (spec.pad_axis >= 0) {
    const auto group = static_cast<size_t>(spec.pad_group);
    if (dims[spec.pad_axis] == request.padded[group]) dims[spec.pad_axis] = request.lengths[group];
  }
  return dims;
}

}  // namespace maas
