#include "maas/exec/answer.h"

#include <cstring>
#include <utility>

#include "maas/exec/run_shapes.h"
#include "maas/pack/block.h"

namespace maas {
namespace {

Dims Zeros(int rank) {
  Dims zeros;
  for (int i = 0; i < rank; ++i) zeros.push_back(0);
  return zeros;
}

// The range of elements along the batch axis that belongs to rows [row, row + rows). BYTES only have axis 0.
std::span<const std::string_view> StringsOf(const RunOutput& output, int batch_axis, int64_t row, int64_t rows) {
  const std::span<const std::string_view> all(output.strings);
  if (batch_axis < 0) return all;
  const auto total = static_cast<size_t>(output.dims[batch_axis]);
  const size_t per_row = total == 0 ? 0 : all.size() / total;
  return all.subspan(per_row * static_cast<size_t>(row), per_row * static_cast<size_t>(rows));
}

void AppendStrings(std::span<const std::string_view> strings, std::string* out) {
  size_t size = 0;
  for (std::string_view s : strings) size += s.size() + 4;
  out->reserve(size);
  for (std::string_view s : strings) {
    const auto length = static_cast<uint32_t>(s.size());
    char prefix[4];
    std::memcpy(prefix, &length, sizeof(prefix));
    out->append(prefix, sizeof(prefix));
    out->append(s);
  }
}

}  // namespace

Status CheckOutputs(const ModelSpec& spec, std::span<const RunOutput> outputs, int64_t rows) {
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    const OutputSpec& output = spec.outputs[i];
    const Dims& dims = outputs[i].dims;
    Dims expected(output.dims);
    if (output.batch_axis >= 0) expected[output.batch_axis] = rows;
    bool fits = dims.rank() == expected.rank();
    for (int axis = 0; fits && axis < dims.rank(); ++axis) {
      fits = expected[axis] < 0 || expected[axis] == dims[axis];
    }
    if (!fits) {
      return Status(Code::kInternal, "BAD_MODEL_OUTPUT",
                    "model " + spec.name + ":" + std::to_string(spec.version) + " returned output '" +
                        output.name + "' of shape " + ToString(dims) + ", expected " + ToString(expected));
    }
  }
  return {};
}

void Answer::Plan(const Entry& entry, std::span<const RunOutput> outputs, int64_t row, const Receipt& receipt) {
  entry_ = &entry;
  receipt_ = receipt;
  row_ = row;
  chosen_.clear();
  parts_.resize(entry.bound.outputs.size());
  heads_.resize(entry.bound.outputs.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    const BoundOutput& wanted = entry.bound.outputs[i];
    Part& part = parts_[i];
    part.spec = &entry.version->spec.outputs[static_cast<size_t>(wanted.index)];
    part.source = &outputs[static_cast<size_t>(wanted.index)];
    part.quantize = wanted.quantize.get();
    part.dims = ShapeOfAnswer(*part.spec, entry.bound, part.source->dims, entry.rows);
    OutputHead& head = heads_[i];
    head = {part.spec->name, part.spec->datatype, part.dims, 0, nullptr};
    const auto elements = static_cast<size_t>(ElementCount(part.dims));
    if (part.spec->datatype == DataType::kBytes) {
      part.strings.clear();
      AppendStrings(StringsOf(*part.source, part.spec->batch_axis, row, entry.rows), &part.strings);
      head.data_size = part.strings.size();
      continue;
    }
    if (part.quantize != nullptr) {
      head.datatype = part.quantize->datatype;
      head.quantization = &part.quantize->params;
      if (part.quantize->params.scales.empty()) {
        // The values are chosen in Write(); only their number matters to the size.
        Quantization& chosen = chosen_.emplace_back(part.quantize->params);
        const size_t count = chosen.has_axis ? static_cast<size_t>(part.dims[chosen.axis]) : 1;
        chosen.scales.assign(count, 1.0F);
        chosen.zero_points.assign(count, head.datatype == DataType::kUint8 ? 128 : 0);
        head.quantization = &chosen;
      }
    }
    head.data_size = elements * ElementSize(head.datatype);
  }
  const ResponseHead head = Head();
  size_ = entry.reply.group != 0 ? StreamAnswerSize(head) : PredictResponseSize(head);
}

ResponseHead Answer::Head() const {
  const ModelSpec& spec = entry_->version->spec;
  return {entry_->view.id, spec.name, spec.version, heads_, receipt_};
}

