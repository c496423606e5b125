#include "maas/exec/instance.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <utility>

#include "maas/exec/batch_pack.h"
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

Status NoMemoryForAnswer() {
  return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the answer");
}

// What a split request fails with whose slices were not all handed out.
Status CutShort(Death why) {
  switch (why) {
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

std::atomic<uint64_t> VersionCounters::*CounterOf(Death why) {
  if (why == Death::kExpired) return &VersionCounters::expired;
  return why == Death::kAborted ? &VersionCounters::failed : &VersionCounters::cancelled;
}

bool IsWhole(const Slice& slice) { return slice.rows == slice.item->rows; }

std::shared_ptr<Entry> SharedEntry(const Slice& slice) { return std::static_pointer_cast<Entry>(slice.item); }

}  // namespace

Instance::Instance(std::shared_ptr<Version> version)
    : version_(std::move(version)),
      input_staging_(version_->spec.inputs.size()),
      output_staging_(version_->spec.outputs.size()),
      strings_(version_->spec.inputs.size()) {}

bool Instance::Next() {
  assert(!running());
  forgotten_.clear();
  while (true) {
    if (!version_->queue.Pop(&batch_, &dead_)) return false;
    CompleteUnrun(&dead_,
                  Status(Code::kDeadlineExceeded, "EXPIRED_IN_QUEUE", "the deadline passed in the queue"),
                  &VersionCounters::expired);
    if (batch_.empty()) continue;
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
  plan_ = PlanFor(any, rows_);
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
  started_ns_ = version_->clock->Now();
}

void Instance::MakePlanKey(const Entry& any, int64_t rows) {
  const auto append = [this](int64_t number) {
    plan_key_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  };
  // Not the lane's key: it is empty for solo requests of any shape, and holds the values of shared inputs.
  plan_key_.clear();
  append(rows);
  for (int64_t padded : any.bound.padded) append(padded);
  const ModelSpec& spec = version_->spec;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const InputSpec& input = spec.inputs[i];
    const BoundInput& bound = any.bound.inputs[i];
    for (int axis = 0; axis < static_cast<int>(input.dims.size()); ++axis) {
      const bool varies =
          input.dims[static_cast<size_t>(axis)] < 0 && axis != input.batch_axis && axis != input.pad_axis;
      if (varies) append(bound.absent ? -1 : bound.dims[axis]);
    }
  }
}

const RunPlan* Instance::PlanFor(const Entry& any, int64_t rows) {
  MakePlanKey(any, rows);
  if (const auto found = plans_.find(plan_key_); found != plans_.end()) return found->second.get();
  const ModelSpec& spec = version_->spec;
  const RunShapes shapes = ShapesOfRun(spec, any.bound, rows);
  auto plan = std::make_unique<RunPlan>();
  plan->rows = rows;
  bool keep = true;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const DataType type = spec.inputs[i].datatype;
    keep = keep && type != DataType::kBytes;
    const int64_t bytes = RunBytes(shapes.inputs[i], type);
    if (bytes < 0) return nullptr;
    plan->inputs.push_back({shapes.inputs[i], nullptr, static_cast<size_t>(bytes)});
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    const int64_t bytes = shapes.known[i] ? RunBytes(shapes.outputs[i], spec.outputs[i].datatype) : 0;
    if (bytes < 0) return nullptr;
    plan->outputs.push_back({shapes.outputs[i], nullptr, static_cast<size_t>(bytes)});
  }
  if (plans_.size() >= kMaxPlans) ForgetPlans();
  if (!Reserve(*plan)) return nullptr;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].datatype != DataType::kBytes) plan->inputs[i].data = input_staging_[i].data();
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    if (shapes.known[i]) plan->outputs[i].data = output_staging_[i].data();
  }
  plan->key = keep ? NextKey() : 0;
  return plans_.emplace(plan_key_, std::move(plan)).first->second.get();
}

