#include "maas/batching/fair_share.h"

#include <algorithm>
#include <cassert>

namespace maas {

void FairShare::Enter(TenantId id, double weight) {
  assert(weight > 0);
  const auto [found, added] = tenants_.try_emplace(id);
  Tenant& tenant = found->second;
  if (tenant.requests == 0) {
    tenant.virtual_time = added ? now_ : std::max(tenant.virtual_time, now_);
    ++waiting_;
  } else {
    weights_ -= tenant.weight;
  }
  tenant.weight = weight;
  weights_ += weight;
  ++tenant.requests;
}

void FairShare::Leave(TenantId id) {
  const auto found = tenants_.find(id);
  assert(found != tenants_.end() && found->second.requests > 0);
  Tenant& tenant = found->second;
  if (--tenant.requests > 0) return;
  if (--waiting_ == 0) {
    // Nobody is kept waiting by anybody: all begin anew, and sums of fractions cannot drift for ever.
    departures_ = 0;
    weights_ = now_ = 0;
    // The usual one that comes and goes alone keeps its place, so that it allocates nothing.
    if (tenants_.size() == 1) {
      tenant.virtual_time = 0;
    } else {
      tenants_.clear();
    }
    return;
  }
  weights_ -= tenant.weight;
  if (tenant.virtual_time <= now_ || tenants_.size() - waiting_ > kMostAway) tenants_.erase(found);
  // One look at all of them for as many departures.
  if (++departures_ > tenants_.size()) Sweep();
}

void FairShare::Sweep() {
  std::erase_if(tenants_, [this](const auto& each) {
    return each.second.requests == 0 && each.second.virtual_time <= now_;
  });
  departures_ = 0;
}

void FairShare::Charge(TenantId id, int64_t rows) {
  const auto found = tenants_.find(id);
  assert(found != tenants_.end() && found->second.requests > 0);
  Tenant& tenant = found->second;
  now_ = std::max(now_, tenant.virtual_time);
  tenant.virtual_time += static_cast<double>(std::max<int64_t>(rows, 0)) / tenant.weight;
}

double FairShare::VirtualTime(TenantId id) const {
  const auto found = tenants_.find(id);
  assert(found != tenants_.end() && found->second.requests > 0);
  return found->second.virtual_time;
}

double FairShare::ShareOf(TenantId id, double weight) const {
  const auto found = tenants_.find(id);
  const bool waits = found != tenants_.end() && found->second.requests > 0;
  // What rounding leaves of the others is never less than nothing.
  const double others = std::max(waits ? weights_ - found->second.weight : weights_, 0.0);
  return weight / (weight + others);
}

}  // namespace maas
