#include "maas/exec/entry.h"

#include <span>

namespace maas {

void CompleteUnrun(std::vector<std::shared_ptr<QueueItem>>* items, const Status& status,
                   std::atomic<uint64_t> VersionCounters::*which) {
  if (items->empty()) return;
  const auto entry_of = [items](size_t i) -> const Entry& { return static_cast<const Entry&>(*(*items)[i]); };
  Version& version = *entry_of(0).version;
  VersionCounters::Add(&(version.counters.*which), items->size());
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

}  // namespace maas
