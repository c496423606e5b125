#include "maas/rpc/deadline_heap.h"

#include <cassert>
#include <utility>

namespace maas {

void DeadlineHeap::Add(Member* member) {
  if (member->deadline_ns_ == kNever) return;
  assert(member->place_ == kNowhere);
  const Entry entry{member->deadline_ns_, member};
  entries_.push_back(entry);
  Rise(entries_.size() - 1, entry);
}

void DeadlineHeap::Remove(Member* member) {
  const size_t place = std::exchange(member->place_, kNowhere);
  if (place == kNowhere) return;
  const Entry last = entries_.back();
  entries_.pop_back();
  if (place < entries_.size()) {
    if (place > 0 && last.deadline_ns < entries_[(place - 1) / 2].deadline_ns) {
      Rise(place, last);
    } else {
      Sink(place, last);
    }
  } else if (entries_.empty() && entries_.capacity() > kUsual) {
    entries_ = {};
  }
}

DeadlineHeap::Member* DeadlineHeap::TakeDue(int64_t now_ns) {
  if (entries_.empty() || entries_.front().deadline_ns > now_ns) return nullptr;
  Member* const member = entries_.front().member;
  Remove(member);
  return member;
}

// Both put `entry`, whose place is free, where it belongs.

void DeadlineHeap::Rise(size_t place, const Entry& entry) {
  while (place > 0) {
    const size_t parent = (place - 1) / 2;
    if (entries_[parent].deadline_ns <= entry.deadline_ns) break;
    Put(place, entries_[parent]);
    place = parent;
  }
  Put(place, entry);
}

void DeadlineHeap::Sink(size_t place, const Entry& entry) {
  for (size_t child = 2 * place + 1; child < entries_.size(); child = 2 * place + 1) {
    if (child + 1 < entries_.size() && entries_[child + 1].deadline_ns < entries_[child].deadline_ns) ++child;
    if (entry.deadline_ns <= entries_[child].deadline_ns) break;
    Put(place, entries_[child]);
    place = child;
  }
  Put(place, entry);
}

}  // namespace maas
