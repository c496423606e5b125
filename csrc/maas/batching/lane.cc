#include "maas/batching/lane.h"

namespace maas {

std::deque<Lane::ItemPtr>* Lane::FindOrAdd(uint64_t rank) {
  if (tiers_.size() == 1 && tiers_[0].items.empty()) tiers_[0].rank = rank;
  auto it = tiers_.begin();
  while (it != tiers_.end() && it->rank < rank) ++it;
  if (it == tiers_.end() || it->rank != rank) it = tiers_.emplace(it, rank);
  return &it->items;
}

void Lane::DropEmpty() {
  size_t kept = 0;
  for (size_t i = 0; i < tiers_.size(); ++i) {
    if (tiers_[i].items.empty()) continue;
    if (kept != i) std::swap(tiers_[kept], tiers_[i]);
    ++kept;
  }
  if (tiers_.empty()) return;
  tiers_.erase(tiers_.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(kept, 1)), tiers_.end());
}

}  // namespace maas
