// What waits of one shape bucket, in order of service.
//
// Tiers by rank, lower first. Within a tier: first what came back from a failed batch; then, tenants sharing
// by FairShare, requests with a deadline, the earliest first; then those without, first come first served.
// Requests without a deadline may be owed a turn, and then go before the others.
//
// Ownership: shares the items.
// Threads: none of its own; the owner's lock guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "maas/batching/edf_queue.h"
#include "maas/batching/fair_share.h"

namespace maas {

struct QueueItem;

class Lane {
 public:
  using ItemPtr = std::shared_ptr<QueueItem>;

  // Where an item stands.
  struct Place {
    uint64_t rank = 0;
    TenantId tenant = 0;
    double weight = 1;
    bool timed = false;  // Has a deadline.
    bool again = false;  // Came back from a failed batch.
    int64_t key = 0;     // Due time if timed, else order of arrival.
  };
  // One in the order of service. Valid until the lane changes.
  struct Standing {
    const ItemPtr* item = nullptr;
    int64_t rows = 0;  // Still waiting.
  };

  bool empty() const { return requests == 0; }

  void Add(const Place& place, int64_t rows, ItemPtr item);
  // Takes the item out. False: it is not there.
  bool Remove(const Place& place, const QueueItem* item);
  // `rows` of the rows of the item, which comes first of its tenant, are gone, not all.
  void ReduceFirst(const Place& place, int64_t rows);

  // The first in order of service, until there are `rows` rows or `most` items. `owed`: so many rows without
  // a deadline go before those with one. *order is overwritten. `fair` knows every tenant here.
  void Order(const FairShare& fair, int64_t owed, int64_t rows, size_t most,
             std::vector<Standing>* order) const;

  // Calls visit(const ItemPtr&) for everything that waits, by rank, in no particular order within a tier.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    const auto each = [&visit](const EdfQueue::Entry& entry) {
      visit(entry.item);
      return true;
    };
    for (const Tier& tier : tiers_) {
      for (const ItemPtr& item : tier.again) visit(item);
      for (const Party& party : tier.parties) {
        party.timed.ForEach(each);
        party.untimed.ForEach(each);
      }
    }
  }

  // One that waits; null if none does.
  const QueueItem* Any() const;

  // What a new one with this place would have to wait for, and whom it would keep waiting.
  // Rows of tiers before its own, and all that came back from failed batches.
  int64_t RowsOfHigherTiers(uint64_t rank) const;
  // Rows with a deadline of other tenants in its tier.
  int64_t TimedRowsOfOthers(const Place& place) const;
  // Rows with a deadline, of its tier due by `due_ns` and of higher ones all: what goes before it from a lane
  // that is not its own.
  int64_t TimedRowsDueBy(uint64_t rank, int64_t due_ns) const;
  // Rows of its own tenant that it stands behind.
  int64_t RowsBefore(const Place& place) const;
  bool HasUntimed(uint64_t rank) const;
  // Whether, of those of this tier, one tenant alone has more than `rows` rows, while another has less than
  // its share of them.
  bool IsCrowded(uint64_t rank, int64_t rows) const;
  // The queue of its tenant with a deadline, in its tier; null if there is none.
  const EdfQueue* Timed(const Place& place) const;

  // The owner's counts.
  int64_t rows = 0;      // Waiting.
  int64_t requests = 0;  // Waiting.

 private:
  struct Party {
    TenantId tenant;
    double weight;
    EdfQueue timed;
    EdfQueue untimed;

    bool empty() const { return timed.empty() && untimed.empty(); }
    int64_t rows() const { return timed.rows() + untimed.rows(); }
  };
  struct Tier {
    explicit Tier(uint64_t r) : rank(r) {}

    uint64_t rank;
    std::deque<ItemPtr> again;
    std::vector<Party> parties;

    bool empty() const { return again.empty() && parties.empty(); }
  };
  class Merge;

  const Tier* Find(uint64_t rank) const;
  Tier* FindOrAdd(uint64_t rank);
  static Party* PartyOf(Tier* tier, const Place& place);
  // Forgets the party and the tier if they are empty. The only party of the only tier stays, so that a lane
  // that is filled and emptied all the time allocates nothing.
  void Tidy(Tier* tier, Party* party);

  std::vector<Tier> tiers_;
};

}  // namespace maas
