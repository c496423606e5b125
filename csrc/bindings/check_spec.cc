#include "bindings/check_spec.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "maas/base/dims.h"

namespace maas::bindings {
namespace {

void RequireAxis(const std::string& name, const char* what, int axis, size_t rank) {
  if (axis < -1 || axis >= static_cast<int>(rank)) {
    throw std::invalid_argument("'" + name + "': " + what + ": expected one of " + std::to_string(rank) +
                                " dimensions, got " + std::to_string(axis));
  }
}

// What the core takes for granted: a wrong axis would be an address.
template <typename Spec>
void CheckTensor(const ModelSpec& model, const Spec& tensor) {
  const size_t rank = tensor.dims.size();
  if (rank > kMaxRank) throw std::invalid_argument("'" + tensor.name + "': expected a rank of at most 16");
  RequireAxis(tensor.name, "batch_axis", tensor.batch_axis, rank);
  RequireAxis(tensor.name, "pad_axis", tensor.pad_axis, rank);
  if (tensor.pad_group < -1 || tensor.pad_group >= static_cast<int>(model.pad_groups.size())) {
    throw std::invalid_argument("'" + tensor.name + "': pad_group: there is none of that number");
  }
  if (tensor.pad_axis >= 0 && (tensor.pad_group < 0 || tensor.pad_axis == tensor.batch_axis)) {
    throw std::invalid_argument("'" + tensor.name +
                                "': pad_axis: expected a pad_group, and not the batch axis");
  }
}

}  // namespace

void CheckSpec(const ModelSpec& model) {
  for (const PadGroup& group : model.pad_groups) {
    if (group.buckets.empty() || !std::is_sorted(group.buckets.begin(), group.buckets.end())) {
      throw std::invalid_argument("pad_groups: expected lengths in ascending order");
    }
  }
  for (const InputSpec& input : model.inputs) {
    CheckTensor(model, input);
    const bool padded = input.pad_axis >= 0;
    const bool length = input.auto_fill == AutoFill::kLength;
    if ((input.auto_fill != AutoFill::kNone && input.pad_group < 0) ||
        (!length && padded != (input.pad_group >= 0)) || (length && padded)) {
      throw std::invalid_argument("'" + input.name + "': pad_group, pad_axis and auto_fill do not agree");
    }
  }
  for (const OutputSpec& output : model.outputs) {
    CheckTensor(model, output);
    for (const DimSource& source : output.sources) {
      if (source.input < 0) continue;
      if (source.input >= static_cast<int>(model.inputs.size())) {
        throw std::invalid_argument("'" + output.name + "': sources: there is no input of that number");
      }
      const size_t rank = model.inputs[static_cast<size_t>(source.input)].dims.size();
      if (source.axis < 0 || source.axis >= static_cast<int>(rank)) {
        throw std::invalid_argument("'" + output.name + "': sources: the input has no such dimension");
      }
    }
  }
  if (model.max_batch_size < 1 || model.max_request_rows < 1) {
    throw std::invalid_argument("max_batch_size, max_request_rows: expected at least 1");
  }
}

}  // namespace maas::bindings
