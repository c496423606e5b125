#include "maas/exec/batch_pack.h"

#include <cstring>

#include "maas/pack/block.h"

namespace maas {
namespace {

// Below this, the copy costs less than the 8 µs of binding other memory.
constexpr size_t kDirectBytes = size_t{256} << 10;

const std::vector<int32_t>& NoZeroPoints() {
  static const std::vector<int32_t> none;
  return none;
}

// One of the element, and zero, in the datatype's own bits.
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
              std::byte* dst) {
  const size_t size = ElementSize(input.datatype);
  const int64_t length = bound.lengths[static_cast<size_t>(input.pad_group)];
  Box box{dims, dims};
  Dims extent = dims;
  for (int axis = 0; axis < dims.rank(); ++axis) box.offset[axis] = 0;
  if (input.batch_axis >= 0) {
    box.offset[input.batch_axis] = at;
    extent[input.batch_axis] = rows;
  }
  std::byte value[8];
  if (input.auto_fill == AutoFill::kLength) {
    EncodeLength(input.datatype, length, value);
    FillBox(dst, box, extent, value, size);
    return;
  }
  OneOf(input.datatype, value);
  extent[input.pad_axis] = length;
  FillBox(dst, box, extent, value, size);
  box.offset[input.pad_axis] = length;
  extent[input.pad_axis] = dims[input.pad_axis] - length;
  std::memset(value, 0, sizeof(value));
  FillBox(dst, box, extent, value, size);
}

}  // namespace

bool CanBindDirectly(const InputSpec& spec, const BoundInput& input, std::span<const Slice> batch) {
  if (batch.size() != 1 || input.absent || input.quantization || spec.pad_axis >= 0) return false;
  if (batch[0].rows != batch[0].item->rows || input.data.size() < kDirectBytes) return false;
  const size_t size = ElementSize(spec.datatype);
  return size > 0 && reinterpret_cast<uintptr_t>(input.data.data()) % size == 0;
}

void PackInput(const ModelSpec& spec, size_t index, std::span<const Slice> batch, const Dims& dims,
               std::byte* dst) {
  const InputSpec& input = spec.inputs[index];
  int64_t at = 0;
  for (const Slice& slice : batch) {
    const BoundRequest& bound = EntryOf(slice).bound;
    const BoundInput& tensor = bound.inputs[index];
    if (tensor.absent) {
      FillAuto(input, bound, slice.rows, at, dims, dst);
    } else {
      Box from{tensor.dims, tensor.dims};
      Box to{dims, dims};
      Dims extent = tensor.dims;
      for (int axis = 0; axis < dims.rank(); ++axis) from.offset[axis] = to.offset[axis] = 0;
      if (input.batch_axis >= 0) {
        from.offset[input.batch_axis] = slice.begin;
        to.offset[input.batch_axis] = at;
        extent[input.batch_axis] = slice.rows;
      }
      Conversion conversion{tensor.wire_type, input.datatype, {}, NoZeroPoints(), -1};
      if (const Quantization* q = tensor.quantization.get()) {
        conversion.scales = q->scales;
        conversion.zero_points = q->zero_points;
        conversion.axis = q->has_axis ? q->axis : -1;
      } else {
        conversion.from = input.datatype;
      }
      CopyBox(tensor.data.data(), from, dst, to, extent, conversion);
      if (input.pad_axis >= 0 && dims[input.pad_axis] > extent[input.pad_axis]) {
        to.offset[input.pad_axis] = extent[input.pad_axis];
        extent[input.pad_axis] = dims[input.pad_axis] - extent[input.pad_axis];
        FillBox(dst, to, extent, input.pad_value.data(), ElementSize(input.datatype));
      }
    }
    // All requests of the batch have the same bytes here.
    if (input.batch_axis < 0) return;
    at += slice.rows;
  }
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

std::vector<std::string_view> PackStrings(const ModelSpec& spec, size_t index, std::span<const Slice> batch) {
  const InputSpec& input = spec.inputs[index];
  std::vector<std::string_view> out;
  for (const Slice& slice : batch) {
    const auto strings = SplitStrings(EntryOf(slice).bound.inputs[index].data);
    if (input.batch_axis < 0) return strings;
    const auto per_row = strings.size() / static_cast<size_t>(slice.item->rows);
    const auto begin = strings.begin() + static_cast<int64_t>(per_row) * slice.begin;
    out.insert(out.end(), begin, begin + static_cast<int64_t>(per_row) * slice.rows);
  }
  return out;
}

}  // namespace maas