bool Instance::Reserve(const RunPlan& plan) {
  const ModelSpec& spec = version_->spec;
  bool moved = false;
  bool ok = true;
  const auto grow = [&](const RunPlan::Tensor& tensor, bool batched, StagingBuffer* staging) {
    if (tensor.bytes <= staging->capacity() && staging->data() != nullptr) return;
    const auto rows = static_cast<size_t>(plan.rows);
    const auto most = static_cast<size_t>(std::max(spec.max_batch_size, plan.rows));
    const size_t row = tensor.bytes / rows;
    const bool eager = batched && row <= kEagerStaging / most;
    moved = true;
    staging->Grow(eager ? std::max(tensor.bytes, row * most) : tensor.bytes);
    if (staging->data() == nullptr) staging->Grow(tensor.bytes);
    ok = ok && staging->data() != nullptr;
  };
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    grow(plan.inputs[i], spec.inputs[i].batch_axis >= 0, &input_staging_[i]);
  }
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    grow(plan.outputs[i], spec.outputs[i].batch_axis >= 0, &output_staging_[i]);
  }
  if (moved) ForgetPlans();
  return ok;
}

void Instance::ForgetPlans() {
  for (const auto& [key, plan] : plans_) {
    if (plan->key != 0) forgotten_.push_back(plan->key);
  }
  plans_.clear();
}

Receipt Instance::ReceiptOf(const Entry& entry) const {
  return {closed_ns_ - entry.accepted_ns, run_ns_, static_cast<int32_t>(rows_), 1};
}

void Instance::Finish(std::vector<RunOutput> outputs) {
  run_ns_ = version_->clock->Now() - started_ns_;
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
  version_->queue.RecordRun(rows_, run_ns_);
  VersionCounters& counters = version_->counters;
  VersionCounters::Add(&counters.batches, 1);
  VersionCounters::Add(&counters.rows, static_cast<uint64_t>(rows_));
  VersionCounters::Add(&counters.run_ns, static_cast<uint64_t>(run_ns_));
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
      if (g < groups.size()) {
        Buffer& shared = buffers_[groups[g].buffer];
        reply.buffer = groups[g].buffer;
        reply.offset = shared.size;
        reply.first = false;
        shared.size += size;
        continue;
      }
      groups.push_back({to.sink, to.group, buffers_.size()});
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

void Instance::Fail(const Status& status) { failure_ = status; }

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
    for (const Slice& slice : batch_) {
      if (!IsWhole(slice)) {
        FailSlice(slice, failure_);
      } else if (batch_.size() > 1 && !version_->queue.IsRetry(*slice.item)) {
        again.push_back(slice.item);
      } else {
        failed.push_back(slice.item);
      }
    }
    if (!again.empty()) version_->queue.Requeue(again);
    CompleteUnrun(&failed, failure_, &VersionCounters::failed);
  }
  batch_.clear();
  outputs_.clear();
}

void Instance::DeliverWhole() {
  if (replies_.empty()) return;
  done_.clear();
  uint64_t queue_ns = 0;
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
    queue_ns += static_cast<uint64_t>(closed_ns_ - entry.accepted_ns);
    done_.push_back(std::move(done));
  }
  VersionCounters& counters = version_->counters;
  VersionCounters::Add(&counters.queue_ns, queue_ns);
  VersionCounters::Add(&counters.succeeded, replies_.size() - failed);
  VersionCounters::Add(&counters.failed, failed);
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

void Instance::DeliverSlice(const Slice& slice, int64_t row) {
  const Entry& entry = EntryOf(slice);
  SplitAnswer& split = *entry.split;
  Status failure;
  std::span<SplitAnswer::Output> answer;
  {
    MutexLock lock(&split.mu);
    Receipt& receipt = split.receipt;
    if (receipt.batches == 0) receipt.queue_ns = closed_ns_ - entry.accepted_ns;
    receipt.run_ns += run_ns_;
    receipt.batch_size = std::max(receipt.batch_size, static_cast<int32_t>(rows_));
    ++receipt.batches;
    failure = split.failure;
    if (failure.ok()) failure = OpenSplit(entry, outputs_, &split.outputs);
    answer = split.outputs;
  }
  if (!failure.ok()) {
    FailSlice(slice, failure);
    return;
  }
  WriteSlice(entry, slice, outputs_, row, answer);
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
  version_->queue.Cancel(entry.get());
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
                  failure.ok() ? CounterOf(death) : &VersionCounters::failed);
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
    CompleteUnrun(&one, failure, &VersionCounters::failed);
    return;
  }
  answer.Write(buffer.data);
  VersionCounters::Add(&version_->counters.succeeded, 1);
  VersionCounters::Add(&version_->counters.queue_ns, static_cast<uint64_t>(receipt.queue_ns));
  version_->queue.OnAnswered(1);
  Completion done{entry->reply.tag, {}, buffer};
  entry->reply.sink->Complete({&done, 1});
}

}  // namespace maas
