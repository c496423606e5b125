#include "maas/batching/fair_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace maas {
namespace {

// Of the tenants that wait, the one that comes next; of equals the first.
TenantId Next(const FairShare& fair, const std::vector<TenantId>& waiting) {
  return *std::min_element(waiting.begin(), waiting.end(),
                           [&](TenantId a, TenantId b) { return fair.VirtualTime(a) < fair.VirtualTime(b); });
}

TEST(FairShare, ServesByWeight) {
  FairShare fair;
  const std::map<TenantId, double> weights = {{1, 1}, {2, 2}, {3, 5}};
  for (const auto& [tenant, weight] : weights) fair.Enter(tenant, weight);
  std::map<TenantId, int> served;
  for (int i = 0; i < 800; ++i) {
    const TenantId next = Next(fair, {1, 2, 3});
    fair.Charge(next, 1);
    ++served[next];
  }
  EXPECT_NEAR(served[1], 100, 1);
  EXPECT_NEAR(served[2], 200, 1);
  EXPECT_NEAR(served[3], 500, 1);
}

TEST(FairShare, CountsRowsNotRequests) {
  FairShare fair;
  fair.Enter(1, 1);
  fair.Enter(2, 1);
  int64_t rows[3] = {};
  for (int i = 0; i < 330; ++i) {
    const TenantId next = Next(fair, {1, 2});
    const int64_t taken = next == 1 ? 32 : 1;
    fair.Charge(next, taken);
    rows[next] += taken;
  }
  EXPECT_NEAR(static_cast<double>(rows[1]), static_cast<double>(rows[2]), 32);
}

TEST(FairShare, OneThatComesBackStartsWhereTheOthersAre) {
  FairShare fair;
  fair.Enter(1, 1);
  for (int i = 0; i < 100; ++i) fair.Charge(1, 10);
  fair.Enter(2, 1);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(1), 1000);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(2), 990) << "where the other began to be served last";
}

TEST(FairShare, LeavingForAMomentGainsNothing) {
  // The first always waits, one row at a time; the second asks for 8 rows, leaves when they are taken, and is
  // back before the next choice.
  FairShare fair;
  fair.Enter(1, 1);
  fair.Enter(2, 1);
  int64_t rows[3] = {};
  for (int i = 0; i < 900; ++i) {
    const TenantId next = Next(fair, {2, 1});  // Where both are equal, the second has it.
    const int64_t taken = next == 2 ? 8 : 1;
    fair.Charge(next, taken);
    rows[next] += taken;
    if (next == 2) {
      fair.Leave(2);
      fair.Enter(2, 1);
    }
  }
  EXPECT_NEAR(static_cast<double>(rows[1]), static_cast<double>(rows[2]), 8);
}

TEST(FairShare, ForgetsWhoWasAheadOnceNothingWaits) {
  FairShare fair;
  for (TenantId tenants : {1u, 2u}) {  // One alone keeps its place in memory; its past goes all the same.
    for (TenantId tenant = 0; tenant < tenants; ++tenant) {
      fair.Enter(tenant, 1);
      fair.Charge(tenant, 1000);
    }
    for (TenantId tenant = 0; tenant < tenants; ++tenant) fair.Leave(tenant);
    EXPECT_EQ(fair.waiting(), 0u);
    fair.Enter(0, 1);
    fair.Enter(1, 1);
    EXPECT_EQ(fair.VirtualTime(0), 0);
    EXPECT_EQ(fair.VirtualTime(1), 0);
    fair.Leave(0);
    fair.Leave(1);
  }
}

TEST(FairShare, WaitsUntilItsLastRequestLeft) {
  FairShare fair;
  fair.Enter(1, 1);
  fair.Enter(1, 1);
  EXPECT_EQ(fair.waiting(), 1u);
  fair.Leave(1);
  EXPECT_EQ(fair.waiting(), 1u);
  fair.Charge(1, 3);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(1), 3);
  fair.Leave(1);
  EXPECT_EQ(fair.waiting(), 0u);
}

TEST(FairShare, SharesAreByWeightAmongThoseThatWait) {
  FairShare fair;
  EXPECT_EQ(fair.ShareOf(7, 0.5), 1) << "nobody else waits";
  fair.Enter(1, 1);
  fair.Enter(2, 3);
  struct Row {
    TenantId tenant;
    double weight;
    double share;
  };
  const Row rows[] = {
      {1, 1, 0.25}, {2, 3, 0.75}, {3, 4, 0.5}, {3, 1, 0.2}, {2, 1, 0.5},  // At a weight that it would have.
  };
  for (const Row& row : rows) {
    EXPECT_DOUBLE_EQ(fair.ShareOf(row.tenant, row.weight), row.share) << row.tenant << ' ' << row.weight;
  }
  fair.Charge(2, 100);
  fair.Leave(2);
  EXPECT_DOUBLE_EQ(fair.ShareOf(1, 1), 1) << "one that is away has no share, though it is remembered";
}

TEST(FairShare, TheLatestWeightCounts) {
  FairShare fair;
  fair.Enter(1, 1);
  fair.Enter(2, 1);
  fair.Enter(1, 4);
  EXPECT_DOUBLE_EQ(fair.ShareOf(1, 4), 0.8);
  EXPECT_DOUBLE_EQ(fair.ShareOf(2, 1), 0.2);
  fair.Charge(1, 8);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(1), 2);
}

