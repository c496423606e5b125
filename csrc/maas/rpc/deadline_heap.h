// Deadlines, the earliest first: adding, removing and looking cost no look at the others, and no memory per
// call beyond a place in one vector.
//
// Ownership: borrows its members, which leave before they go. Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "maas/base/clock.h"

namespace maas {

class DeadlineHeap {
 public:
  // What has a deadline; knows its place in the heap.
  class Member {
   public:
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    // On the owner's clock; kNever: none.
    int64_t deadline_ns() const { return deadline_ns_; }

   protected:
    explicit Member(int64_t deadline_ns) : deadline_ns_(deadline_ns) {}
    ~Member() = default;

   private:
    friend class DeadlineHeap;
    const int64_t deadline_ns_;
    size_t place_ = kNowhere;
  };

  // Ignored without a deadline. REQUIRES: it is in no heap.
  void Add(Member* member);
  // Ignored if it is not in the heap.
  void Remove(Member* member);
  // Takes out one whose deadline is not after `now_ns`, the earliest first; null: there is none.
  Member* TakeDue(int64_t now_ns);
  // kNever: there is none.
  int64_t next() const { return entries_.empty() ? kNever : entries_.front().deadline_ns; }

 private:
  static constexpr size_t kNowhere = SIZE_MAX;
  // More room than this is given back when nothing is left.
  static constexpr size_t kUsual = 64;

  // The deadline again, so that comparing touches nothing else.
  struct Entry {
    int64_t deadline_ns;
    Member* member;
  };

  void Put(size_t place, const Entry& entry) {
    entries_[place] = entry;
    entry.member->place_ = place;
  }
  void Rise(size_t place, const Entry& entry);
  void Sink(size_t place, const Entry& entry);

  std::vector<Entry> entries_;  // A binary heap.
};

}  // namespace maas
