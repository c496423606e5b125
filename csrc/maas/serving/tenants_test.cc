#include "maas/serving/tenants.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace maas {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'000'000 * kSecond;
constexpr size_t kAlways = 1 + Tenants::kSharedAccounts;  // The unnamed and the shared.

TenantOptions Options(TenantPolicy standard, std::map<std::string, TenantPolicy, std::less<>> by_name = {}) {
  return {standard, std::move(by_name)};
}

const Tenants::Usage* Find(const std::vector<Tenants::Usage>& read, std::string_view name) {
  for (const Tenants::Usage& each : read) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

// Admits what must be admitted.
Tenants::Account Admitted(Tenants* tenants, std::string_view name, int64_t rows, int64_t now = kStart) {
  Tenants::Account account;
  const Status status = tenants->Admit(name, rows, now, &account);
  EXPECT_TRUE(status.ok()) << name;
  return account;
}

TEST(Tenants, WithoutConfigurationAdmitsEverything) {
  Tenants tenants;
  for (const char* name : {"", "a", "b"}) {
    const Tenants::Account account = Admitted(&tenants, name, int64_t{1} << 40);
    EXPECT_EQ(account.weight, 1);
    EXPECT_EQ(account.id == 0, std::string_view(name).empty());
  }
  const auto read = tenants.Read(10);
  ASSERT_EQ(read.size(), 3u);
  for (const auto& each : read) EXPECT_EQ(each.rows_in_flight, int64_t{1} << 40);
}

TEST(Tenants, KeepsAccountsApart) {
  Tenants tenants;
  const TenantId a = Admitted(&tenants, "a", 1).id;
  const TenantId b = Admitted(&tenants, "b", 1).id;
  EXPECT_NE(a, b);
  EXPECT_EQ(Admitted(&tenants, "a", 1).id, a);
}

TEST(Tenants, GivesWeights) {
  Tenants tenants;
  tenants.Configure(Options({2, 0, 0}, {{"gold", {10, 0, 0}}, {"", {0.5, 0, 0}}}));
  EXPECT_EQ(Admitted(&tenants, "gold", 1).weight, 10);
  EXPECT_EQ(Admitted(&tenants, "other", 1).weight, 2);
  EXPECT_EQ(Admitted(&tenants, "", 1).weight, 0.5);
  tenants.Configure(Options({3, 0, 0}));
  EXPECT_EQ(Admitted(&tenants, "gold", 1).weight, 3);
  EXPECT_EQ(Admitted(&tenants, "", 1).weight, 3);
}

TEST(Tenants, LimitsRowsInFlight) {
  for (const char* name : {"", "a", "known"}) {
    Tenants tenants;
    tenants.Configure(Options({1, 10, 0}, {{"known", {1, 10, 0}}}));
    const TenantId id = Admitted(&tenants, name, 7).id;
    Tenants::Account account;
    const Status status = tenants.Admit(name, 4, kStart, &account);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.code(), Code::kResourceExhausted);
    EXPECT_EQ(status.reason(), "TENANT_ROWS_IN_FLIGHT");
    EXPECT_EQ(status.retry_after_ns(), 0);
    EXPECT_NE(status.message().find("7 rows in flight of at most 10; the request brings 4"),
              std::string::npos)
        << status.message();
    EXPECT_NE(status.message().find(*name != 0 ? name : "without a tenant name"), std::string::npos);
    Admitted(&tenants, name, 3);
    Admitted(&tenants, "somebody else", 10);
    tenants.Release(id, 7);
    Admitted(&tenants, name, 7);
    EXPECT_FALSE(tenants.Admit(name, INT64_MAX, kStart, &account).ok());
    const auto read = tenants.Read(10);
    ASSERT_NE(Find(read, name), nullptr);
    EXPECT_EQ(Find(read, name)->refused, 2u);
    EXPECT_EQ(Find(read, name)->rows, 17u);
    EXPECT_EQ(Find(read, name)->rows_in_flight, 10);
  }
}

TEST(Tenants, LimitsTheRate) {
  for (const char* name : {"", "a"}) {
    Tenants tenants;
    tenants.Configure(Options({1, 0, 100}));
    Tenants::Account account;
    Admitted(&tenants, name, 60);
    Admitted(&tenants, name, 40);
    const Status status = tenants.Admit(name, 25, kStart, &account);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.code(), Code::kResourceExhausted);
    EXPECT_EQ(status.reason(), "TENANT_RATE");
    EXPECT_EQ(status.retry_after_ns(), kSecond / 4);
    EXPECT_NE(status.message().find("100 rows per second; the request brings 25"), std::string::npos)
        << status.message();
    EXPECT_FALSE(tenants.Admit(name, 25, kStart + kSecond / 4 - 1'000'000, &account).ok());
    Admitted(&tenants, name, 25, kStart + kSecond / 4);
    Admitted(&tenants, name, 100, kStart + 10 * kSecond);
    EXPECT_FALSE(tenants.Admit(name, 1, kStart + 10 * kSecond, &account).ok())
        << "no more than a second's worth";
  }
}

