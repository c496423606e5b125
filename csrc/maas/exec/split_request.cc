#include "maas/exec/split_request.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "maas/exec/batch_pack.h"

namespace maas {
namespace {

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

// All slices are back: completes the request.
void Complete(const Slice& slice) {
  const auto entry = std::static_pointer_cast<Entry>(slice.item);
  Version& version = *entry->version;
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
  const Death death = version.queue.DeathOf(*entry);
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
  const int64_t now = version.clock->Now();
  const int64_t took = now - entry->accepted_ns;
  if (now > entry->deadline_ns) VersionCounters::Add(&version.counters.late, 1);
  version.counters.OnEnded(Outcome::kSucceeded, 1, static_cast<uint64_t>(took));
  version.statistics.RecordAnswer(took);
  VersionCounters::Add(&version.counters.queue_ns, static_cast<uint64_t>(receipt.queue_ns));
  version.queue.OnAnswered(1);
  Completion done{entry->reply.tag, {}, buffer};
  entry->reply.sink->Complete({&done, 1});
}

}  // namespace

Status FileSlice(const Slice& slice, std::span<const RunOutput> outputs, int64_t row,
                 const Receipt& receipt) {
  const Entry& entry = EntryOf(slice);
  SplitAnswer& split = *entry.split;
  std::span<SplitAnswer::Output> answer;
  {
    MutexLock lock(&split.mu);
    Receipt& all = split.receipt;
    if (all.batches == 0) all.queue_ns = receipt.queue_ns;
    all.predicted_ns = receipt.predicted_ns;
    all.total_ns = receipt.total_ns;
    all.run_ns += receipt.run_ns;
    all.batch_size = std::max(all.batch_size, receipt.batch_size);
    all.batches += receipt.batches;
    Status failure = split.failure;
    if (failure.ok()) failure = OpenSplit(entry, outputs, &split.outputs);
    if (!failure.ok()) return failure;
    answer = split.outputs;
  }
  WriteSlice(entry, slice, outputs, row, answer);
  return {};
}

void ReturnSlice(const Slice& slice) {
  if (EntryOf(slice).version->queue.Return(slice)) Complete(slice);
}

void FailSlice(const Slice& slice, const Status& status) {
  const auto entry = std::static_pointer_cast<Entry>(slice.item);
  {
    MutexLock lock(&entry->split->mu);
    if (entry->split->failure.ok()) entry->split->failure = status;
  }
  // What still waits of it need not run. This slice is still out, so Cancel() never makes us complete it
  // twice.
  entry->version->queue.Abandon(entry.get());
  ReturnSlice(slice);
}

}  // namespace maas
