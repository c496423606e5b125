#include "maas/exec/instance.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <ctime>
#include <utility>

#include "maas/exec/batch_pack.h"

namespace maas {
namespace {

std::atomic<uint64_t> last_id{0};

// CPU time of this thread. Unit: nanoseconds.
int64_t ThreadCpuNs() {
  timespec ts{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

Status NoMemoryForAnswer() {
  return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the answer");
}

// What a split request fails with whose slices were not all handed out.
Status CutShort(Death why) {
  switch (why) {
    case Death::kHopeless:
      return Status(Code::kDeadlineExceeded, "HOPELESS",
                    "given up between two of its batches: the deadline could not be met any more");
    case Death::kExpired:
      return Status(Code::kDeadlineExceeded, "EXPIRED_IN_QUEUE",
                    "the deadline passed between two of its batches");
    case Death::kAborted:
      return Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE",
                    "the version was unloaded between two of its batches");
    default:
      return Status(Code::kCancelled, "CANCELLED", "cancelled between two of its batches");
  }
}

Outcome OutcomeOf(Death why) {
  if (why == Death::kExpired || why == Death::kHopeless) return Outcome::kExpired;
  return why == Death::kAborted ? Outcome::kFailed : Outcome::kCancelled;
}

bool IsWhole(const Slice& slice) { return slice.rows == slice.item->rows; }

std::shared_ptr<Entry> SharedEntry(const Slice& slice) { return std::static_pointer_cast<Entry>(slice.item); }

}  // namespace

Instance::Instance(std::shared_ptr<Version> version)
    : version_(std::move(version)),
      id_(++last_id),
      plans_(&version_->spec),
      strings_(version_->spec.inputs.size()) {
  ticket_.instance = id_;
}

bool Instance::Next() {
  assert(!running());
  plans_.ClearForgotten();
  while (true) {
    if (!version_->queue.Pop(&batch_, &dead_, &ticket_)) return false;
    CompleteDropped(&dead_);
    if (batch_.empty()) continue;
    ended_ = false;
    Prepare();
    if (prepared_) return true;
    Fail(Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for a batch of this shape"));
    Deliver();
  }
}

void Instance::Prepare() {
  closed_ns_ = version_->clock->Now();
  failure_ = Status();
  rows_ = 0;
  for (const Slice& slice : batch_) rows_ += slice.rows;
  const Entry& any = EntryOf(batch_[0]);
  const ModelSpec& spec = version_->spec;
  plan_ = plans_.For(any.bound, rows_);
  prepared_ = plan_ != nullptr;
  if (!prepared_) return;
  bool direct = false;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].datatype == DataType::kBytes) {
      strings_[i] = PackStrings(spec, i, batch_, plan_->inputs[i].dims);
      continue;
    }
    if (CanBindDirectly(spec.inputs[i], any.bound.inputs[i], batch_)) {
      if (!direct) {
        direct_ = *plan_;
        direct_.key = 0;
        plan_ = &direct_;
        direct = true;
      }
      // The runner only reads inputs.
      direct_.inputs[i].data = const_cast<std::byte*>(any.bound.inputs[i].data.data());
      continue;
    }
    PackInput(spec, i, batch_, plan_->inputs[i].dims, plan_->inputs[i].data);
  }
  cpu_began_ns_ = ThreadCpuNs();
  started_ns_ = version_->clock->Now();
}

void Instance::EndRun(bool well) {
  if (ended_) return;
  ended_ = true;
  const int64_t cpu_ns = prepared_ ? ThreadCpuNs() - cpu_began_ns_ : -1;
  version_->queue.EndRun(ticket_, well ? run_ns_ : -1, cpu_ns);
}

Receipt Instance::ReceiptOf(const Entry& entry) const {
  return {closed_ns_ - entry.accepted_ns, run_ns_, static_cast<int32_t>(rows_), 1, entry.predicted_ns,
          ended_ns_ - entry.accepted_ns};
}

