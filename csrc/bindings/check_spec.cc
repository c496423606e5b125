#include "bindings/check_spec.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "maas/base/dims.h"

namespace maas::bindings {
namespace {

void RequireAxis(const std::string& name, const char* what, int axis, size_t rank) {
  if (axis < -1 || axis >= static_cast<int>(rank)) {
    throw std::invalid_argument("'" + name + "': " + what + ": expected one of " + std::to_string(rank) +
                                " dimensions, got " + std::to_string(axis));
  }
}

// The elements before, between and after the dimensions that vary.
std::vector<int64_t> Products(const std::vector<int64_t>& dims) {
  std::vector<int64_t> products(1, 1);
  for (int64_t size : dims) {
    if (size < 0) {
      products.push_back(1);
    } else {
      products.back() *= std::min(size, kMaxElements);
      if (products.back() > kMaxElements) throw std::invalid_argument("wire_shape: too many elements");
    }
  }
  return products;
}

// The bytes of one shape are taken for those of the other.
template <typename Spec>
void CheckWireDims(const Spec& tensor) {
  if (!tensor.wire_dims) return;
  if (tensor.wire_dims->size() > kMaxRank || Products(*tensor.wire_dims) != Products(tensor.dims)) {
    throw std::invalid_argument("'" + tensor.name + "': wire_shape " + ToString(*tensor.wire_dims) +
                                ": expected the elements of " + ToString(tensor.dims));
  }
  if (tensor.pad_group >= 0 ||
      (tensor.batch_axis >= 0 && tensor.batch_axis < static_cast<int>(tensor.dims.size()) &&
       tensor.dims[static_cast<size_t>(tensor.batch_axis)] >= 0)) {
    throw std::invalid_argument("'" + tensor.name + "': wire_shape: expected no padding, and rows that vary");
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
  CheckWireDims(tensor);
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
    if (output.any_shape && (output.batch_axis >= 0 || output.pad_group >= 0 || output.wire_dims)) {
      throw std::invalid_argument("'" + output.name +
                                  "': any_shape: expected neither a batch axis nor padding nor a wire shape");
    }
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
