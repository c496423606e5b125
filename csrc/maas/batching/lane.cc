#include "maas/batching/lane.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "maas/batching/batch_queue.h"

namespace maas {

// Writes the order of service until enough stands in it.
class Lane::Merge {
 public:
  Merge(const FairShare& fair, int64_t rows, size_t most, std::vector<Standing>* order)
      : fair_(fair), rows_(rows), most_(most), order_(order) {}

  bool full() const { return order_->size() >= most_ || taken_ >= rows_; }

  void Again(const Tier& tier) {
    for (auto it = tier.again.begin(); it != tier.again.end() && !full(); ++it) Take({&*it, (*it)->rows});
  }

  // The tier's requests with a deadline, or those without, until `until` rows of them stand in the order.
  // `skip`: `until` of an earlier call, whose requests stand there already.
  void Queues(const Tier& tier, EdfQueue Party::*queue, int64_t until, int64_t skip) {
    if (tier.parties.size() == 1) {
      int64_t seen = 0;
      (tier.parties[0].*queue).ForEach([&](const EdfQueue::Entry& entry) {
        if (full() || seen >= until) return false;
        const bool taken = seen < skip;
        seen += entry.rows;
        if (!taken) Take({&entry.item, entry.rows});
        return true;
      });
      return;
    }
    Shared(tier, queue, until, skip);
  }

 private:
  // A tenant, and how far it was served.
  struct Turn {
    double virtual_time;
    double weight;
    const EdfQueue::Entry* next;
    EdfQueue::Cursor rest;
  };

  void Shared(const Tier& tier, EdfQueue Party::*queue, int64_t until, int64_t skip) {
    std::vector<Turn> turns;
    for (const Party& party : tier.parties) {
      EdfQueue::Cursor rest(&(party.*queue));
      const EdfQueue::Entry* const first = rest.Next();
      if (first != nullptr) turns.push_back({fair_.VirtualTime(party.tenant), party.weight, first, rest});
    }
    const auto later = [](const Turn& a, const Turn& b) { return a.virtual_time > b.virtual_time; };
    std::make_heap(turns.begin(), turns.end(), later);
    int64_t seen = 0;
    while (!full() && seen < until && !turns.empty()) {
      std::pop_heap(turns.begin(), turns.end(), later);
      Turn& turn = turns.back();
      const Standing one{&turn.next->item, turn.next->rows};
      turn.virtual_time += static_cast<double>(one.rows) / turn.weight;
      turn.next = turn.rest.Next();
      if (turn.next == nullptr) {
        turns.pop_back();
      } else {
        std::push_heap(turns.begin(), turns.end(), later);
      }
      const bool taken = seen < skip;
      seen += one.rows;
      if (!taken) Take(one);
    }
  }

  void Take(const Standing& one) {
    order_->push_back(one);
    taken_ += one.rows;
  }