void Instance::Finish(std::vector<RunOutput> outputs) {
  ended_ns_ = version_->clock->Now();
  run_ns_ = ended_ns_ - started_ns_;
  outputs_ = std::move(outputs);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (plan_->outputs[i].data != nullptr && outputs_[i].data == nullptr) {
      outputs_[i].dims = plan_->outputs[i].dims;
      outputs_[i].data = plan_->outputs[i].data;
    }
  }
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
  replies_.clear();
  if (answers_.size() < batch_.size()) answers_.resize(batch_.size());
  int64_t row = 0;
  for (size_t s = 0; s < batch_.size(); ++s) {
    if (IsWhole(batch_[s])) {
      const Entry& entry = EntryOf(batch_[s]);
      const size_t answer = replies_.size();
      replies_.push_back(
          {s, answer, 0, 0, true, answers_[answer].Plan(entry, outputs_, row, ReceiptOf(entry))});
    }
    row += batch_[s].rows;
  }
  ReserveBuffers();
}

void Instance::ReserveBuffers() {
  buffers_.clear();
  // Sinks and groups of one batch are few: a linear search beats a map.
  struct Group {
    const CompletionSink* sink;
    uint64_t group;
    size_t buffer;
  };
  std::vector<Group> groups;
  std::vector<CompletionSink*> sinks;
  for (Reply& reply : replies_) {
    if (!reply.failure.ok()) continue;
    const ReplyTo& to = EntryOf(batch_[reply.slice]).reply;
    const size_t size = answers_[reply.answer].size();
    if (to.group != 0) {
      size_t g = 0;
      while (g < groups.size() && (groups[g].sink != to.sink || groups[g].group != to.group)) ++g;
      if (g == groups.size()) {
        groups.push_back({to.sink, to.group, buffers_.size()});
      } else if (Buffer& shared = buffers_[groups[g].buffer];
                 shared.size + size > std::min(kMaxSharedBytes, to.max_bytes)) {
        groups[g].buffer = buffers_.size();
      } else {
        reply.buffer = groups[g].buffer;
        reply.offset = shared.size;
        reply.first = false;
        shared.size += size;
        continue;
      }
    }
    reply.buffer = buffers_.size();
    reply.offset = 0;
    buffers_.push_back({nullptr, size, nullptr});
    sinks.push_back(to.sink);
  }
  for (size_t begin = 0; begin < buffers_.size();) {
    size_t end = begin + 1;
    while (end < buffers_.size() && sinks[end] == sinks[begin]) ++end;
    sinks[begin]->Reserve(std::span(buffers_).subspan(begin, end - begin));
    begin = end;
  }
}

void Instance::Fail(const Status& status) {
  failure_ = status;
  EndRun(false);
}