TEST(FairShare, TakesAbsurdRowsAndWeights) {
  FairShare fair;
  fair.Enter(1, 1e-9);
  fair.Enter(2, 1e9);
  fair.Charge(1, std::numeric_limits<int64_t>::max());
  fair.Charge(2, std::numeric_limits<int64_t>::max());
  fair.Charge(2, -5);
  EXPECT_GT(fair.VirtualTime(1), fair.VirtualTime(2));
  EXPECT_GT(fair.ShareOf(1, 1e-9), 0);
  fair.Leave(2);
  EXPECT_LE(fair.ShareOf(1, 1e-9), 1);
  EXPECT_GT(fair.ShareOf(1, 1e-9), 0);
}

TEST(FairShare, OneWhoIsAheadIsForgottenWhenTooManyAre) {
  FairShare fair;
  fair.Enter(0, 1);
  const auto most = static_cast<TenantId>(FairShare::kMostAway);
  for (TenantId tenant = 1; tenant <= most + 1; ++tenant) {
    fair.Enter(tenant, 1);
    fair.Charge(tenant, 10);
    fair.Leave(tenant);
  }
  fair.Enter(most, 1);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(most), 10);
  fair.Enter(most + 1, 1);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(most + 1), 0);
}

TEST(FairShare, OneTheOthersCaughtUpWithMakesRoom) {
  FairShare fair;
  fair.Enter(0, 1);
  const auto most = static_cast<TenantId>(FairShare::kMostAway);
  const auto pass = [&fair](TenantId tenant) {
    fair.Enter(tenant, 1);
    fair.Charge(tenant, 10);
    fair.Leave(tenant);
  };
  for (TenantId tenant = 1; tenant <= most; ++tenant) pass(tenant);
  fair.Charge(0, 1000);
  fair.Charge(0, 1);  // Began at 1000, where the others no longer are ahead.
  for (TenantId tenant = most + 1; tenant < 2 * most; ++tenant) pass(tenant);
  fair.Enter(2 * most - 1, 1);
  EXPECT_DOUBLE_EQ(fair.VirtualTime(2 * most - 1), 1010) << "remembered";
}

// The same with every tenant remembered, and every sum made anew.
class Model {
 public:
  void Enter(TenantId id, double weight) {
    Tenant& tenant = tenants[id];
    if (tenant.requests++ == 0) tenant.virtual_time = std::max(tenant.virtual_time, now);
    tenant.weight = weight;
  }
  void Leave(TenantId id) {
    --tenants[id].requests;
    if (!Waiting().empty()) return;
    tenants.clear();
    now = 0;
  }
  void Charge(TenantId id, int64_t rows) {
    Tenant& tenant = tenants[id];
    now = std::max(now, tenant.virtual_time);
    tenant.virtual_time += static_cast<double>(rows) / tenant.weight;
  }
  double ShareOf(TenantId id, double weight) {
    double sum = weight;
    for (TenantId other : Waiting()) sum += other == id ? 0 : tenants[other].weight;
    return weight / sum;
  }
  std::vector<TenantId> Waiting() const {
    std::vector<TenantId> waiting;
    for (const auto& [id, tenant] : tenants) {
      if (tenant.requests > 0) waiting.push_back(id);
    }
    return waiting;
  }

  struct Tenant {
    double weight = 1;
    double virtual_time = 0;
    int requests = 0;
  };
  std::map<TenantId, Tenant> tenants;
  double now = 0;
};

struct Script {
  uint64_t seed;
  TenantId tenants;
  int enters;  // Of 10 steps.
};

class FairShareScript : public testing::TestWithParam<Script> {};

TEST_P(FairShareScript, DoesWhatOneThatForgetsNobodyDoes) {
  const auto [seed, tenants, enters] = GetParam();
  std::mt19937_64 random(seed);
  const auto upto = [&random](uint64_t n) { return random() % n; };
  FairShare fair;
  Model model;
  for (int step = 0; step < 20'000; ++step) {
    const auto waiting = model.Waiting();
    if (waiting.empty() || static_cast<int>(upto(10)) < enters) {
      const auto id = static_cast<TenantId>(upto(tenants));
      const double weight = 0.25 * static_cast<double>(1 + upto(16));
      fair.Enter(id, weight);
      model.Enter(id, weight);
    } else {
      // Mostly whose turn it is, which then leaves.
      const TenantId id = upto(4) == 0 ? waiting[upto(waiting.size())] : Next(fair, waiting);
      if (upto(3) != 0) {
        const auto rows = static_cast<int64_t>(1 + upto(32));
        fair.Charge(id, rows);
        model.Charge(id, rows);
      }
      fair.Leave(id);
      model.Leave(id);
    }
    ASSERT_EQ(fair.waiting(), model.Waiting().size()) << step;
    for (TenantId id : model.Waiting()) {
      ASSERT_EQ(fair.VirtualTime(id), model.tenants[id].virtual_time) << step << ' ' << id;
    }
    const auto anybody = static_cast<TenantId>(upto(tenants));
    ASSERT_NEAR(fair.ShareOf(anybody, 1.5), model.ShareOf(anybody, 1.5), 1e-9) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, FairShareScript,
                         testing::Values(Script{1, 3, 5}, Script{2, 40, 5}, Script{3, 40, 4},
                                         Script{4, 1000, 5}, Script{5, 8, 6}),
                         [](const auto& script) { return "Seed" + std::to_string(script.param.seed); });

}  // namespace
}  // namespace maas
