#include "maas/gpu/batch_transfer.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "maas/base/datatype.h"
#include "maas/exec/batch_pack.h"
#include "maas/pack/block.h"

namespace maas {
namespace {

// Of every tensor in the transfer's memory: what a device reads or writes at once, and allocates.
constexpr size_t kAlignment = 256;
// Memory grows at once to what the largest batch of a plan needs, unless one tensor of that is more.
constexpr size_t kEagerBytes = size_t{256} << 20;

constexpr size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// What `bytes` of `rows` rows are at `most` rows; `bytes` where that is too much to ask for before it is
// needed.
size_t AtMostRows(size_t bytes, int64_t rows, int64_t most) {
  const size_t row = bytes / static_cast<size_t>(rows);
  const auto times = static_cast<size_t>(std::max(rows, most));
  return row <= kEagerBytes / times ? std::max(bytes, row * times) : bytes;
}

// What the tensors of the largest batch like the plan's take.
template <typename Spec>
size_t LargestBytes(const std::vector<RunPlan::Tensor>& tensors, const std::vector<Spec>& specs, int64_t rows,
                    int64_t most) {
  size_t bytes = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const size_t now = tensors[i].bytes;
    bytes += Aligned(specs[i].batch_axis >= 0 ? AtMostRows(now, rows, most) : now);
  }
  return bytes;
}

// Where the memory is too small for `needed`, replaces it by one of `wanted` bytes. REQUIRES: needed <=
// wanted.
template <typename Memory>
Status Grow(GpuDevice* device, size_t needed, size_t wanted, Memory* memory) {
  if (memory->data() != nullptr && needed <= memory->bytes()) return {};
  *memory = {};  // Before: there may not be enough for both.
  return Memory::Allocate(device, wanted, memory);
}

std::byte* LowestOf(const std::vector<RunPlan::Tensor>& tensors) {
  std::byte* lowest = nullptr;
  for (const RunPlan::Tensor& tensor : tensors) {
    if (tensor.data == nullptr) continue;
    if (lowest == nullptr || tensor.data < lowest) lowest = tensor.data;
  }
  return lowest;
}

// Tensors may be pieces of memory that have nothing to do with each other.
uint64_t Distance(const std::byte* from, const std::byte* to) {
  return reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from);
}

void CopyTo(std::byte* to, std::span<const std::byte> bytes) {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
}

const MaasSegment* SegmentsAt(const std::byte* memory) {
  return reinterpret_cast<const MaasSegment*>(memory);
}

}  // namespace

// Of one input. What is moved is staged first, dense, so that only the rows of a slice go up.
class BatchTransfer::SegmentWriter final : public InputWriter {
 public:
  SegmentWriter(BatchTransfer* transfer, uint64_t dst) : transfer_(transfer), dst_(dst) {}

  void Move(const BoundInput& sent, const Box& from, const Box& to, const Dims& extent,
            const Conversion& conversion) override {
    const size_t bytes = static_cast<size_t>(ElementCount(extent)) * ElementSize(conversion.from);
    if (bytes == 0) return;
    Conversion of_box = conversion;
    if (const int axis = conversion.axis; axis >= 0 && conversion.scales.size() > 1) {
      const auto first = static_cast<size_t>(from.offset[axis]);
      const auto count = static_cast<size_t>(extent[axis]);
      of_box.scales = conversion.scales.subspan(first, count);
      of_box.zero_points = conversion.zero_points.subspan(first, count);
    }
    const size_t at = transfer_->staged_bytes_;
    transfer_->inputs_.AddMove({extent, Zeros(extent.rank())}, at, to, dst_, extent, of_box);
    transfer_->staged_.push_back({sent.data.data(), conversion.from, from, extent, at});
    transfer_->staged_bytes_ += Aligned(bytes);
  }
  void Fill(const Box& box, const Dims& extent, const std::byte* value, size_t element_size) override {
    transfer_->inputs_.AddFill(box, dst_, extent, value, element_size);
  }

