// One batch on its way through the core: from the queue until its answers are delivered.
//
// Whoever runs the model drives it:
//   while (batch.Take()) {          // blocks
//     lay batch.slices() out for the run
//     batch.Begin();
//     run the model
//     batch.Finish(outputs);        // or Fail(status), also instead of Begin()
//     batch.Deliver();
//   }
// Used for one batch after the other, so that its memory is that of the largest. A lane of execution that
// prepares the next batch while one runs has several.
//
// Ownership: shares the version, and the requests until they are completed.
// Threads: one at a time; each step may be another thread's if the one before happens before it. No lock is
// held while encoding or completing.
// Valid transitions: empty -Take-> taken -Begin-> running -Finish|Fail-> answered -Deliver-> empty;
// taken -Fail-> answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "maas/base/dims.h"
#include "maas/exec/answer.h"
#include "maas/exec/entry.h"

namespace maas {

// A number for something that runs batches, as Interrupt names it. Unique in the process, never 0.
uint64_t NewInstanceId();

class RunningBatch {
 public:
  // `instance`: whose runs these are, a NewInstanceId().
  RunningBatch(std::shared_ptr<Version> version, uint64_t instance);
  RunningBatch(const RunningBatch&) = delete;
  RunningBatch& operator=(const RunningBatch&) = delete;

  // Blocks for the next batch and returns true; false once the queue is closed and empty. Completes those
  // who died waiting.
  bool Take();
  bool empty() const { return slices_.empty(); }
  // Of one lane, in the order of their rows in the run. Valid until Deliver(), as are the others.
  std::span<const Slice> slices() const { return slices_; }
  // Of all slices.
  int64_t rows() const { return rows_; }
  // One of the requests: they agree in all that the shapes of the run depend on.
  const BoundRequest& any() const;
  // Reads the elements of BYTES input `index`, whose tensor in the run is of shape `dims`.
  void ReadStrings(size_t index, const Dims& dims);
  // What ReadStrings() read; they borrow from the requests.
  const std::vector<std::string_view>& strings(size_t index) const { return strings_[index]; }
  // Of the run, as Interrupt names it.
  uint64_t run_number() const { return ticket_.number; }

  // The run begins, and what the thread computes from now on is the run's.
  void Begin();
  // The run is over. `outputs` has one entry per output of the spec; what they point to must stay until
  // Deliver() returns. Outputs that do not fit the spec fail the run. What the run computed is only known if
  // it is the thread of Begin() that calls this.
  // `run_ns`: what the run took of the time since Begin(), the rest of which it waited for the device; -1:
  // all of it.
  void Finish(std::vector<RunOutput> outputs, int64_t run_ns = -1);
  // The run failed. A batch of several requests is run again one by one, so that only the guilty fail; but
  // for those whose callers have gone, who are not waited for.
  void Fail(const Status& status);
  // Encodes and completes the answers.
  void Deliver();

 private:
  struct Reply {
    size_t slice = 0;
    size_t answer = 0;   // Into answers_.
    size_t buffer = 0;   // Into buffers_.
    size_t offset = 0;   // In the buffer.
    bool first = false;  // Carries the buffer.
    Status failure;      // Not ok: there is neither answer nor buffer.
  };
  // The answers of one stream.
  struct Group {
    const CompletionSink* sink = nullptr;
    uint64_t group = 0;
    size_t buffer = 0;  // Into buffers_, to which its next answer goes if there is room.
  };
  // The run is over, well or not.
  void EndRun(bool well);
  Receipt ReceiptOf(const Entry& entry) const;
  // Makes replies_, of the requests that are in the batch whole.
  void PlanReplies();
  // Reserves the buffers of replies_: one per request, or shared by the group of a stream.
  void ReserveBuffers();
  void DeliverWhole();
  void DeliverSlices();
  void DeliverFailure();
  // The answers of done_ are encoded, but for `failed` of them.
  void CountAnswers(uint64_t failed);
  // The run went well and its answers are encoded, at `now`.
  void RecordBatch(int64_t now, const LatencyHistogram& latency);

  const std::shared_ptr<Version> version_;

  std::vector<Slice> slices_;
  std::vector<std::shared_ptr<QueueItem>> dead_;
  RunTicket ticket_;
  std::vector<std::vector<std::string_view>> strings_;
  int64_t rows_ = 0;
  int64_t closed_ns_ = 0;
  int64_t started_ns_ = 0;
  int64_t ended_ns_ = 0;
  int64_t run_ns_ = 0;
  std::thread::id began_on_;  // No thread: the run did not begin.
  int64_t cpu_began_ns_ = 0;  // CPU time of that thread when it did.
  bool ended_ = true;         // EndRun() was called for the ticket.
  Status failure_;

  std::vector<RunOutput> outputs_;
  std::vector<Answer> answers_;  // Reused; the first replies_.size() are in use.
  std::vector<Reply> replies_;
  std::vector<Buffer> buffers_;
  std::vector<CompletionSink*> sinks_;  // Of buffers_.
  std::vector<Group> groups_;
  std::vector<Completion> done_;
};

}  // namespace maas
