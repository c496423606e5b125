// What waits of one shape bucket: a FIFO per rank, those of lower rank before those of higher.
//
// Ownership: shares the items.
// Threads: none of its own; the owner's lock guards it.
// Invariant: no FIFO is empty, unless it is the only one; that one stays, so that a lane which is filled and
// emptied all the time allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace maas {

struct QueueItem;

class Lane {
 public:
  using ItemPtr = std::shared_ptr<QueueItem>;
  struct Tier {
    explicit Tier(uint64_t r) : rank(r) {}

    uint64_t rank;
    std::deque<ItemPtr> items;
  };

  bool empty() const { return tiers_.empty() || tiers_[0].items.empty(); }
  // By rank.
  const std::vector<Tier>& tiers() const { return tiers_; }

  // REQUIRES: !empty() for these three.
  const ItemPtr& Front() const { return tiers_[0].items.front(); }
  uint64_t FrontRank() const { return tiers_[0].rank; }
  void PopFront() {
    tiers_[0].items.pop_front();
    if (tiers_.size() > 1 && tiers_[0].items.empty()) tiers_.erase(tiers_.begin());
  }

  void PushBack(uint64_t rank, ItemPtr item) { At(rank)->push_back(std::move(item)); }
  void PushFront(uint64_t rank, ItemPtr item) { At(rank)->push_front(std::move(item)); }

  // Forgets the items that `gone` is true of.
  template <typename Predicate>
  void EraseIf(const Predicate& gone) {
    for (Tier& tier : tiers_) std::erase_if(tier.items, gone);
    DropEmpty();
  }

  // The owner's counts.
  int64_t rows = 0;      // Waiting and alive.
  int64_t requests = 0;  // Waiting and alive.

 private:
  std::deque<ItemPtr>* At(uint64_t rank) {
    return tiers_.size() == 1 && tiers_[0].rank == rank ? &tiers_[0].items : FindOrAdd(rank);
  }
  std::deque<ItemPtr>* FindOrAdd(uint64_t rank);
  void DropEmpty();

  std::vector<Tier> tiers_;
};

}  // namespace maas
