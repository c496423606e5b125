#include "maas/exec/entry.h"

namespace maas {

void CompleteUnrun(std::vector<std::shared_ptr<QueueItem>>* items, const Status& status,
                   std::atomic<uint64_t> VersionCounters::* which) {
  for (const auto& item : *items) {
    auto* entry = static_cast<Entry*>(item.get());
    Version& version = *entry->version;
    VersionCounters::Add(&(version.counters.*which), 1);
    version.queue.OnAnswered(1);
    Completion done{entry->reply.tag, status, {}};
    entry->reply.sink->Complete({&done, 1});
  }
  items->clear();
}

}  // namespace maas
