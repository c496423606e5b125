// Who is asking: weights, and limits on rows in flight and rows per second, by a name that callers bring.
//
// Names are untrusted and without number: only those that the configuration knows, and up to kMostOthers
// others that have requests under way or had some lately, have an account of their own. Of those with nothing
// under way the one that came longest ago is forgotten first. Whoever comes when all have something under way
// shares one of kSharedAccounts with others, by a hash of the name.
// Threads: every method may be called from any thread; none blocks for long.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/batching/fair_share.h"

namespace maas {

struct TenantPolicy {
  double weight = 1;               // > 0, finite.
  int64_t max_rows_in_flight = 0;  // Accepted and not answered; a request of more is refused. 0: no limit.
  // With bursts of up to a second's worth. A request of more than that waits for a second without any, and
  // those after it for the rest. 0: no limit.
  double max_rows_per_second = 0;
  bool operator==(const TenantPolicy&) const = default;
};

struct TenantOptions {
  // Of names that are not in by_name, each for itself; of a shared account as a whole; and of callers without
  // a name, together, unless by_name has the empty one.
  TenantPolicy standard;
  std::map<std::string, TenantPolicy, std::less<>> by_name;
};

class Tenants {
 public:
  static constexpr size_t kMostOthers = 1024;
  static constexpr size_t kSharedAccounts = 64;
  // Longer names are cut to this, at a whole character. Unit: bytes.
  static constexpr size_t kMostNameBytes = 256;
  // No retry is advised later than this. Unit: nanoseconds.
  static constexpr int64_t kMostRetryNs = int64_t{86'400} * 1'000'000'000;

  Tenants();
  ~Tenants();
  Tenants(const Tenants&) = delete;
  Tenants& operator=(const Tenants&) = delete;

  // Replaces the configuration; what is in flight stays counted, under the name that it came with.
  void Configure(TenantOptions options) MAAS_EXCLUDES(mu_);

  struct Account {
    TenantId id = 0;  // 0: callers without a name.
    double weight = 1;
  };
  // Takes `rows` rows into the books of `name`. RESOURCE_EXHAUSTED, and nothing taken: TENANT_ROWS_IN_FLIGHT
  // or TENANT_RATE, with the time after which the rate allows it; the message names the tenant, the limit and
  // what came. Callers without a name take no lock unless they have a policy. REQUIRES: rows >= 0.
  Status Admit(std::string_view name, int64_t rows, int64_t now, Account* account) MAAS_EXCLUDES(mu_);
  // Rows that Admit() took are answered. The account may be forgotten and its id given to another name once
  // it has nothing in flight.
  void Release(TenantId id, int64_t rows) MAAS_EXCLUDES(mu_);

  struct Usage {
    std::string name;  // UTF-8. Empty: callers without one; "(others)": the shared accounts, added up.
    double weight = 1;
    int64_t rows_in_flight = 0;
    uint64_t rows = 0;     // Accepted so far.
    uint64_t refused = 0;  // Requests.
  };
  // Configured tenants and those with something in flight, in order of name; at most `most`, of which those
  // that are configured come first.
  std::vector<Usage> Read(size_t most) const MAAS_EXCLUDES(mu_);
  // Accounts that exist now, that of callers without a name included.
  size_t size() const MAAS_EXCLUDES(mu_);

 private:
  struct Rep;  // The table of accounts that have names.

  // Callers without a name: counted without a lock. Whether they have a policy is set under mu_.
  std::atomic<bool> unnamed_has_policy_{false};
  std::atomic<int64_t> unnamed_in_flight_{0};
  std::atomic<uint64_t> unnamed_rows_{0};

  mutable Mutex mu_;
  const std::unique_ptr<Rep> rep_ MAAS_GUARDED_BY(mu_);
};

}  // namespace maas
