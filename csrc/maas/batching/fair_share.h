// Who of the tenants that have something waiting comes next: weighted fair queueing by virtual time
// (start-time fair queueing, Goyal, Vin and Cheng, 1996).
//
// A tenant's virtual time advances by rows / weight when rows of it are taken; the least advanced comes next.
// One that comes back after having had nothing waiting starts where the others are: it gains nothing from
// having been away. Nor from leaving for a moment: who was ahead of the others when it left is remembered
// until they caught up, nothing waits, or kMostAway others are remembered already.
// Owned by a BatchQueue and each of its lanes; the device's mutex guards it. Threads: none of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace maas {

using TenantId = uint32_t;

class FairShare {
 public:
  static constexpr size_t kMostAway = 4096;

  // A request of the tenant begins to wait, or ends to (taken whole or gone). The latest weight counts.
  // REQUIRES: weight > 0 and finite; a Leave() for each Enter().
  void Enter(TenantId tenant, double weight);
  void Leave(TenantId tenant);
  // `rows` rows of the tenant, which waits, are taken to be run.
  void Charge(TenantId tenant, int64_t rows);

  // REQUIRES: the tenant waits.
  double VirtualTime(TenantId tenant) const;
  // The tenant's weight among all that wait, itself included whether it waits or not: (0, 1].
  double ShareOf(TenantId tenant, double weight) const;
  // Tenants that wait.
  size_t waiting() const { return waiting_; }

 private:
  struct Tenant {
    double weight = 1;
    double virtual_time = 0;
    int64_t requests = 0;  // Waiting; 0: it is away, and was ahead when it left.
  };
  // Forgets who is away and no longer ahead.
  void Sweep();

  std::unordered_map<TenantId, Tenant> tenants_;
  size_t waiting_ = 0;
  size_t departures_ = 0;  // Since the last sweep.
  double weights_ = 0;     // Sum over those that wait.
  double now_ = 0;         // Virtual time of whom was served last, when that began; never falls back.
};

}  // namespace maas
