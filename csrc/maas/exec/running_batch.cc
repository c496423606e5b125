#include "maas/exec/running_batch.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <ctime>
#include <utility>

#include "maas/exec/batch_pack.h"
#include "maas/exec/split_request.h"

namespace maas {
namespace {

// CPU time of this thread. Unit: nanoseconds.
int64_t ThreadCpuNs() {
  timespec ts{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

bool IsWhole(const Slice& slice) { return slice.rows == slice.item->rows; }

std::atomic<uint64_t> last_id{0};

}  // namespace

uint64_t NewInstanceId() { return ++last_id; }

RunningBatch::RunningBatch(std::shared_ptr<Version> version, uint64_t instance)
    : version_(std::move(version)), strings_(version_->spec.inputs.size()) {
  ticket_.instance = instance;
}

bool RunningBatch::Take() {
  assert(empty());
  do {
    if (!version_->queue.Pop(&slices_, &dead_, &ticket_)) return false;
    CompleteDropped(&dead_);
  } while (slices_.empty());
  closed_ns_ = version_->clock->Now();
  ended_ = false;
  began_on_ = {};
  failure_ = Status();
  rows_ = 0;
  for (const Slice& slice : slices_) rows_ += slice.rows;
  return true;
}

const BoundRequest& RunningBatch::any() const {
  assert(!empty());
  return EntryOf(slices_.front()).bound;
}

void RunningBatch::ReadStrings(size_t index, const Dims& dims) {
  strings_[index] = PackStrings(version_->spec, index, slices_, dims);
}

void RunningBatch::Begin() {
  assert(!empty() && !ended_);
  began_on_ = std::this_thread::get_id();
  cpu_began_ns_ = ThreadCpuNs();
  started_ns_ = version_->clock->Now();
}

void RunningBatch::EndRun(bool well) {
  if (ended_) return;
  ended_ = true;
  // The CPU times of two threads have nothing to do with each other.
  const int64_t cpu_ns = began_on_ == std::this_thread::get_id() ? ThreadCpuNs() - cpu_began_ns_ : -1;
  version_->queue.EndRun(ticket_, well ? run_ns_ : -1, cpu_ns);
}

Receipt RunningBatch::ReceiptOf(const Entry& entry) const {
  return {closed_ns_ - entry.accepted_ns, run_ns_, static_cast<int32_t>(rows_), 1, entry.predicted_ns,
          ended_ns_ - entry.accepted_ns};
}

void RunningBatch::Finish(std::vector<RunOutput> outputs, int64_t run_ns) {
  ended_ns_ = version_->clock->Now();
  run_ns_ = run_ns >= 0 ? run_ns : ended_ns_ - started_ns_;
  // The wait for the device is none of the run's.
  started_ns_ = std::max(started_ns_, ended_ns_ - run_ns_);
  outputs_ = std::move(outputs);
  if (Status bad = CheckOutputs(version_->spec, outputs_, rows_); !bad.ok()) {
    Fail(bad);
    return;
  }
  EndRun(true);
  VersionCounters& counters = version_->counters;
  VersionCounters::Add(&counters.batches, 1);
  VersionCounters::Add(&counters.rows, static_cast<uint64_t>(rows_));
  VersionCounters::Add(&counters.run_ns, static_cast<uint64_t>(run_ns_));
  counters.last_run_ns.store(ended_ns_, std::memory_order_relaxed);
  PlanReplies();
  ReserveBuffers();
}

void RunningBatch::PlanReplies() {
  replies_.clear();
  if (answers_.size() < slices_.size()) answers_.resize(slices_.size());
  int64_t row = 0;
  for (size_t s = 0; s < slices_.size(); ++s) {
    if (IsWhole(slices_[s])) {
      const Entry& entry = EntryOf(slices_[s]);
      const size_t answer = replies_.size();
      replies_.push_back(
          {s, answer, 0, 0, true, answers_[answer].Plan(entry, outputs_, row, ReceiptOf(entry))});
    }
    row += slices_[s].rows;
  }
}

void RunningBatch::ReserveBuffers() {
  buffers_.clear();
  sinks_.clear();
  groups_.clear();
  for (Reply& reply : replies_) {
    if (!reply.failure.ok()) continue;
    const ReplyTo& to = EntryOf(slices_[reply.slice]).reply;
    const size_t size = answers_[reply.answer].size();
    if (to.group != 0) {
      // Sinks and groups of one batch are few: a linear search beats a map.
      size_t g = 0;
      while (g < groups_.size() && (groups_[g].sink != to.sink || groups_[g].group != to.group)) ++g;
      if (g == groups_.size()) {
        groups_.push_back({to.sink, to.group, buffers_.size()});
      } else if (Buffer& shared = buffers_[groups_[g].buffer];
                 shared.size + size > std::min(kMaxSharedBytes, to.max_bytes)) {
        groups_[g].buffer = buffers_.size();
      } else {
        reply.buffer = groups_[g].buffer;
        reply.offset = shared.size;
        reply.first = false;
        shared.size += size;
        continue;
      }
    }
    reply.buffer = buffers_.size();
    reply.offset = 0;
    buffers_.push_back({nullptr, size, nullptr});
    sinks_.push_back(to.sink);
  }
  for (size_t begin = 0; begin < buffers_.size();) {
    size_t end = begin + 1;
    while (end < buffers_.size() && sinks_[end] == sinks_[begin]) ++end;
    sinks_[begin]->Reserve(std::span(buffers_).subspan(begin, end - begin));
    begin = end;
  }
}

void RunningBatch::Fail(const Status& status) {
  failure_ = status;
  EndRun(false);
}

void RunningBatch::Deliver() {
  if (failure_.ok()) {
    DeliverWhole();
    DeliverSlices();
  } else {
    DeliverFailure();
  }
  slices_.clear();
  outputs_.clear();
}

void RunningBatch::DeliverFailure() {
  std::vector<std::shared_ptr<QueueItem>> again;
  std::vector<std::shared_ptr<QueueItem>> failed;
  std::vector<std::shared_ptr<QueueItem>> gone;
  for (const Slice& slice : slices_) {
    if (!IsWhole(slice)) {
      FailSlice(slice, failure_);
    } else if (version_->queue.IsGone(*slice.item)) {
      gone.push_back(slice.item);
    } else if (slices_.size() > 1 && !version_->queue.IsRetry(*slice.item)) {
      again.push_back(slice.item);
    } else {
      failed.push_back(slice.item);
    }
  }
  if (!again.empty()) {
    std::vector<std::shared_ptr<QueueItem>> left;
    version_->queue.Requeue(again, &left);
    gone.insert(gone.end(), left.begin(), left.end());
  }
  if (gone.size() == slices_.size()) VersionCounters::Add(&version_->counters.interrupted, 1);
  CompleteUnrun(&gone, Status(Code::kCancelled, "CANCELLED", "the caller went away"), Outcome::kCancelled);
  CompleteUnrun(&failed, failure_, Outcome::kFailed);
}

void RunningBatch::DeliverWhole() {
  if (replies_.empty()) return;
  done_.clear();
  uint64_t failed = 0;
  for (const Reply& reply : replies_) {
    const Entry& entry = EntryOf(slices_[reply.slice]);
    const Buffer buffer = reply.failure.ok() ? buffers_[reply.buffer] : Buffer{};
    Completion done{entry.reply.tag, reply.failure, {}};
    if (buffer.data == nullptr) {
      if (done.status.ok()) done.status = NoMemoryForAnswer();
      ++failed;
    } else {
      answers_[reply.answer].Write(buffer.data + reply.offset);
      if (reply.first) done.buffer = buffer;
    }
    done_.push_back(std::move(done));
  }
  CountAnswers(failed);
  version_->queue.OnAnswered(static_cast<int64_t>(replies_.size()));
  for (size_t begin = 0; begin < replies_.size();) {
    CompletionSink* sink = EntryOf(slices_[replies_[begin].slice]).reply.sink;
    size_t end = begin + 1;
    while (end < replies_.size() && EntryOf(slices_[replies_[end].slice]).reply.sink == sink) ++end;
    sink->Complete(std::span(done_).subspan(begin, end - begin));
    begin = end;
  }
  replies_.clear();
}

void RunningBatch::CountAnswers(uint64_t failed) {
  const int64_t now = version_->clock->Now();
  LatencyHistogram latency;
  uint64_t queue_ns = 0;
  uint64_t succeeded_ns = 0;
  uint64_t failed_ns = 0;
  uint64_t late = 0;
  for (size_t i = 0; i < replies_.size(); ++i) {
    const int64_t accepted_ns = slices_[replies_[i].slice].item->accepted_ns;
    const auto took = static_cast<uint64_t>(now - accepted_ns);
    if (!done_[i].status.ok()) {
      failed_ns += took;
      continue;
    }
    latency.Add(now - accepted_ns);
    if (now > slices_[replies_[i].slice].item->deadline_ns) ++late;
    succeeded_ns += took;
    queue_ns += static_cast<uint64_t>(closed_ns_ - accepted_ns);
  }
  VersionCounters& counters = version_->counters;
  VersionCounters::Add(&counters.queue_ns, queue_ns);
  counters.OnEnded(Outcome::kSucceeded, replies_.size() - failed, succeeded_ns);
  if (late > 0) VersionCounters::Add(&counters.late, late);
  if (failed > 0) counters.OnEnded(Outcome::kFailed, failed, failed_ns);
  RecordBatch(now, latency);
}

void RunningBatch::RecordBatch(int64_t now, const LatencyHistogram& latency) {
  version_->statistics.Record({rows_,
                               slices_.size(),
                               {static_cast<uint64_t>(started_ns_ - closed_ns_),
                                static_cast<uint64_t>(run_ns_), static_cast<uint64_t>(now - ended_ns_)}},
                              latency);
}

void RunningBatch::DeliverSlices() {
  int64_t row = 0;
  for (const Slice& slice : slices_) {
    if (!IsWhole(slice)) {
      const Status filed = FileSlice(slice, outputs_, row, ReceiptOf(EntryOf(slice)));
      RecordBatch(version_->clock->Now(), {});
      filed.ok() ? ReturnSlice(slice) : FailSlice(slice, filed);
    }
    row += slice.rows;
  }
}

}  // namespace maas
