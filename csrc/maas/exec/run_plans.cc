#include "maas/exec/run_plans.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "maas/exec/run_shapes.h"

namespace maas {
namespace {

// Shapes come and go with variable dimensions; beyond so many plans all are dropped and made anew.
constexpr size_t kMaxPlans = 512;
// Staging grows at once to what the largest batch of a lane needs, unless that is more than this.
constexpr size_t kEagerStaging = size_t{256} << 20;

uint64_t NextKey() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

bool Holds(const StagingBuffer& staging, const RunPlan::Tensor& tensor) {
  return tensor.bytes <= staging.capacity() && staging.data() != nullptr;
}

std::vector<StagingBuffer> EmptyBuffers(size_t count, TensorMemory* memory) {
  std::vector<StagingBuffer> buffers;
  buffers.reserve(count);
  for (size_t i = 0; i < count; ++i) buffers.emplace_back(memory);
  return buffers;
}

}  // namespace

RunPlans::RunPlans(const ModelSpec* spec, TensorMemory* memory)
    : spec_(spec),
      inputs_(EmptyBuffers(spec->inputs.size(), memory)),
      outputs_(EmptyBuffers(spec->outputs.size(), memory)) {}

void RunPlans::MakeKey(const BoundRequest& any, int64_t rows) {
  const auto append = [this](int64_t number) {
    key_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  };
  // Not the lane's key: it is empty for solo requests of any shape, and holds the values of shared inputs.
  key_.clear();
  append(rows);
  for (int64_t padded : any.padded) append(padded);
  for (size_t i = 0; i < spec_->inputs.size(); ++i) {
    const InputSpec& input = spec_->inputs[i];
    const BoundInput& bound = any.inputs[i];
    for (int axis = 0; axis < static_cast<int>(input.dims.size()); ++axis) {
      const bool varies =
          input.dims[static_cast<size_t>(axis)] < 0 && axis != input.batch_axis && axis != input.pad_axis;
      if (varies) append(bound.absent ? -1 : bound.dims[axis]);
    }
  }
}

const RunPlan* RunPlans::For(const BoundRequest& any, int64_t rows) { return Get(any, rows, true); }

const RunPlan* RunPlans::ForIfAllStays(const BoundRequest& any, int64_t rows) {
  return Get(any, rows, false);
}

const RunPlan* RunPlans::Get(const BoundRequest& any, int64_t rows, bool may_move) {
  MakeKey(any, rows);
  if (const auto found = plans_.find(key_); found != plans_.end()) return found->second.get();
  const RunShapes shapes = ShapesOfRun(*spec_, any, rows);
  auto plan = std::make_unique<RunPlan>();
  plan->rows = rows;
  bool keep = true;
  for (size_t i = 0; i < spec_->inputs.size(); ++i) {
    const DataType type = spec_->inputs[i].datatype;
    keep = keep && type != DataType::kBytes;
    const int64_t bytes = RunBytes(shapes.inputs[i], type);
    if (bytes < 0) return nullptr;
    plan->inputs.push_back({shapes.inputs[i], nullptr, static_cast<size_t>(bytes)});
  }
  for (size_t i = 0; i < spec_->outputs.size(); ++i) {
    const int64_t bytes = shapes.known[i] ? RunBytes(shapes.outputs[i], spec_->outputs[i].datatype) : 0;
    if (bytes < 0) return nullptr;
    plan->outputs.push_back({shapes.outputs[i], nullptr, static_cast<size_t>(bytes)});
  }
  if (!may_move && (plans_.size() >= kMaxPlans || !HasRoom(*plan))) return nullptr;
  if (plans_.size() >= kMaxPlans) Forget();
  if (!Reserve(*plan)) return nullptr;
  for (size_t i = 0; i < spec_->inputs.size(); ++i) {
    if (spec_->inputs[i].datatype != DataType::kBytes) plan->inputs[i].data = inputs_[i].data();
  }
  for (size_t i = 0; i < spec_->outputs.size(); ++i) {
    if (shapes.known[i]) plan->outputs[i].data = outputs_[i].data();
  }
  plan->key = keep ? NextKey() : 0;
  return plans_.emplace(key_, std::move(plan)).first->second.get();
}

bool RunPlans::HasRoom(const RunPlan& plan) const {
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    if (!Holds(inputs_[i], plan.inputs[i])) return false;
  }
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    if (!Holds(outputs_[i], plan.outputs[i])) return false;
  }
  return true;
}

bool RunPlans::Reserve(const RunPlan& plan) {
  bool moved = false;
  bool ok = true;
  const auto grow = [&](const RunPlan::Tensor& tensor, bool batched, StagingBuffer* staging) {
    if (Holds(*staging, tensor)) return;
    const auto rows = static_cast<size_t>(plan.rows);
    const auto most = static_cast<size_t>(std::max(spec_->max_batch_size, plan.rows));
    const size_t row = tensor.bytes / rows;
    const bool eager = batched && row <= kEagerStaging / most;
    moved = true;
    staging->Grow(eager ? std::max(tensor.bytes, row * most) : tensor.bytes);
    if (staging->data() == nullptr) staging->Grow(tensor.bytes);
    ok = ok && staging->data() != nullptr;
  };
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    grow(plan.inputs[i], spec_->inputs[i].batch_axis >= 0, &inputs_[i]);
  }
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    grow(plan.outputs[i], spec_->outputs[i].batch_axis >= 0, &outputs_[i]);
  }
  if (moved) Forget();
  return ok;
}

void RunPlans::Forget() {
  for (const auto& [key, plan] : plans_) {
    if (plan->key != 0) forgotten_.push_back(plan->key);
  }
  plans_.clear();
}

}  // namespace maas