void Instance::Deliver() {
  if (failure_.ok()) {
    DeliverWhole();
    int64_t row = 0;
    for (const Slice& slice : batch_) {
      if (!IsWhole(slice)) DeliverSlice(slice, row);
      row += slice.rows;
    }
  } else {
    std::vector<std::shared_ptr<QueueItem>> again;
    std::vector<std::shared_ptr<QueueItem>> failed;
    std::vector<std::shared_ptr<QueueItem>> gone;
    for (const Slice& slice : batch_) {
      if (!IsWhole(slice)) {
        FailSlice(slice, failure_);
      } else if (version_->queue.IsGone(*slice.item)) {
        gone.push_back(slice.item);
      } else if (batch_.size() > 1 && !version_->queue.IsRetry(*slice.item)) {
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
    if (gone.size() == batch_.size()) VersionCounters::Add(&version_->counters.interrupted, 1);
    CompleteUnrun(&gone, Status(Code::kCancelled, "CANCELLED", "the caller went away"), Outcome::kCancelled);
    CompleteUnrun(&failed, failure_, Outcome::kFailed);
  }
  batch_.clear();
  outputs_.clear();
}

void Instance::DeliverWhole() {
  if (replies_.empty()) return;
  done_.clear();
  uint64_t failed = 0;
  for (const Reply& reply : replies_) {
    const Entry& entry = EntryOf(batch_[reply.slice]);
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
    CompletionSink* sink = EntryOf(batch_[replies_[begin].slice]).reply.sink;
    size_t end = begin + 1;
    while (end < replies_.size() && EntryOf(batch_[replies_[end].slice]).reply.sink == sink) ++end;
    sink->Complete(std::span(done_).subspan(begin, end - begin));
    begin = end;
  }
  replies_.clear();
}

void Instance::CountAnswers(uint64_t failed) {
  const int64_t now = version_->clock->Now();
  LatencyHistogram latency;
  uint64_t queue_ns = 0;
  uint64_t succeeded_ns = 0;
  uint64_t failed_ns = 0;
  uint64_t late = 0;
  for (size_t i = 0; i < replies_.size(); ++i) {
    const int64_t accepted_ns = batch_[replies_[i].slice].item->accepted_ns;
    const auto took = static_cast<uint64_t>(now - accepted_ns);
    if (!done_[i].status.ok()) {
      failed_ns += took;
      continue;
    }
    latency.Add(now - accepted_ns);
    if (now > batch_[replies_[i].slice].item->deadline_ns) ++late;
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

void Instance::RecordBatch(int64_t now, const LatencyHistogram& latency) {
  version_->statistics.Record({rows_,
                               batch_.size(),
                               {static_cast<uint64_t>(started_ns_ - closed_ns_),
                                static_cast<uint64_t>(run_ns_), static_cast<uint64_t>(now - ended_ns_)}},
                              latency);
}

void Instance::DeliverSlice(const Slice& slice, int64_t row) {
  const Entry& entry = EntryOf(slice);
  SplitAnswer& split = *entry.split;
  Status failure;
  std::span<SplitAnswer::Output> answer;
  {
    MutexLock lock(&split.mu);
    Receipt& receipt = split.receipt;
    if (receipt.batches == 0) receipt.queue_ns = closed_ns_ - entry.accepted_ns;
    receipt.predicted_ns = entry.predicted_ns;
    receipt.total_ns = ended_ns_ - entry.accepted_ns;
    receipt.run_ns += run_ns_;
    receipt.batch_size = std::max(receipt.batch_size, static_cast<int32_t>(rows_));
    ++receipt.batches;
    failure = split.failure;
    if (failure.ok()) failure = OpenSplit(entry, outputs_, &split.outputs);
    answer = split.outputs;
  }
  if (failure.ok()) WriteSlice(entry, slice, outputs_, row, answer);
  RecordBatch(version_->clock->Now(), {});
  if (!failure.ok()) {
    FailSlice(slice, failure);
    return;
  }
  if (version_->queue.Return(slice)) CompleteSplit(slice);
}

void Instance::FailSlice(const Slice& slice, const Status& status) {
  const auto entry = SharedEntry(slice);
  {
    MutexLock lock(&entry->split->mu);
    if (entry->split->failure.ok()) entry->split->failure = status;
  }
  // What still waits of it need not run. This slice is still out, so Cancel() never makes us complete it
  // twice.
  version_->queue.Abandon(entry.get());
  if (version_->queue.Return(slice)) CompleteSplit(slice);
}

void Instance::CompleteSplit(const Slice& slice) {
  const auto entry = SharedEntry(slice);
  std::vector<std::shared_ptr<QueueItem>> one{slice.item};
  std::vector<SplitAnswer::Output> parts;
  Status failure;
  Receipt receipt;
  {
    MutexLock lock(&entry->split->mu);
    parts = std::move(entry->split->outputs);
    failure = entry->split->failure;
    receipt = entry->split->receipt;
  }
  const Death death = version_->queue.DeathOf(*entry);
  if (!failure.ok() || death != Death::kNone) {
    CompleteUnrun(&one, failure.ok() ? CutShort(death) : failure,
                  failure.ok() ? OutcomeOf(death) : Outcome::kFailed);
    return;
  }
  std::vector<RunOutput> outputs;
  outputs.reserve(parts.size());
  for (const SplitAnswer::Output& part : parts) {
    outputs.push_back({part.dims, part.data.data(), {part.strings.begin(), part.strings.end()}});
  }
  Answer answer;
  failure = answer.Plan(*entry, outputs, 0, receipt);
  Buffer buffer;
  if (failure.ok()) {
    buffer.size = answer.size();
    entry->reply.sink->Reserve({&buffer, 1});
    if (buffer.data == nullptr) failure = NoMemoryForAnswer();
  }
  if (!failure.ok()) {
    CompleteUnrun(&one, failure, Outcome::kFailed);
    return;
  }
  answer.Write(buffer.data);
  const int64_t now = version_->clock->Now();
  const int64_t took = now - entry->accepted_ns;
  if (now > entry->deadline_ns) VersionCounters::Add(&version_->counters.late, 1);
  version_->counters.OnEnded(Outcome::kSucceeded, 1, static_cast<uint64_t>(took));
  version_->statistics.RecordAnswer(took);
  VersionCounters::Add(&version_->counters.queue_ns, static_cast<uint64_t>(receipt.queue_ns));
  version_->queue.OnAnswered(1);
  Completion done{entry->reply.tag, {}, buffer};
  entry->reply.sink->Complete({&done, 1});
}

}  // namespace maas