  const FairShare& fair_;
  const int64_t rows_;
  const size_t most_;
  std::vector<Standing>* const order_;
  int64_t taken_ = 0;
};

void Lane::Order(const FairShare& fair, int64_t owed, int64_t rows_wanted, size_t most,
                 std::vector<Standing>* order) const {
  order->clear();
  Merge merge(fair, rows_wanted, most, order);
  for (const Tier& tier : tiers_) {
    merge.Again(tier);
    if (owed > 0) merge.Queues(tier, &Party::untimed, owed, 0);
    merge.Queues(tier, &Party::timed, INT64_MAX, 0);
    merge.Queues(tier, &Party::untimed, INT64_MAX, owed);
    if (merge.full()) return;
  }
}

void Lane::Add(const Place& place, int64_t item_rows, ItemPtr item) {
  Tier* const tier = FindOrAdd(place.rank);
  if (place.again) {
    tier->again.push_back(std::move(item));
    return;
  }
  Party* const party = PartyOf(tier, place);
  (place.timed ? party->timed : party->untimed).Insert(place.key, item_rows, std::move(item));
}

bool Lane::Remove(const Place& place, const QueueItem* item) {
  Tier* const tier = FindOrAdd(place.rank);
  if (place.again) {
    const auto it = std::find_if(tier->again.begin(), tier->again.end(),
                                 [item](const ItemPtr& each) { return each.get() == item; });
    const bool found = it != tier->again.end();
    if (found) tier->again.erase(it);
    Tidy(tier, nullptr);
    return found;
  }
  Party* const party = PartyOf(tier, place);
  const bool found = (place.timed ? party->timed : party->untimed).Erase(place.key, item);
  Tidy(tier, party);
  return found;
}

void Lane::ReduceFirst(const Place& place, int64_t gone) {
  assert(!place.again);
  Party* const party = PartyOf(FindOrAdd(place.rank), place);
  (place.timed ? party->timed : party->untimed).ReduceFront(gone);
}

const Lane::Tier* Lane::Find(uint64_t rank) const {
  for (const Tier& tier : tiers_) {
    if (tier.rank == rank) return &tier;
  }
  return nullptr;
}

Lane::Tier* Lane::FindOrAdd(uint64_t rank) {
  auto it = tiers_.begin();
  while (it != tiers_.end() && it->rank < rank) ++it;
  if (it != tiers_.end() && it->rank == rank) return &*it;
  if (tiers_.size() == 1 && requests == 0) {
    tiers_[0].rank = rank;
    return tiers_.data();
  }
  return &*tiers_.emplace(it, rank);
}

Lane::Party* Lane::PartyOf(Tier* tier, const Place& place) {
  auto& parties = tier->parties;
  for (Party& party : parties) {
    if (party.tenant == place.tenant) return &party;
  }
  if (parties.size() == 1 && parties[0].empty()) {
    parties[0].tenant = place.tenant;
    parties[0].weight = place.weight;
    return parties.data();
  }
  return &parties.emplace_back(Party{place.tenant, place.weight, {}, {}});
}

void Lane::Tidy(Tier* tier, Party* party) {
  if (party != nullptr && party->empty() && tier->parties.size() > 1) {
    if (party != &tier->parties.back()) *party = std::move(tier->parties.back());
    tier->parties.pop_back();
  }
  const bool idle = tier->again.empty() &&
                    (tier->parties.empty() || (tier->parties.size() == 1 && tier->parties[0].empty()));
  if (idle && tiers_.size() > 1) tiers_.erase(tiers_.begin() + (tier - tiers_.data()));
}

const QueueItem* Lane::Any() const {
  for (const Tier& tier : tiers_) {
    if (!tier.again.empty()) return tier.again.front().get();
    for (const Party& party : tier.parties) {
      if (!party.timed.empty()) return party.timed.Front().item.get();
      if (!party.untimed.empty()) return party.untimed.Front().item.get();
    }
  }
  return nullptr;
}

int64_t Lane::RowsOfHigherTiers(uint64_t rank) const {
  int64_t sum = 0;
  for (const Tier& tier : tiers_) {
    if (tier.rank > rank) break;
    for (const ItemPtr& item : tier.again) sum += item->rows;
    if (tier.rank == rank) break;
    for (const Party& party : tier.parties) sum += party.rows();
  }
  return sum;
}

int64_t Lane::TimedRowsOfOthers(const Place& place) const {
  const Tier* const tier = Find(place.rank);
  if (tier == nullptr || tier->parties.size() == 1) {
    const bool alone = tier == nullptr || tier->parties[0].tenant == place.tenant;
    return alone ? 0 : tier->parties[0].timed.rows();
  }
  int64_t sum = 0;
  for (const Party& party : tier->parties) {
    if (party.tenant != place.tenant) sum += party.timed.rows();
  }
  return sum;
}

int64_t Lane::TimedRowsDueBy(uint64_t rank, int64_t due_ns) const {
  int64_t sum = 0;
  for (const Tier& tier : tiers_) {
    if (tier.rank > rank) break;
    for (const ItemPtr& item : tier.again) sum += item->rows;
    for (const Party& party : tier.parties) {
      sum += tier.rank < rank ? party.timed.rows() : party.timed.RowsBefore(due_ns);
    }
  }
  return sum;
}

int64_t Lane::RowsBefore(const Place& place) const {
  const Tier* const tier = Find(place.rank);
  if (tier == nullptr) return 0;
  for (const Party& party : tier->parties) {
    if (party.tenant != place.tenant) continue;
    return place.timed ? party.timed.RowsBefore(place.key) : party.rows();
  }
  return 0;
}

bool Lane::HasUntimed(uint64_t rank) const {
  const Tier* const tier = Find(rank);
  if (tier == nullptr) return false;
  return std::any_of(tier->parties.begin(), tier->parties.end(),
                     [](const Party& party) { return !party.untimed.empty(); });
}

bool Lane::IsCrowded(uint64_t rank, int64_t most) const {
  const Tier* const tier = Find(rank);
  if (tier == nullptr || tier->parties.size() < 2) return false;
  double weights = 0;
  for (const Party& party : tier->parties) weights += party.weight;
  bool greedy = false;
  bool modest = false;
  for (const Party& party : tier->parties) {
    greedy = greedy || party.rows() > most;
    modest = modest || static_cast<double>(party.rows()) * weights < static_cast<double>(most) * party.weight;
  }
  return greedy && modest;
}

const EdfQueue* Lane::Timed(const Place& place) const {
  const Tier* const tier = Find(place.rank);
  if (tier == nullptr) return nullptr;
  for (const Party& party : tier->parties) {
    if (party.tenant == place.tenant) return &party.timed;
  }
  return nullptr;
}

}  // namespace maas
