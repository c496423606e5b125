#include "maas/exec/answer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "maas/exec/classify.h"
#include "maas/exec/run_shapes.h"
#include "maas/pack/pack_plan.h"
#include "maas/wire/field_path.h"

namespace maas {
namespace {

Box Whole(const Dims& dims) { return {dims, Zeros(dims.rank())}; }

// `dims`, from `row` of its batch axis on.
Box FromRow(const Dims& dims, int batch_axis, int64_t row) {
  Box box = Whole(dims);
  if (batch_axis >= 0) box.offset[batch_axis] = row;
  return box;
}

// The strings of a box, encoded: each is its length, 4 bytes little-endian, and then its bytes.
void EncodeStrings(std::span<const std::string_view> strings, const Box& from, const Dims& extent,
                   std::string* out) {
  out->clear();
  const PackPlan plan = PlanPack(from, Whole(extent), extent);
  const auto each = [&](auto visit) {
    ForEachRun(plan, [&](int64_t at, int64_t, int64_t) {
      for (std::string_view s : strings.subspan(static_cast<size_t>(at), static_cast<size_t>(plan.run)))
        visit(s);
    });
  };
  size_t size = 0;
  each([&](std::string_view s) { size += sizeof(uint32_t) + s.size(); });
  out->reserve(size);
  each([&](std::string_view s) {
    const auto length = static_cast<uint32_t>(s.size());
    char prefix[sizeof(length)];
    std::memcpy(prefix, &length, sizeof(length));
    out->append(prefix, sizeof(prefix)).append(s);
  });
}

// Whether there is as much data as the shape says.
bool IsComplete(const RunOutput& output, DataType type) {
  const int64_t count = ElementCount(output.dims);
  if (type == DataType::kBytes) return count == static_cast<int64_t>(output.strings.size());
  return count == 0 || (count > 0 && output.data != nullptr);
}

size_t RawSize(const Dims& dims, DataType type) {
  return static_cast<size_t>(ElementCount(dims)) * ElementSize(type);
}

Status BadOutput(const ModelSpec& spec, const OutputSpec& output, const std::string& what) {
  return Status(Code::kInternal, "BAD_MODEL_OUTPUT",
                "model " + spec.name + ":" + std::to_string(spec.version) + " returned output '" +
                    output.name + "' " + what);
}

Status TooLarge(size_t limit, size_t size) {
  return Status(Code::kResourceExhausted, "ANSWER_TOO_LARGE",
                "expected an answer of at most " + std::to_string(limit) +
                    " bytes, the most that this server sends, got one of at least " + std::to_string(size) +
                    "; ask for fewer rows or outputs at a time");
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
    if (!fits && !output.any_shape)
      return BadOutput(spec, output, "of shape " + ToString(dims) + ", expected " + ToString(expected));
    if (!IsComplete(outputs[i], output.datatype)) {
      return BadOutput(spec, output, "without the data of its shape " + ToString(dims));
    }
  }
  return {};
}

Status Answer::Plan(const Entry& entry, std::span<const RunOutput> outputs, int64_t row,
                    const Receipt& receipt) {
  entry_ = &entry;
  receipt_ = receipt;
  row_ = row;
  chosen_.clear();
  parts_.resize(entry.bound.outputs.size());
  heads_.resize(entry.bound.outputs.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].wanted = &entry.bound.outputs[i];
    MAAS_RETURN_IF_ERROR(PlanPart(i, outputs[static_cast<size_t>(parts_[i].wanted->index)]));
  }
  size_ = entry.reply.codec->size(Head());
  return size_ <= entry.reply.max_bytes ? Status() : TooLarge(entry.reply.max_bytes, size_);
}

Status Answer::PlanPart(size_t i, const RunOutput& source) {
  Part& part = parts_[i];
  OutputHead& head = heads_[i];
  part.spec = &entry_->version->spec.outputs[static_cast<size_t>(part.wanted->index)];
  part.source = &source;
  part.dims = ShapeOfAnswer(*part.spec, entry_->bound, source.dims, entry_->rows);
  part.encoded = false;
  part.chosen = nullptr;
  head = {part.spec->name, part.spec->datatype, part.dims, 0, nullptr, nullptr, 0};
  if (part.spec->wire_dims) head.shape = Reshaped(part.spec->dims, part.dims, *part.spec->wire_dims);
  if (part.wanted->classification > 0) {
    ClassifyRows(i);
  } else if (part.spec->datatype == DataType::kBytes) {
    EncodeStrings(source.strings, SourceOf(part), part.dims, &part.bytes);
    part.encoded = true;
  } else {
    MAAS_RETURN_IF_ERROR(PlanQuantization(i));
  }
  if (part.wanted->shared != nullptr) return PlaceShared(i);
  const Codec& codec = *entry_->reply.codec;
  if (codec.form(head.datatype, entry_->view.typed) == ElementForm::kTranscoded) {
    // An element takes a byte at least: what cannot be sent is not built first.
    if (const auto least = static_cast<size_t>(ElementCount(part.dims)); least > entry_->reply.max_bytes) {
      return TooLarge(entry_->reply.max_bytes, least);
    }
    Encode(i);
    std::string transcoded;
    codec.transcode(head.datatype, std::as_bytes(std::span(part.bytes)), &transcoded);
    part.bytes = std::move(transcoded);
  }
  head.data_size = part.encoded ? part.bytes.size() : RawSize(part.dims, head.datatype);
  return {};
}