TEST(Tenants, ARequestLargerThanASecondsWorthLeavesADebt) {
  Tenants tenants;
  tenants.Configure(Options({1, 0, 10}));
  Tenants::Account account;
  Admitted(&tenants, "a", 35);
  const Status status = tenants.Admit("a", 1, kStart, &account);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.retry_after_ns(), kSecond * 26 / 10);
  Admitted(&tenants, "a", 1, kStart + kSecond * 26 / 10);
  EXPECT_FALSE(tenants.Admit("a", 1'000'000, kStart + kSecond * 3, &account).ok());
  Admitted(&tenants, "a", 1'000'000, kStart + kSecond * 4);
}

TEST(Tenants, ARetryAtTheTimeThatWasToldIsAdmitted) {
  std::mt19937_64 random(11);
  for (const double rate : {0.001, 0.3, 1.0, 7.0, 333.3, 1e6, 1e9}) {
    Tenants tenants;
    tenants.Configure(Options({1, 0, rate}));
    int64_t now = kStart;
    for (int i = 0; i < 500; ++i) {
      const auto rows = static_cast<int64_t>(1 + random() % 20);
      Tenants::Account account;
      const Status status = tenants.Admit("a", rows, now, &account);
      if (status.ok()) continue;
      ASSERT_GT(status.retry_after_ns(), 0);
      ASSERT_LE(status.retry_after_ns(), Tenants::kMostRetryNs);
      now += status.retry_after_ns();
      ASSERT_TRUE(tenants.Admit("a", rows, now, &account).ok()) << rate << " " << rows;
    }
  }
}

TEST(Tenants, ARateNextToNothingAdvisesNoEndlessWait) {
  Tenants tenants;
  tenants.Configure(Options({1, 0, 1e-300}));
  Tenants::Account account;
  Admitted(&tenants, "a", 1);
  EXPECT_EQ(tenants.Admit("a", 1, kStart, &account).retry_after_ns(), Tenants::kMostRetryNs);
  EXPECT_FALSE(tenants.Admit("a", 1, kStart - kSecond, &account).ok()) << "instants may come out of order";
}

TEST(Tenants, AnInstantOutOfOrderTakesNothingAway) {
  Tenants tenants;
  tenants.Configure(Options({1, 0, 100}));
  Admitted(&tenants, "a", 60);
  Admitted(&tenants, "a", 40, kStart - kSecond);
  Tenants::Account account;
  EXPECT_FALSE(tenants.Admit("a", 1, kStart, &account).ok());
}

TEST(Tenants, ARefusalForRowsInFlightCostsNoRate) {
  Tenants tenants;
  tenants.Configure(Options({1, 5, 10}));
  Tenants::Account account;
  const TenantId id = Admitted(&tenants, "a", 5).id;
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(tenants.Admit("a", 5, kStart, &account).ok());
  tenants.Release(id, 5);
  Admitted(&tenants, "a", 5);
}

TEST(Tenants, MessagesCarryNamesOnlyCutAndPrintable) {
  struct Row {
    std::string name;
    std::string text;
  };
  const Row rows[] = {
      {"plain", "'plain'"},
      {"a\nb\x7F"
       "c",
       "'a?b?c'"},
      {std::string(65, 'x'), "'" + std::string(64, 'x') + "...'"},
      {std::string(63, 'x') + "\xC3\xA9", "'" + std::string(63, 'x') + "...'"},
      {"bad\xFF", "'bad\xEF\xBF\xBD'"},
      {std::string(100, '\x80'), "...'"},
  };
  for (const Row& row : rows) {
    Tenants tenants;
    tenants.Configure(Options({1, 1, 0}));
    Tenants::Account account;
    const Status status = tenants.Admit(row.name, 2, kStart, &account);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.message().find(row.text), std::string::npos) << status.message();
  }
}

TEST(Tenants, NamesThatAreTheSameOnceCutShareAnAccount) {
  Tenants tenants;
  const std::string stem(Tenants::kMostNameBytes, 'x');
  tenants.Configure(Options({}, {{stem + "1", {4, 0, 0}}, {stem + "2", {5, 0, 0}}}));
  EXPECT_EQ(tenants.size(), kAlways + 1);
  EXPECT_EQ(Admitted(&tenants, stem + "1", 1).id, Admitted(&tenants, stem + "3", 1).id);
  // Cut at a whole character.
  const std::string odd = std::string(Tenants::kMostNameBytes - 1, 'y') + "\xC3\xA9";
  Admitted(&tenants, odd, 1);
  EXPECT_NE(Find(tenants.Read(10), std::string(Tenants::kMostNameBytes - 1, 'y')), nullptr);
}