void Answer::Write(std::byte* out) {
  constexpr size_t kInline = 8;
  std::byte* few[kInline];
  std::vector<std::byte*> many;
  std::byte** data = few;
  if (parts_.size() > kInline) {
    many.resize(parts_.size());
    data = many.data();
  }
  // The scales that the server chooses are part of the head, so they are chosen before it is written.
  std::vector<std::vector<std::byte>> dense(chosen_.empty() ? 0 : parts_.size());
  auto chosen = chosen_.begin();
  for (size_t i = 0; i < parts_.size() && chosen != chosen_.end(); ++i) {
    const Part& part = parts_[i];
    if (heads_[i].quantization != &*chosen) continue;
    const DataType type = part.spec->datatype;
    dense[i].resize(static_cast<size_t>(ElementCount(part.dims)) * ElementSize(type));
    Box from{part.source->dims, Zeros(part.dims.rank())};
    if (part.spec->batch_axis >= 0) from.offset[part.spec->batch_axis] = row_;
    CopyBox(part.source->data, from, dense[i].data(), {part.dims, Zeros(part.dims.rank())}, part.dims,
            {type, type, {}, {}, -1});
    ChooseQuantization(dense[i].data(), type, part.dims, chosen->has_axis ? chosen->axis : -1, heads_[i].datatype,
                       chosen->scales, chosen->zero_points);
    ++chosen;
  }
  const ResponseHead head = Head();
  if (entry_->reply.group != 0) {
    WriteStreamAnswer(head, out, data);
  } else {
    WritePredictResponse(head, out, data);
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.spec->datatype == DataType::kBytes) {
      std::memcpy(data[i], part.strings.data(), part.strings.size());
      continue;
    }
    Conversion conversion{part.spec->datatype, heads_[i].datatype, {}, {}, -1};
    if (const Quantization* q = heads_[i].quantization) {
      conversion.scales = q->scales;
      conversion.zero_points = q->zero_points;
      conversion.axis = q->has_axis ? q->axis : -1;
    }
    const Box to{part.dims, Zeros(part.dims.rank())};
    if (!dense.empty() && !dense[i].empty()) {
      CopyBox(dense[i].data(), to, data[i], to, part.dims, conversion);
      continue;
    }
    Box from{part.source->dims, Zeros(part.dims.rank())};
    if (part.spec->batch_axis >= 0) from.offset[part.spec->batch_axis] = row_;
    CopyBox(part.source->data, from, data[i], to, part.dims, conversion);
  }
}

Status AddSlice(const Entry& entry, const Slice& slice, std::span<const RunOutput> outputs, int64_t row,
                SplitAnswer* split) {
  const ModelSpec& spec = entry.version->spec;
  const bool first = split->outputs.empty();
  if (first) split->outputs.resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& output = spec.outputs[i];
    SplitAnswer::Output& whole = split->outputs[i];
    Dims dims = outputs[i].dims;
    if (output.batch_axis >= 0) dims[output.batch_axis] = entry.rows;
    const size_t size = ElementSize(output.datatype);
    if (first) {
      whole.dims = dims;
      whole.data.resize(static_cast<size_t>(ElementCount(dims)) * size);
      if (output.datatype == DataType::kBytes) whole.strings.resize(static_cast<size_t>(ElementCount(dims)));
    } else if (!(whole.dims == dims)) {
      return Status(Code::kInternal, "BAD_MODEL_OUTPUT",
                    "output '" + output.name + "' came out as " + ToString(whole.dims) + " and as " +
                        ToString(dims) + " in the batches of one request; send at most " +
                        std::to_string(spec.max_batch_size) + " rows at a time");
    }
    if (output.datatype == DataType::kBytes) {
      const auto part = StringsOf(outputs[i], output.batch_axis, row, slice.rows);
      const size_t per_row = part.size() / static_cast<size_t>(slice.rows);
      const size_t at = output.batch_axis >= 0 ? per_row * static_cast<size_t>(slice.begin) : 0;
      for (size_t s = 0; s < part.size(); ++s) whole.strings[at + s] = std::string(part[s]);
      continue;
    }
    Box from{outputs[i].dims, Zeros(dims.rank())};
    Box to{dims, Zeros(dims.rank())};
    Dims extent = dims;
    if (output.batch_axis >= 0) {
      from.offset[output.batch_axis] = row;
      to.offset[output.batch_axis] = slice.begin;
      extent[output.batch_axis] = slice.rows;
    }
    CopyBox(outputs[i].data, from, whole.data.data(), to, extent, {output.datatype, output.datatype, {}, {}, -1});
  }
  return {};
}

}  // namespace maas