Status Answer::PlanQuantization(size_t i) {
  Part& part = parts_[i];
  OutputHead& head = heads_[i];
  const OutputQuantization* quantize = part.wanted->quantize.get();
  if (quantize == nullptr) return {};
  const Quantization& asked = quantize->params;
  head.datatype = quantize->datatype;
  head.quantization = &asked;
  const int64_t size = asked.has_axis ? part.dims[asked.axis] : 1;
  if (asked.scales.empty()) {
    // The values are chosen in Write(); only their number matters to the size.
    Quantization& chosen = chosen_.emplace_back(asked);
    chosen.scales.assign(static_cast<size_t>(size), 1.0F);
    chosen.zero_points.assign(static_cast<size_t>(size), head.datatype == DataType::kUint8 ? 128 : 0);
    head.quantization = part.chosen = &chosen;
  } else if (asked.scales.size() > 1 && std::ssize(asked.scales) != size) {
    // BindRequest cannot know where only the run tells the size.
    const FieldPath output{nullptr, "outputs", static_cast<std::ptrdiff_t>(i)};
    const FieldPath at{&output, "quantize"};
    return InvalidField(&at, "scales",
                        "expected 1 or " + std::to_string(size) + ", the size of axis " +
                            std::to_string(asked.axis) + " of output '" + part.spec->name + "', got " +
                            std::to_string(asked.scales.size()));
  }
  return {};
}

void Answer::ClassifyRows(size_t i) {
  Part& part = parts_[i];
  OutputHead& head = heads_[i];
  const DataType type = part.spec->datatype;
  const int axis = part.spec->batch_axis;
  const int64_t rows = axis >= 0 ? part.dims[axis] : 1;
  Dims row_dims = part.dims;
  if (axis >= 0) row_dims[axis] = 1;
  const size_t row_size = RawSize(row_dims, type);
  dense_.resize(row_size);
  std::string strings;
  int64_t classes = 0;
  for (int64_t row = 0; row < rows; ++row) {
    Box from = SourceOf(part);
    if (axis >= 0) from.offset[axis] += row;
    CopyBox(part.source->data, from, dense_.data(), Whole(row_dims), row_dims, {type, type, {}, {}, -1});
    classes = Classify(type, std::span(dense_).first(row_size), part.wanted->classification,
                       part.spec->labels, &strings);
  }
  head.datatype = DataType::kBytes;
  head.shape = Dims();
  if (axis >= 0) head.shape.push_back(rows);
  head.shape.push_back(classes);
  part.bytes = std::move(strings);
  part.encoded = true;
}

void Answer::Encode(size_t i) {
  Part& part = parts_[i];
  if (part.encoded) return;
  ChooseScales(i);
  part.bytes.resize(RawSize(part.dims, heads_[i].datatype));
  WritePart(i, reinterpret_cast<std::byte*>(part.bytes.data()));
  part.encoded = true;
}

Status Answer::PlaceShared(size_t i) {
  Part& part = parts_[i];
  const SharedMemoryView& shared = *part.wanted->shared;
  Encode(i);
  const FieldPath output{nullptr, "outputs", static_cast<std::ptrdiff_t>(i)};
  const FieldPath at{&output, "parameters"};
  if (part.bytes.size() > shared.size) {
    return InvalidField(&at, "shared_memory_byte_size",
                        "expected at least " + std::to_string(part.bytes.size()) + " for output '" +
                            part.spec->name + "', got " + std::to_string(shared.size));
  }
  const Status written = shared.memory->Write(shared.offset, std::as_bytes(std::span(part.bytes)));
  if (!written.ok()) return FieldFailure(&at, written);
  heads_[i].shared = &shared;
  heads_[i].shared_size = part.bytes.size();
  return {};
}

ResponseHead Answer::Head() const {
  const ModelSpec& spec = entry_->version->spec;
  return {entry_->view.id, spec.name, spec.version, heads_, receipt_, entry_->view.typed};
}

