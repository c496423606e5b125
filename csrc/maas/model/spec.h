// What the core knows of one model version: its signature and how its rows batch and pad.
//
// Built once by the binding when a version is loaded, const afterwards, shared by everybody.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "maas/base/datatype.h"

namespace maas {

// An input that the server fills itself when the request leaves it out.
enum class AutoFill : uint8_t {
  kNone = 0,
  kMask = 1,    // 1 where a row has a real element along the padded axis, 0 where padding stands.
  kLength = 2,  // Each row's real length along the padded axis; one element per row.
};

struct InputSpec {
  std::string name;
  DataType datatype = DataType::kUnspecified;
  std::vector<int64_t> dims;  // -1: may vary.
  int batch_axis = -1;  // Which dimension counts rows; -1: the input is shared by all rows of a batch, so
                        // only requests with equal bytes in it may run together.
  int pad_group = -1;   // Index into ModelSpec::pad_groups; -1: not padded.
  int pad_axis = -1;    // Which dimension is padded. Set iff pad_group is and auto_fill != kLength.
  std::array<std::byte, 8> pad_value{};  // One element, little-endian.
  AutoFill auto_fill = AutoFill::kNone;
  // What clients send where that is not `dims`: the same number of elements, and as many varying dimensions,
  // in the same order. Such an input is not padded.
  std::optional<std::vector<int64_t>> wire_dims;
};

// Where the size of an output's varying dimension comes from.
struct DimSource {
  int input = -1;  // -1: unknown before the run.
  int axis = -1;
};

struct OutputSpec {
  std::string name;
  DataType datatype = DataType::kUnspecified;
  std::vector<int64_t> dims;       // -1: may vary.
  std::vector<DimSource> sources;  // As many as dims.
  int batch_axis = -1;             // -1: one value for the whole batch, given to every request.
  int pad_group = -1;              // Un-padded to the row's own length along pad_axis.
  int pad_axis = -1;
  std::optional<std::vector<int64_t>>
      wire_dims;  // What clients get where that is not `dims`; as InputSpec's.
  // Rank and sizes come from the run: the file does not say them, or the values of inputs decide. `dims` and
  // `sources` are not read then. Only without a batch axis, padding and wire_dims.
  bool any_shape = false;
  std::vector<std::string> labels;  // What the indices of a classification mean; may be short, or empty.
};

// How clients see a tensor. `Spec` is InputSpec or OutputSpec.
template <typename Spec>
const std::vector<int64_t>& WireDims(const Spec& spec) {
  return spec.wire_dims ? *spec.wire_dims : spec.dims;
}

// Inputs whose padded axes have one length in common.
struct PadGroup {
  std::vector<int64_t> buckets;  // Ascending, at least one; longer rows are refused.
};

struct ModelSpec {
  std::string name;
  int64_t version = 0;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::vector<PadGroup> pad_groups;
  bool batching = true;        // False: every request runs alone, unsplit.
  int64_t max_batch_size = 1;  // Rows. >= 1.
  int64_t max_request_rows = 1024;
};

}  // namespace maas
