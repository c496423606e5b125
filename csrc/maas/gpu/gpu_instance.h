// One lane of execution of a model version on a GPU: several batches under way at a time, between two
// threads.
//
// The thread of the runner prepares and launches:
//   while (instance.Next()) {              // blocks
//     begin the run of instance.plan() on instance.compute()
//     instance.Launched(outputs, owner);   // or Fail(status)
//   }
// Another one delivers, in the order of the runs:
//   while (instance.DeliverNext()) {}      // blocks
// So one batch goes up while another runs and the one before that comes down. Neither thread spins: the first
// waits for a batch or for a slot, the second for a launch or for the device to be done with the oldest.
//
// A slot is what one batch under way needs of its own. The tensors of runs are shared by all of them, since
// the compute stream works on one batch after the other. So they move, and keys are forgotten, only while
// nothing is under way: a batch for which they must is prepared when all before it are delivered.
//
// Failures. Whatever fails of a batch fails that batch in its turn, and what then runs again, runs one by
// one. Once the device is lost that is every batch, as it comes, with DEVICE_LOST.
//
// Ownership: owns streams, slots and the tensors of runs; shares the version. The device outlives it.
// Threads: as said at each method. When it is destroyed both threads have ended: each was told false, or
// never began.
// Valid transitions, of the first thread: idle -Next-> running -Launched|Fail-> idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/exec/answer.h"
#include "maas/exec/run_plans.h"
#include "maas/exec/running_batch.h"
#include "maas/exec/version.h"
#include "maas/gpu/batch_transfer.h"
#include "maas/gpu/device.h"
#include "maas/gpu/device_tensors.h"

namespace maas {

class GpuInstance {
  // Keeps the constructor, which makes no streams, to Make().
  struct Key {
    explicit Key() = default;
  };

 public:
  // `slots`: so many batches are under way at most. REQUIRES: at least 1, and no tensor of the version is
  // BYTES.
  static Status Make(std::shared_ptr<Version> version, GpuDevice* device, size_t slots,
                     std::unique_ptr<GpuInstance>* out);
  GpuInstance(Key, std::shared_ptr<Version> version, GpuDevice* device);
  ~GpuInstance();
  GpuInstance(const GpuInstance&) = delete;
  GpuInstance& operator=(const GpuInstance&) = delete;

  // The thread of the runner:

  // Blocks for a slot and the next batch, has it laid out on the device and returns true; false once the
  // queue is closed and empty and nothing is under way that could come back to it.
  bool Next() MAAS_EXCLUDES(mu_);
  // Whether a run is prepared, and neither launched nor failed.
  bool running() const { return running_ != nullptr; }
  // The run that Next() prepared: memory of the device, which is laid out when what follows on compute()
  // begins. Valid until Launched() or Fail().
  const RunPlan& plan() const;
  // Keys that will not come back; whatever was kept for them must go before the run. No run is under way on
  // them. Cleared by Next().
  const std::vector<uint64_t>& forgotten() const { return plans_.forgotten(); }
  // Of the run that Next() prepared, as Interrupt names it.
  uint64_t run_number() const;
  // What runs are begun on.
  const DeviceStream& compute() const { return streams_.compute; }

  // The run is begun: all of it is on compute(), and writes the outputs of plan(). `outputs`: one entry per
  // output of the spec, of which those count that plan() gives no memory; they are in the host's memory, at
  // rest, and stay as long as `owner`, which DeliverNext() drops. None: plan() gives memory to all.
  void Launched(std::vector<RunOutput> outputs = {}, std::shared_ptr<const void> owner = nullptr)
      MAAS_EXCLUDES(mu_);
  // The run could not be begun, or not all of it. Fails its batch as RunningBatch::Fail() does, in its turn.
  void Fail(const Status& status) MAAS_EXCLUDES(mu_);

  // The thread that delivers:

  // Sleeps until the device is done with the oldest batch under way, delivers it and returns true; false
  // once Next() returned false.
  bool DeliverNext() MAAS_EXCLUDES(mu_);

  // Any thread:

  // Whether the device is lost, and every batch fails. See GpuDevice::LostStatus() for why.
  bool lost() const { return device_->lost(); }
  const Version& version() const { return *version_; }
  // Of all instances of the process.
  uint64_t id() const { return id_; }

 private:
  struct Slot;
  // Blocks until fewer batches than slots are under way. True: none is.
  bool AwaitSlot() MAAS_EXCLUDES(mu_);
  void AwaitAllDelivered() MAAS_EXCLUDES(mu_);
  // The batch that the slot took is put on its way up, and what is to be run is known.
  Status Prepare(Slot* slot) MAAS_EXCLUDES(mu_);
  const RunPlan* PlanFor(const RunningBatch& batch) MAAS_EXCLUDES(mu_);
  // Hands the slot that is next to the other thread.
  void HandOver() MAAS_EXCLUDES(mu_);
  // The device is done with the slot's batch; its answers can be delivered.
  void End(Slot* slot);

  const std::shared_ptr<Version> version_;
  GpuDevice* const device_;
  const uint64_t id_;

  DeviceTensors tensors_;
  // The first thread's.
  RunPlans plans_;
  BatchTransfer::Streams streams_;
  const RunPlan* plan_ = nullptr;
  Slot* running_ = nullptr;  // Prepared, and neither launched nor failed.
  size_t next_ = 0;          // Into slots_.
  // The second's.
  size_t oldest_ = 0;  // Into slots_.

  std::vector<std::unique_ptr<Slot>> slots_;  // A ring, so that batches are under way in order.

  Mutex mu_;
  CondVar changed_;
  size_t under_way_ MAAS_GUARDED_BY(mu_) = 0;  // Handed over and not delivered.
  bool ended_ MAAS_GUARDED_BY(mu_) = false;    // Next() returned false.
};

}  // namespace maas