Box Answer::SourceOf(const Part& part) const {
  return FromRow(part.source->dims, part.spec->batch_axis, row_);
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
  if (!chosen_.empty()) {
    for (size_t i = 0; i < parts_.size(); ++i) ChooseScales(i);
  }
  entry_->reply.codec->write(Head(), out, data);
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (heads_[i].data_size > 0) WritePart(i, data[i]);
  }
  ReleaseLarge();
}

void Answer::ReleaseLarge() {
  constexpr size_t kKeptBytes = size_t{64} * 1024;
  for (Part& part : parts_) {
    if (part.bytes.capacity() > kKeptBytes) std::string().swap(part.bytes);
  }
  if (dense_.capacity() > kKeptBytes) std::vector<std::byte>().swap(dense_);
}

void Answer::ChooseScales(size_t i) {
  Part& part = parts_[i];
  if (part.chosen == nullptr) return;
  Quantization* const chosen = std::exchange(part.chosen, nullptr);
  const Box from = SourceOf(part);
  const DataType type = part.spec->datatype;
  const PackPlan plan = PlanPack(from, Whole(part.dims), part.dims);
  const std::byte* values = part.source->data + static_cast<size_t>(plan.src_offset) * ElementSize(type);
  if (plan.loop_count > 0) {
    // Not side by side in the run's output.
    dense_.resize(RawSize(part.dims, type));
    CopyBox(part.source->data, from, dense_.data(), Whole(part.dims), part.dims, {type, type, {}, {}, -1});
    values = dense_.data();
  }
  ChooseQuantization(values, type, part.dims, chosen->has_axis ? chosen->axis : -1, heads_[i].datatype,
                     chosen->scales, chosen->zero_points);
}

void Answer::WritePart(size_t i, std::byte* out) const {
  const Part& part = parts_[i];
  if (part.encoded) {
    std::memcpy(out, part.bytes.data(), part.bytes.size());
    return;
  }
  Conversion conversion{part.spec->datatype, heads_[i].datatype, {}, {}, -1};
  if (const Quantization* q = heads_[i].quantization) {
    conversion.scales = q->scales;
    conversion.zero_points = q->zero_points;
    conversion.axis = q->has_axis ? q->axis : -1;
  }
  CopyBox(part.source->data, SourceOf(part), out, Whole(part.dims), part.dims, conversion);
}

Status OpenSplit(const Entry& entry, std::span<const RunOutput> outputs,
                 std::vector<SplitAnswer::Output>* answer) {
  const ModelSpec& spec = entry.version->spec;
  const bool first = answer->empty();
  if (first) answer->resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& output = spec.outputs[i];
    SplitAnswer::Output& whole = (*answer)[i];
    Dims dims = outputs[i].dims;
    if (output.batch_axis >= 0) dims[output.batch_axis] = entry.rows;
    if (!first) {
      if (whole.dims == dims) continue;
      return BadOutput(spec, output,
                       "of shape " + ToString(whole.dims) + " and of " + ToString(dims) +
                           " in the batches of one request; send at most " +
                           std::to_string(spec.max_batch_size) + " rows at a time");
    }
    whole.dims = dims;
    const int64_t bytes = RunBytes(dims, output.datatype);
    if (bytes >= 0 && output.datatype == DataType::kBytes) {
      whole.strings.resize(static_cast<size_t>(ElementCount(dims)));
      continue;
    }
    if (bytes >= 0) whole.data.Grow(static_cast<size_t>(bytes));
    if (whole.data.data() == nullptr) {
      return Status(Code::kResourceExhausted, "OUT_OF_MEMORY",
                    "no memory for output '" + output.name + "' of shape " + ToString(dims));
    }
  }
  return {};
}

void WriteSlice(const Entry& entry, const Slice& slice, std::span<const RunOutput> outputs, int64_t row,
                std::span<SplitAnswer::Output> answer) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& output = entry.version->spec.outputs[i];
    if (output.batch_axis < 0 && slice.begin > 0) continue;
    SplitAnswer::Output& whole = answer[i];
    const Box from = FromRow(outputs[i].dims, output.batch_axis, row);
    const Box to = FromRow(whole.dims, output.batch_axis, slice.begin);
    Dims extent = whole.dims;
    if (output.batch_axis >= 0) extent[output.batch_axis] = slice.rows;
    if (output.datatype != DataType::kBytes) {
      CopyBox(outputs[i].data, from, whole.data.data(), to, extent,
              {output.datatype, output.datatype, {}, {}, -1});
      continue;
    }
    const PackPlan plan = PlanPack(from, to, extent);
    ForEachRun(plan, [&](int64_t src, int64_t dst, int64_t) {
      std::copy_n(outputs[i].strings.begin() + src, plan.run, whole.strings.begin() + dst);
    });
  }
}

}  // namespace maas
