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
// Ownership: owns the staging buffers and the run plans; shares the version.
// Threads: one thread at a time. No lock is held while packing, encoding or completing.
// Valid transitions: idle -Next-> running -Finish|Fail-> answered -Deliver-> idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maas/base/dims.h"
#include "maas/exec/answer.h"
#include "maas/exec/entry.h"
#include "maas/exec/run_plans.h"

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
  const std::vector<std::string_view>& strings(size_t index) const { return strings_[index]; }
  // Keys that will not come back; whatever was kept for them must go before the run. Cleared by Next().
  const std::vector<uint64_t>& forgotten() const { return plans_.forgotten(); }

  // The run is over. `outputs` has one entry per output of the spec; where plan() gave memory, `data` null
  // means that it was written there. What `outputs` points to must stay until Deliver() returns. Outputs that
  // do not fit the spec fail the run.
  void Finish(std::vector<RunOutput> outputs);
  // The run failed. A batch of several requests is run again one by one, so that only the guilty fail; but
  // for those whose callers have gone, who are not waited for.
  void Fail(const Status& status);
  // Encodes and completes the answers.
  void Deliver();

  const Version& version() const { return *version_; }
  // Of all instances of the process.
  uint64_t id() const { return id_; }
  // Of the run that Next() prepared, as Interrupt names it.
  uint64_t run_number() const { return ticket_.number; }

 private:
  struct Reply {
    size_t slice = 0;
    size_t answer = 0;   // Into answers_.
    size_t buffer = 0;   // Into buffers_.
    size_t offset = 0;   // In the buffer.
    bool first = false;  // Carries the buffer.
    Status failure;      // Not ok: there is neither answer nor buffer.
  };
  void Prepare();
  // The run is over, well or not.
  void EndRun(bool well);
  Receipt ReceiptOf(const Entry& entry) const;
  // Reserves the buffers of replies_: one per request, or shared by the group of a stream.
  void ReserveBuffers();
  void DeliverWhole();
  // The answers of done_ are encoded, but for `failed` of them.
  void CountAnswers(uint64_t failed);
  // The run went well and its answers are encoded, at `now`.
  void RecordBatch(int64_t now, const LatencyHistogram& latency);
  // Files one slice of a split request, and answers the request if it was the last.
  void DeliverSlice(const Slice& slice, int64_t row);
  void FailSlice(const Slice& slice, const Status& status);
  void CompleteSplit(const Slice& slice);

  const std::shared_ptr<Version> version_;
  const uint64_t id_;

  RunPlans plans_;

  // Of the present batch.
  std::vector<Slice> batch_;
  std::vector<std::shared_ptr<QueueItem>> dead_;
  RunPlan direct_;  // When requests' own bytes are bound.
  const RunPlan* plan_ = nullptr;
  std::vector<std::vector<std::string_view>> strings_;
  std::vector<RunOutput> outputs_;
  Status failure_;
  RunTicket ticket_;
  bool ended_ = true;         // EndRun() was called for the ticket.
  int64_t cpu_began_ns_ = 0;  // CPU time of the thread when the run began.
  int64_t closed_ns_ = 0;
  int64_t started_ns_ = 0;
  int64_t ended_ns_ = 0;
  int64_t run_ns_ = 0;
  int64_t rows_ = 0;
  bool prepared_ = false;
  std::vector<Answer> answers_;  // Reused; the first replies_.size() are in use.
  std::vector<Reply> replies_;
  std::vector<Buffer> buffers_;
  std::vector<Completion> done_;
};

}  // namespace maas