 private:
  BatchTransfer* const transfer_;
  const uint64_t dst_;
};

Status BatchTransfer::Make(GpuDevice* device, const ModelSpec* spec, const Streams* streams,
                           std::unique_ptr<BatchTransfer>* out) {
  auto made = std::make_unique<BatchTransfer>(Key(), device, spec, streams);
  for (DeviceEvent* event : {&made->uploaded_, &made->gathered_, &made->fetched_}) {
    MAAS_RETURN_IF_ERROR(DeviceEvent::Make(device, false, event));
  }
  for (DeviceEvent* event : {&made->started_, &made->ended_}) {
    MAAS_RETURN_IF_ERROR(DeviceEvent::Make(device, true, event));
  }
  *out = std::move(made);
  return {};
}

Status BatchTransfer::Begin(const RunPlan& plan, std::span<const Slice> batch) {
  if (under_way_) MAAS_RETURN_IF_ERROR(Settle());
  LayOut(plan, batch);
  MAAS_RETURN_IF_ERROR(Reserve(plan, batch.size()));
  Stage();
  under_way_ = true;
  MAAS_RETURN_IF_ERROR(streams_->up.Upload(raw_up_.data(), pinned_up_.data(), layout_.bytes));
  MAAS_RETURN_IF_ERROR(streams_->up.Record(uploaded_));
  MAAS_RETURN_IF_ERROR(streams_->compute.Wait(uploaded_));
  MAAS_RETURN_IF_ERROR(streams_->compute.Record(started_));
  const std::byte* const up = raw_up_.data();
  return streams_->compute.Move(SegmentsAt(up), static_cast<uint32_t>(inputs_.segments().size()),
                                inputs_.tiles(), up + layout_.params, up + layout_.tensors, inputs_base_);
}

Status BatchTransfer::Fetch() {
  MAAS_RETURN_IF_ERROR(streams_->compute.Record(ended_));
  const std::byte* const up = raw_up_.data();
  MAAS_RETURN_IF_ERROR(streams_->compute.Move(
      SegmentsAt(up + layout_.output_segments), static_cast<uint32_t>(outputs_.segments().size()),
      outputs_.tiles(), up + layout_.params, outputs_base_, raw_down_.data()));
  MAAS_RETURN_IF_ERROR(streams_->compute.Record(gathered_));
  MAAS_RETURN_IF_ERROR(streams_->down.Wait(gathered_));
  MAAS_RETURN_IF_ERROR(streams_->down.Download(pinned_down_.data(), raw_down_.data(), output_bytes_));
  return streams_->down.Record(fetched_);
}

Status BatchTransfer::Await(std::vector<RunOutput>* outputs, int64_t* run_ns) {
  MAAS_RETURN_IF_ERROR(fetched_.Synchronize());
  under_way_ = false;
  MAAS_RETURN_IF_ERROR(DeviceEvent::Elapsed(started_, ended_, run_ns));
  outputs->resize(fetched_outputs_.size());
  for (size_t i = 0; i < fetched_outputs_.size(); ++i) {
    const Output& fetched = fetched_outputs_[i];
    if (!fetched.known) continue;
    (*outputs)[i].dims = fetched.dims;
    (*outputs)[i].data = pinned_down_.data() + fetched.at;
  }
  return {};
}

Status BatchTransfer::Settle() {
  // Anew on every stream: which of them were recorded, and for which batch, is not known.
  MAAS_RETURN_IF_ERROR(streams_->up.Record(uploaded_));
  MAAS_RETURN_IF_ERROR(streams_->compute.Record(gathered_));
  MAAS_RETURN_IF_ERROR(streams_->down.Record(fetched_));
  MAAS_RETURN_IF_ERROR(uploaded_.Synchronize());
  MAAS_RETURN_IF_ERROR(gathered_.Synchronize());
  MAAS_RETURN_IF_ERROR(fetched_.Synchronize());
  under_way_ = false;
  return {};
}