TEST(Tenants, WhatIsInFlightStaysCountedWhenTheConfigurationChanges) {
  Tenants tenants;
  const TenantId unnamed = Admitted(&tenants, "", 4).id;
  const TenantId a = Admitted(&tenants, "a", 4).id;
  tenants.Configure(Options({1, 5, 0}, {{"a", {1, 6, 0}}}));
  Tenants::Account account;
  EXPECT_FALSE(tenants.Admit("", 2, kStart, &account).ok());
  EXPECT_FALSE(tenants.Admit("a", 3, kStart, &account).ok());
  EXPECT_EQ(Admitted(&tenants, "a", 2).id, a);
  tenants.Configure(Options({}));
  tenants.Release(unnamed, 4);
  tenants.Release(a, 6);
  EXPECT_TRUE(tenants.Read(10).empty()) << "nobody is configured, nothing in flight";
  tenants.Configure(Options({1, 5, 0}));
  Admitted(&tenants, "", 5);
  Admitted(&tenants, "a", 5);
}

TEST(Tenants, ARateThatComesLaterStartsWithAFullBucket) {
  Tenants tenants;
  Admitted(&tenants, "a", 1'000);
  tenants.Configure(Options({1, 0, 100}));
  Admitted(&tenants, "a", 100);
  tenants.Configure(Options({1, 0, 10}));
  Tenants::Account account;
  EXPECT_FALSE(tenants.Admit("a", 1, kStart, &account).ok()) << "what was used up stays used up";
}

TEST(Tenants, ReadsConfiguredTenantsFirstAndInOrder) {
  Tenants tenants;
  tenants.Configure(Options({}, {{"m", {}}, {"z", {}}}));
  for (const char* name : {"", "a", "b", "m"}) Admitted(&tenants, name, 1);
  const auto names = [&tenants](size_t most) {
    std::vector<std::string> out;
    for (const auto& each : tenants.Read(most)) out.push_back(each.name);
    return out;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(10), (Names{"", "a", "b", "m", "z"}));
  EXPECT_EQ(names(3), (Names{"", "m", "z"}));
  EXPECT_EQ(names(2), (Names{"m", "z"}));
  EXPECT_EQ(names(0), Names{});
}

TEST(Tenants, ForgetsWhoCameLongestAgo) {
  Tenants tenants;
  tenants.Configure(Options({1, 0, 1}, {{"known", {1, 0, 1}}}));
  const auto pass = [&tenants](const std::string& name) {
    Tenants::Account account;
    return tenants.Admit(name, 1, kStart, &account).ok();
  };
  tenants.Release(Admitted(&tenants, "known", 1).id, 1);
  tenants.Release(Admitted(&tenants, "early", 1).id, 1);
  tenants.Release(Admitted(&tenants, "again", 1).id, 1);
  for (size_t i = 0; i < Tenants::kMostOthers - 2; ++i) {
    tenants.Release(Admitted(&tenants, "n" + std::to_string(i), 1).id, 1);
  }
  EXPECT_FALSE(pass("again")) << "its bucket is remembered, and that it came";
  tenants.Release(Admitted(&tenants, "one more", 1).id, 1);
  tenants.Release(Admitted(&tenants, "and another", 1).id, 1);
  EXPECT_FALSE(pass("again"));
  EXPECT_FALSE(pass("known"));
  EXPECT_TRUE(pass("early")) << "forgotten with its bucket";
}

TEST(Tenants, AllInFlightShareAccounts) {
  Tenants tenants;
  std::vector<TenantId> ids;
  for (size_t i = 0; i < Tenants::kMostOthers; ++i) {
    ids.push_back(Admitted(&tenants, "n" + std::to_string(i), 1).id);
  }
  const TenantId shared = Admitted(&tenants, "late", 3).id;
  EXPECT_GE(shared, 1u);
  EXPECT_LE(shared, Tenants::kSharedAccounts);
  EXPECT_EQ(Admitted(&tenants, "late", 2).id, shared);
  const auto read = tenants.Read(2'000);
  ASSERT_NE(Find(read, "(others)"), nullptr);
  EXPECT_EQ(Find(read, "(others)")->rows_in_flight, 5);
  EXPECT_EQ(Find(read, "late"), nullptr);
  tenants.Release(ids[5], 1);
  EXPECT_GT(Admitted(&tenants, "late", 1).id, Tenants::kSharedAccounts) << "there is room again";
  tenants.Release(shared, 5);
  EXPECT_EQ(Find(tenants.Read(2'000), "(others)"), nullptr);
  EXPECT_EQ(tenants.size(), kAlways + Tenants::kMostOthers);
}

TEST(Tenants, NamesThatTheConfigurationDropsCountAsOthers) {
  Tenants tenants;
  TenantOptions many;
  for (size_t i = 0; i < 2 * Tenants::kMostOthers; ++i) many.by_name["n" + std::to_string(i)] = {};
  tenants.Configure(many);
  EXPECT_EQ(tenants.size(), kAlways + 2 * Tenants::kMostOthers);
  std::vector<TenantId> ids;
  for (const auto& [name, policy] : many.by_name) ids.push_back(Admitted(&tenants, name, 1).id);
  tenants.Configure({});
  EXPECT_EQ(tenants.size(), kAlways + 2 * Tenants::kMostOthers) << "all have something in flight";
  for (const TenantId id : ids) tenants.Release(id, 1);
  EXPECT_EQ(tenants.size(), kAlways + Tenants::kMostOthers);
}

TEST(Tenants, ANameThatTheConfigurationTakesUpIsNotForgotten) {
  Tenants tenants;
  tenants.Release(Admitted(&tenants, "x", 1).id, 1);
  tenants.Configure(Options({}, {{"x", {3, 0, 0}}}));
  for (size_t i = 0; i < 2 * Tenants::kMostOthers; ++i) {
    tenants.Release(Admitted(&tenants, "n" + std::to_string(i), 1).id, 1);
  }
  EXPECT_EQ(tenants.size(), kAlways + 1 + Tenants::kMostOthers);
  EXPECT_EQ(Admitted(&tenants, "x", 1).weight, 3);
}

TEST(Tenants, ReleasingNoRowsOfAnAccountThatIsForgottenDoesNothing) {
  Tenants tenants;
  TenantOptions many;
  for (size_t i = 0; i < 2 * Tenants::kMostOthers; ++i) many.by_name["n" + std::to_string(i)] = {};
  tenants.Configure(many);
  std::vector<TenantId> ids;
  for (const auto& [name, policy] : many.by_name) ids.push_back(Admitted(&tenants, name, 0).id);
  tenants.Configure({});
  for (const TenantId id : ids) tenants.Release(id, 0);
  for (size_t i = 0; i < Tenants::kMostOthers; ++i) Admitted(&tenants, "m" + std::to_string(i), 1);
  EXPECT_EQ(tenants.size(), kAlways + Tenants::kMostOthers);
}

TEST(Tenants, AMillionNamesLeaveNothingBehind) {
  std::mt19937_64 random(5);
  Tenants tenants;
  tenants.Configure(Options({1, 100, 0}, {{"known", {2, 0, 0}}}));
  struct Held {
    TenantId id;
    int64_t rows;
  };
  std::deque<Held> held;
  int64_t in_flight = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    std::string name(random() % 40, '\0');
    for (char& c : name) c = static_cast<char>(random());
    Tenants::Account account;
    const auto rows = static_cast<int64_t>(random() % 4);
    if (tenants.Admit(name, rows, kStart + i, &account).ok()) {
      held.push_back({account.id, rows});
      in_flight += rows;
    }
    // Now many at a time, now few.
    const size_t most = i / 100'000 % 2 == 0 ? 50 : 3'000;
    while (held.size() > most) {
      const size_t at = random() % held.size();
      std::swap(held[at], held.back());
      tenants.Release(held.back().id, held.back().rows);
      in_flight -= held.back().rows;
      held.pop_back();
    }
    if (i % 10'000 == 0) {
      ASSERT_LE(tenants.size(), kAlways + 1 + Tenants::kMostOthers);
      int64_t read = 0;
      for (const auto& each : tenants.Read(SIZE_MAX)) read += each.rows_in_flight;
      ASSERT_EQ(read, in_flight);
    }
  }
  for (const Held& each : held) tenants.Release(each.id, each.rows);
  for (const auto& each : tenants.Read(SIZE_MAX)) EXPECT_EQ(each.rows_in_flight, 0) << each.name;
  EXPECT_LE(tenants.size(), kAlways + 1 + Tenants::kMostOthers);
}

TEST(Tenants, ThreadsAgreeWhileTheConfigurationChanges) {
  Tenants tenants;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&tenants, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 5'000; ++i) {
        const std::string name = random() % 3 == 0 ? "" : "n" + std::to_string(random() % 2'000);
        Tenants::Account account;
        if (tenants.Admit(name, 2, kStart + i, &account).ok()) tenants.Release(account.id, 2);
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    tenants.Configure(i % 2 == 0 ? Options({1, 4, 1e6}, {{"n1", {2, 3, 0}}, {"", {1, 4, 0}}})
                                 : TenantOptions{});
    EXPECT_LE(tenants.Read(5).size(), 5u);
  }
  for (std::thread& each : threads) each.join();
  for (const auto& each : tenants.Read(SIZE_MAX)) EXPECT_EQ(each.rows_in_flight, 0) << each.name;
}

}  // namespace
}  // namespace maas
