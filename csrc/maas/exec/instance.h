// One lane of execution of one model version: pulls batches, packs them, hands out the answers.
//
// The thread of the runner drives it:
//   while (instance.Next()) {             // blocks
//     run the model on instance.plan()
//     instance.Finish(outputs);           // or Fail(status)
//     instance.Deliver();
//   }
// Finish() only plans and asks the sinks for memory; Deliver() moves the bytes. So a front whose memory is
// guarded by a lock (Python's) can hold it in the one and not in the other.
//
// Ownership: owns the run plans and the batch; shares the version.
// Threads: one thread at a time. No lock is held while packing, encoding or completing.
// Valid transitions: idle -Next-> running -Finish|Fail-> answered -Deliver-> idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "maas/exec/answer.h"
#include "maas/exec/entry.h"
#include "maas/exec/run_plans.h"
#include "maas/exec/running_batch.h"

namespace maas {

class Instance {
 public:
  explicit Instance(std::shared_ptr<Version> version);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // Blocks for the next batch, packs it and returns true; false once the queue is closed and empty.
  bool Next();
  // Whether a run is prepared and not delivered yet.
  bool running() const { return !batch_.empty(); }
  // The run that Next() prepared. Valid until the following Next().
  const RunPlan& plan() const { return *plan_; }
  // The elements of BYTES input `index`; they borrow from the requests.
  const std::vector<std::string_view>& strings(size_t index) const { return batch_.strings(index); }
  // Keys that will not come back; whatever was kept for them must go before the run. Cleared by Next().
  const std::vector<uint64_t>& forgotten() const { return plans_.forgotten(); }

  // The run is over. `outputs` has one entry per output of the spec; where plan() gave memory, `data` null
  // means that it was written there. What `outputs` points to must stay until Deliver() returns. Outputs that
  // do not fit the spec fail the run.
  void Finish(std::vector<RunOutput> outputs);
  // The run failed. A batch of several requests is run again one by one, so that only the guilty fail; but
  // for those whose callers have gone, who are not waited for.
  void Fail(const Status& status) { batch_.Fail(status); }
  // Encodes and completes the answers.
  void Deliver() { batch_.Deliver(); }

  const Version& version() const { return *version_; }
  // Of all instances of the process.
  uint64_t id() const { return id_; }
  // Of the run that Next() prepared, as Interrupt names it.
  uint64_t run_number() const { return batch_.run_number(); }

 private:
  // Lays the batch out, where plan_ says. False: there is no memory.
  bool Pack();

  const std::shared_ptr<Version> version_;
  const uint64_t id_;

  RunPlans plans_;
  RunningBatch batch_;
  RunPlan direct_;  // When requests' own bytes are bound.
  const RunPlan* plan_ = nullptr;
};

}  // namespace maas