void BatchTransfer::LayOut(const RunPlan& plan, std::span<const Slice> batch) {
  inputs_.Clear();
  staged_.clear();
  staged_bytes_ = 0;
  inputs_base_ = LowestOf(plan.inputs);
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const RunPlan::Tensor& tensor = plan.inputs[i];
    assert(tensor.data != nullptr);
    SegmentWriter writer(this, Distance(inputs_base_, tensor.data));
    LayOutInput(*spec_, i, batch, tensor.dims, &writer);
  }
  LayOutOutputs(plan);
  layout_.output_segments = Aligned(inputs_.segments().size_bytes());
  layout_.params = layout_.output_segments + Aligned(outputs_.segments().size_bytes());
  layout_.tensors = layout_.params + Aligned(inputs_.params().size());
  layout_.bytes = layout_.tensors + staged_bytes_;
}

void BatchTransfer::LayOutOutputs(const RunPlan& plan) {
  outputs_.Clear();
  fetched_outputs_.clear();
  output_bytes_ = 0;
  outputs_base_ = LowestOf(plan.outputs);
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const RunPlan::Tensor& tensor = plan.outputs[i];
    fetched_outputs_.push_back({tensor.data != nullptr, tensor.dims, output_bytes_});
    if (tensor.data == nullptr) continue;
    const DataType type = spec_->outputs[i].datatype;
    const Dims elements{static_cast<int64_t>(tensor.bytes / ElementSize(type))};
    const Box whole{elements, Zeros(1)};
    outputs_.AddMove(whole, Distance(outputs_base_, tensor.data), whole, output_bytes_, elements,
                     {type, type, {}, {}, -1});
    output_bytes_ += Aligned(tensor.bytes);
  }
}

Status BatchTransfer::Reserve(const RunPlan& plan, size_t slices) {
  const int64_t most = spec_->max_batch_size;
  // At most: one to move and one to pad with, or two to fill.
  const size_t per_slice = plan.inputs.size() * (kAlignment + 2 * sizeof(MaasSegment));
  const size_t rows = static_cast<size_t>(std::max<int64_t>(plan.rows, static_cast<int64_t>(slices)));
  const size_t up = LargestBytes(plan.inputs, spec_->inputs, plan.rows, most) +
                    AtMostRows(per_slice * rows, static_cast<int64_t>(rows), most) +
                    Aligned(outputs_.segments().size_bytes()) + 2 * kAlignment;
  const size_t down = LargestBytes(plan.outputs, spec_->outputs, plan.rows, most);
  Status grown = GrowTo(std::max(up, layout_.bytes), std::max(down, output_bytes_));
  if (grown.code() != Code::kResourceExhausted) return grown;
  // What was taken in advance for one may be what another lacks.
  pinned_up_ = {};
  raw_up_ = {};
  raw_down_ = {};
  pinned_down_ = {};
  return GrowTo(layout_.bytes, output_bytes_);
}

Status BatchTransfer::GrowTo(size_t up, size_t down) {
  MAAS_RETURN_IF_ERROR(Grow(device_, layout_.bytes, up, &pinned_up_));
  MAAS_RETURN_IF_ERROR(Grow(device_, layout_.bytes, up, &raw_up_));
  MAAS_RETURN_IF_ERROR(Grow(device_, output_bytes_, down, &raw_down_));
  return Grow(device_, output_bytes_, down, &pinned_down_);
}

void BatchTransfer::Stage() {
  std::byte* const up = pinned_up_.data();
  CopyTo(up, std::as_bytes(inputs_.segments()));
  CopyTo(up + layout_.output_segments, std::as_bytes(outputs_.segments()));
  CopyTo(up + layout_.params, inputs_.params());
  for (const Staged& staged : staged_) {
    CopyBox(staged.data, staged.from, up + layout_.tensors + staged.at,
            {staged.extent, Zeros(staged.extent.rank())}, staged.extent,
            {staged.datatype, staged.datatype, {}, {}, -1});
  }
}

}  // namespace maas
