#include "maas/exec/batch_pack.h"

#include <algorithm>
#include <cstring>

#include "maas/pack/pack_plan.h"

namespace maas {
namespace {

// Below this, the copy costs less than the 8 µs of binding other memory.
constexpr size_t kDirectBytes = size_t{256} << 10;

// Where the slice's rows are in its own request's tensor, where they go in the batch's, and how many elements
// they are.
struct Move {
  Box from;
  Box to;
  Dims extent;
};

Move MoveOf(const InputSpec& input, const BoundInput& tensor, const Slice& slice, const Dims& dims,
            int64_t at) {
  Move move{{tensor.dims, Zeros(dims.rank())}, {dims, Zeros(dims.rank())}, tensor.dims};
  if (input.batch_axis >= 0) {
    move.from.offset[input.batch_axis] = slice.begin;
    move.to.offset[input.batch_axis] = at;
    move.extent[input.batch_axis] = slice.rows;
  }
  return move;
}

// One of the element in the datatype's own bits.
void OneOf(DataType type, std::byte (&one)[8]) {
  std::memset(one, 0, sizeof(one));
  switch (type) {
    case DataType::kFp16:
      one[1] = std::byte{0x3C};
      break;
    case DataType::kBf16:
      one[0] = std::byte{0x80};
      one[1] = std::byte{0x3F};
      break;
    case DataType::kFp32: {
      const float f = 1;
      std::memcpy(one, &f, sizeof(f));
      break;
    }
    case DataType::kFp64: {
      const double d = 1;
      std::memcpy(one, &d, sizeof(d));
      break;
    }
    default:
      one[0] = std::byte{1};
  }
}

void EncodeLength(DataType type, int64_t length, std::byte (&out)[8]) {
  std::memset(out, 0, sizeof(out));
  if (type == DataType::kFp32) {
    const auto f = static_cast<float>(length);
    std::memcpy(out, &f, sizeof(f));
  } else if (type == DataType::kFp64) {
    const auto d = static_cast<double>(length);
    std::memcpy(out, &d, sizeof(d));
  } else {
    std::memcpy(out, &length, sizeof(length));  // Little-endian: the low bytes are the narrower integer.
  }
}

// The mask or the lengths of one slice's rows.
void FillAuto(const InputSpec& input, const BoundRequest& bound, int64_t rows, int64_t at, const Dims& dims,
              InputWriter* writer) {
  const size_t size = ElementSize(input.datatype);
  const int64_t length = bound.lengths[static_cast<size_t>(input.pad_group)];
  Box box{dims, Zeros(dims.rank())};
  Dims extent = dims;
  if (input.batch_axis >= 0) {
    box.offset[input.batch_axis] = at;
    extent[input.batch_axis] = rows;
  }
  std::byte value[8];
  if (input.auto_fill == AutoFill::kLength) {
    EncodeLength(input.datatype, length, value);
    writer->Fill(box, extent, value, size);
    return;
  }
  OneOf(input.datatype, value);
  extent[input.pad_axis] = length;
  writer->Fill(box, extent, value, size);
  box.offset[input.pad_axis] = length;
  extent[input.pad_axis] = dims[input.pad_axis] - length;
  std::memset(value, 0, sizeof(value));
  writer->Fill(box, extent, value, size);
}

// Into the host's memory.
class HostWriter final : public InputWriter {
 public:
  explicit HostWriter(std::byte* dst) : dst_(dst) {}

  void Move(const BoundInput& sent, const Box& from, const Box& to, const Dims& extent,
            const Conversion& conversion) override {
    CopyBox(sent.data.data(), from, dst_, to, extent, conversion);
  }
  void Fill(const Box& box, const Dims& extent, const std::byte* value, size_t element_size) override {
    FillBox(dst_, box, extent, value, element_size);
  }

 private:
  std::byte* const dst_;
};

}  // namespace

bool CanBindDirectly(const InputSpec& spec, const BoundInput& input, std::span<const Slice> batch) {
  if (batch.size() != 1 || input.absent || input.quantization || spec.pad_axis >= 0) return false;
  if (batch[0].rows != batch[0].item->rows || input.data.size() < kDirectBytes) return false;
  const size_t size = ElementSize(spec.datatype);
  return size > 0 && reinterpret_cast<uintptr_t>(input.data.data()) % size == 0;
}

void LayOutInput(const ModelSpec& spec, size_t index, std::span<const Slice> batch, const Dims& dims,
                 InputWriter* writer) {
  const InputSpec& input = spec.inputs[index];
  int64_t at = 0;
  for (const Slice& slice : batch) {
    const BoundRequest& bound = EntryOf(slice).bound;
    const BoundInput& tensor = bound.inputs[index];
    if (tensor.absent) {
      FillAuto(input, bound, slice.rows, at, dims, writer);
    } else {
      Move move = MoveOf(input, tensor, slice, dims, at);
      Conversion conversion{input.datatype, input.datatype, {}, {}, -1};
      if (const Quantization* q = tensor.quantization.get()) {
        conversion = {tensor.wire_type, input.datatype, q->scales, q->zero_points,
                      q->has_axis ? q->axis : -1};
      }
      writer->Move(tensor, move.from, move.to, move.extent, conversion);
      if (input.pad_axis >= 0 && dims[input.pad_axis] > move.extent[input.pad_axis]) {
        move.to.offset[input.pad_axis] = move.extent[input.pad_axis];
        move.extent[input.pad_axis] = dims[input.pad_axis] - move.extent[input.pad_axis];
        writer->Fill(move.to, move.extent, input.pad_value.data(), ElementSize(input.datatype));
      }
    }
    // All requests of the batch have the same bytes here.
    if (input.batch_axis < 0) return;
    at += slice.rows;
  }
}

void PackInput(const ModelSpec& spec, size_t index, std::span<const Slice> batch, const Dims& dims,
               std::byte* dst) {
  HostWriter writer(dst);
  LayOutInput(spec, index, batch, dims, &writer);
}

std::vector<std::string_view> SplitStrings(std::span<const std::byte> data) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < data.size();) {
    uint32_t length = 0;
    std::memcpy(&length, data.data() + at, sizeof(length));
    at += sizeof(length);
    out.emplace_back(reinterpret_cast<const char*>(data.data() + at), length);
    at += length;
  }
  return out;
}

std::vector<std::string_view> PackStrings(const ModelSpec& spec, size_t index, std::span<const Slice> batch,
                                          const Dims& dims) {
  const InputSpec& input = spec.inputs[index];
  std::vector<std::string_view> out(static_cast<size_t>(ElementCount(dims)));
  int64_t at = 0;
  for (const Slice& slice : batch) {
    const BoundInput& tensor = EntryOf(slice).bound.inputs[index];
    const std::vector<std::string_view> all = SplitStrings(tensor.data);
    const Move move = MoveOf(input, tensor, slice, dims, at);
    const PackPlan plan = PlanPack(move.from, move.to, move.extent);
    ForEachRun(plan, [&](int64_t from, int64_t to, int64_t) {
      std::copy_n(all.begin() + from, plan.run, out.begin() + to);
    });
    if (input.batch_axis < 0) break;
    at += slice.rows;
  }
  return out;
}

}  // namespace maas
