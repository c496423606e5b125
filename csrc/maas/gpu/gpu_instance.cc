#include "maas/gpu/gpu_instance.h"

#include <cassert>
#include <utility>

namespace maas {

// The first thread's until it is handed over, then the second's until it is delivered.
struct GpuInstance::Slot {
  Slot(std::shared_ptr<Version> version, uint64_t instance) : batch(std::move(version), instance) {}

  RunningBatch batch;
  std::unique_ptr<BatchTransfer> transfer;
  Status failure;         // Not ok: there is nothing to answer with.
  bool fetching = false;  // The transfer can be awaited.
  std::vector<RunOutput> outputs;
  std::shared_ptr<const void> owner;  // Of what the runner gave of them.
};

Status GpuInstance::Make(std::shared_ptr<Version> version, GpuDevice* device, size_t slots,
                         std::unique_ptr<GpuInstance>* out) {
  assert(slots > 0);
  auto made = std::make_unique<GpuInstance>(Key(), std::move(version), device);
  for (DeviceStream* stream : {&made->streams_.up, &made->streams_.compute, &made->streams_.down}) {
    MAAS_RETURN_IF_ERROR(DeviceStream::Make(device, 0, stream));
  }
  for (size_t i = 0; i < slots; ++i) {
    auto slot = std::make_unique<Slot>(made->version_, made->id_);
    MAAS_RETURN_IF_ERROR(
        BatchTransfer::Make(device, &made->version_->spec, &made->streams_, &slot->transfer));
    made->slots_.push_back(std::move(slot));
  }
  *out = std::move(made);
  return {};
}

GpuInstance::GpuInstance(Key, std::shared_ptr<Version> version, GpuDevice* device)
    : version_(std::move(version)),
      device_(device),
      id_(NewInstanceId()),
      tensors_(device),
      plans_(&version_->spec, &tensors_) {}

GpuInstance::~GpuInstance() = default;

bool GpuInstance::Next() {
  assert(!running());
  plans_.ClearForgotten();
  while (true) {
    // As of before the queue is asked: what is delivered afterwards may have come back to it.
    const bool nothing_under_way = AwaitSlot();
    Slot* const slot = slots_[next_].get();
    if (slot->batch.Take()) {
      slot->failure = Prepare(slot);
      if (slot->failure.ok()) {
        running_ = slot;
        return true;
      }
      HandOver();
    } else if (nothing_under_way) {
      MutexLock lock(&mu_);
      ended_ = true;
      changed_.SignalAll();
      return false;
    } else {
      // A run of these that fails brings requests back, also to a queue that is closed.
      AwaitAllDelivered();
    }
  }
}

bool GpuInstance::AwaitSlot() {
  MutexLock lock(&mu_);
  while (under_way_ == slots_.size()) changed_.Wait(&mu_);
  return under_way_ == 0;
}

void GpuInstance::AwaitAllDelivered() {
  MutexLock lock(&mu_);
  while (under_way_ > 0) changed_.Wait(&mu_);
}

Status GpuInstance::Prepare(Slot* slot) {
  plan_ = device_->lost() ? nullptr : PlanFor(slot->batch);
  if (device_->lost()) return device_->LostStatus();
  if (plan_ == nullptr) {
    return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for a batch of this shape");
  }
  MAAS_RETURN_IF_ERROR(slot->transfer->Begin(*plan_, slot->batch.slices()));
  slot->batch.Begin();
  return {};
}

const RunPlan* GpuInstance::PlanFor(const RunningBatch& batch) {
  const RunPlan* const plan = plans_.ForIfAllStays(batch.any(), batch.rows());
  if (plan != nullptr) return plan;
  AwaitAllDelivered();
  return plans_.For(batch.any(), batch.rows());
}

const RunPlan& GpuInstance::plan() const {
  assert(running());
  return *plan_;
}

uint64_t GpuInstance::run_number() const {
  assert(running());
  return running_->batch.run_number();
}

void GpuInstance::Launched(std::vector<RunOutput> outputs, std::shared_ptr<const void> owner) {
  assert(running() && (outputs.empty() || outputs.size() == plan_->outputs.size()));
  running_->outputs = std::move(outputs);
  running_->owner = std::move(owner);
  running_->failure = running_->transfer->Fetch();
  running_->fetching = running_->failure.ok();
  HandOver();
}

void GpuInstance::Fail(const Status& status) {
  assert(running() && !status.ok());
  running_->failure = status;
  // So that the slot is at rest when it is delivered, and that a device that was lost is known to be.
  running_->fetching = running_->transfer->Fetch().ok();
  HandOver();
}

void GpuInstance::HandOver() {
  running_ = nullptr;
  next_ = (next_ + 1) % slots_.size();
  MutexLock lock(&mu_);
  ++under_way_;
  changed_.SignalAll();
}

bool GpuInstance::DeliverNext() {
  {
    MutexLock lock(&mu_);
    while (under_way_ == 0 && !ended_) changed_.Wait(&mu_);
    if (under_way_ == 0) return false;
  }
  Slot* const slot = slots_[oldest_].get();
  End(slot);
  slot->batch.Deliver();
  slot->owner.reset();
  oldest_ = (oldest_ + 1) % slots_.size();
  MutexLock lock(&mu_);
  --under_way_;
  changed_.SignalAll();
  return true;
}

void GpuInstance::End(Slot* slot) {
  int64_t run_ns = -1;
  if (slot->fetching) {
    const Status fetched = slot->transfer->Await(&slot->outputs, &run_ns);
    if (slot->failure.ok()) slot->failure = fetched;
    slot->fetching = false;
  }
  if (slot->failure.ok()) {
    slot->batch.Finish(std::move(slot->outputs), run_ns);
    return;
  }
  // Whatever a run fails with on a lost device, that is why.
  slot->batch.Fail(device_->lost() ? device_->LostStatus() : slot->failure);
}

}  // namespace maas
