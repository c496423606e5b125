#include "maas/exec/entry.h"

#include <algorithm>
#include <span>
#include <string>

namespace maas {

void CompleteUnrun(std::vector<std::shared_ptr<QueueItem>>* items, const Status& status, Outcome outcome) {
  if (items->empty()) return;
  const auto entry_of = [items](size_t i) -> const Entry& { return static_cast<const Entry&>(*(*items)[i]); };
  Version& version = *entry_of(0).version;
  const int64_t now = version.clock->Now();
  uint64_t ns = 0;
  for (const auto& item : *items) ns += static_cast<uint64_t>(now - item->accepted_ns);
  version.counters.OnEnded(outcome, items->size(), ns);
  version.queue.OnAnswered(static_cast<int64_t>(items->size()));
  std::vector<Completion> done;
  for (size_t begin = 0; begin < items->size();) {
    CompletionSink* const sink = entry_of(begin).reply.sink;
    done.clear();
    size_t end = begin;
    for (; end < items->size() && entry_of(end).reply.sink == sink; ++end) {
      done.push_back({entry_of(end).reply.tag, status, {}});
    }
    sink->Complete(done);
    begin = end;
  }
  items->clear();
}

void CompleteDropped(std::vector<std::shared_ptr<QueueItem>>* items) {
  if (items->empty()) return;
  Version& version = *static_cast<const Entry&>(*items->front()).version;
  std::vector<std::shared_ptr<QueueItem>> timed_out;
  std::vector<std::shared_ptr<QueueItem>> hopeless;
  std::vector<std::shared_ptr<QueueItem>> expired;
  for (auto& item : *items) {
    const Death why = version.queue.DeathOf(*item);
    auto& kin = why == Death::kTimedOut ? timed_out : why == Death::kHopeless ? hopeless : expired;
    kin.push_back(std::move(item));
  }
  items->clear();
  if (!timed_out.empty()) {
    VersionCounters::Add(&version.counters.timed_out, timed_out.size());
    const ModelSpec& spec = version.spec;
    CompleteUnrun(&timed_out,
                  Status(Code::kUnavailable, "QUEUE_TIMEOUT",
                         "waited as long as the queue policy of model " + spec.name + ":" +
                             std::to_string(spec.version) + " allows")
                      .WithRetryAfter(std::max<int64_t>(version.queue.EstimateWait(), 1'000'000)),
                  Outcome::kExpired);
  }
  VersionCounters::Add(&version.counters.hopeless, hopeless.size());
  CompleteUnrun(&hopeless,
                Status(Code::kDeadlineExceeded, "HOPELESS",
                       "left the queue unrun: the deadline could not be met any more"),
                Outcome::kExpired);
  CompleteUnrun(&expired,
                Status(Code::kDeadlineExceeded, "EXPIRED_IN_QUEUE", "the deadline passed in the queue"),
                Outcome::kExpired);
}

}  // namespace maas
