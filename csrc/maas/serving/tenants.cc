#include "maas/serving/tenants.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <deque>
#include <functional>
#include <iterator>
#include <list>
#include <unordered_map>
#include <utility>

#include "maas/wire/utf8.h"

namespace maas {
namespace {

constexpr TenantId kUnnamed = 0;
constexpr TenantId kFirstShared = 1;
constexpr TenantId kFirstNamed = kFirstShared + Tenants::kSharedAccounts;
constexpr std::string_view kOthersName = "(others)";
// Sums of fractions of rows are off by less.
constexpr double kRowTolerance = 1e-6;

std::string_view Cut(std::string_view name, size_t most) {
  if (name.size() <= most) return name;
  size_t cut = most;
  // Not inside a UTF-8 sequence; of what is no UTF-8 at all, just there.
  while (cut > 0 && most - cut < 4 && (static_cast<unsigned char>(name[cut]) & 0xC0) == 0x80) --cut;
  return name.substr(0, most - cut < 4 ? cut : most);
}

// Whom a message is about: names of strangers go into messages cut and without control characters.
std::string Described(std::string_view name, bool shared) {
  constexpr size_t kMost = 64;
  if (name.empty()) return "callers without a tenant name have ";
  const std::string_view cut = Cut(name, kMost);
  std::string out;
  for (const char c : ToUtf8(cut)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return "tenant '" + out + (cut.size() < name.size() ? "...'" : "'") +
         (shared ? ", with others, has " : " has ");
}

// Rows per second as text: 0.5, 100, 1e+06.
std::string RateText(double rate) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", rate);
  return text;
}

// A bucket of rows that fills with time. Holds at most a second's worth, and one row at least.
class TokenBucket {
 public:
  // 0: rate without limit. Keeps what it holds, but for what no longer fits; one that had no limit is full.
  void SetRate(double rate) {
    rows_ = rate_ > 0 ? std::min(rows_, Capacity(rate)) : Capacity(rate);
    rate_ = rate;
  }
  // Takes `rows`, or says after how many nanoseconds they could be had. A request of more than the bucket
  // holds needs a full one and leaves a debt.
  bool Take(int64_t rows, int64_t now, int64_t* retry_ns) {
    if (rate_ <= 0) return true;
    const double capacity = Capacity(rate_);
    if (now > filled_ns_) {
      rows_ = std::min(capacity, rows_ + rate_ * (static_cast<double>(now - filled_ns_) / 1e9));
      filled_ns_ = now;
    }
    const double missing = std::min(static_cast<double>(rows), capacity) - rows_;
    if (missing > kRowTolerance) {
      const double ns = std::ceil(missing / rate_ * 1e9);
      *retry_ns = static_cast<int64_t>(std::min(ns, static_cast<double>(Tenants::kMostRetryNs)));
      return false;
    }
    rows_ -= static_cast<double>(rows);
    return true;
  }

 private:
  static double Capacity(double rate) { return std::max(rate, 1.0); }

  double rate_ = 0;
  double rows_ = 0;
  int64_t filled_ns_ = 0;
};

struct AccountState {
  std::string name;
  TenantPolicy policy;
  bool configured = false;
  int64_t in_flight = 0;  // Of callers without a name, neither this nor rows is used.
  uint64_t rows = 0;
  uint64_t refused = 0;
  TokenBucket bucket;
  std::list<TenantId>::iterator idle{};  // Its place in Rep::idle, while it is there.
  bool is_idle = false;

  void SetPolicy(const TenantPolicy& to) {
    policy = to;
    bucket.SetRate(to.max_rows_per_second);
  }
};

struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
};

}  // namespace

struct Tenants::Rep {
  TenantOptions options;
  std::deque<AccountState> accounts{kFirstNamed};  // By id.
  std::vector<TenantId> free;                      // Ids that no account has.
  std::unordered_map<std::string, TenantId, NameHash, std::equal_to<>> by_name;
  std::list<TenantId> idle;  // Others with nothing in flight, the one that came longest ago first.
  size_t others = 0;         // Accounts with a name that is not configured.

  AccountState& Of(TenantId id) { return accounts[id]; }

  TenantId Create(std::string_view name) {
    TenantId id = 0;
    if (free.empty()) {
      id = static_cast<TenantId>(accounts.size());
      accounts.emplace_back();
    } else {
      id = free.back();
      free.pop_back();
    }
    Of(id).name = name;
    by_name.emplace(name, id);
    return id;
  }
  void SetIdle(TenantId id, bool is_idle) {
    AccountState& account = Of(id);
    if (account.is_idle == is_idle) return;
    account.is_idle = is_idle;
    if (is_idle) {
      account.idle = idle.insert(idle.end(), id);
    } else {
      idle.erase(account.idle);
    }
  }
  // Forgets others until at most `most` are left, or all have something in flight.
  void Trim(size_t most) {
    while (others > most && !idle.empty()) {
      const TenantId id = idle.front();
      SetIdle(id, false);
      by_name.erase(Of(id).name);
      Of(id) = AccountState{};
      free.push_back(id);
      --others;
    }
  }
  // The account of a name that is not empty.
  TenantId Find(std::string_view name) {
    if (const auto it = by_name.find(name); it != by_name.end()) return it->second;
    Trim(kMostOthers - 1);
    if (others >= kMostOthers) {
      return kFirstShared + static_cast<TenantId>(NameHash{}(name) % kSharedAccounts);
    }
    const TenantId id = Create(name);
    ++others;
    Of(id).SetPolicy(options.standard);
    return id;
  }
  static bool IsShared(TenantId id) { return id >= kFirstShared && id < kFirstNamed; }
  // Nothing in flight: the account of a name that is not configured may be forgotten.
  void Touch(TenantId id) {
    const AccountState& account = Of(id);
    if (id < kFirstNamed || account.configured) return;
    SetIdle(id, false);  // Now it is the one that came last.
    SetIdle(id, account.in_flight == 0);
  }
};

Tenants::Tenants() : rep_(std::make_unique<Rep>()) {}
Tenants::~Tenants() = default;

void Tenants::Configure(TenantOptions options) {
  MutexLock lock(&mu_);
  Rep& rep = *rep_;
  rep.options = std::move(options);
  rep.Of(kUnnamed).configured = false;
  for (TenantId id = kUnnamed; id < kFirstNamed; ++id) rep.Of(id).SetPolicy(rep.options.standard);
  for (const auto& [name, id] : rep.by_name) {
    AccountState& account = rep.Of(id);
    if (std::exchange(account.configured, false)) ++rep.others;
    account.SetPolicy(rep.options.standard);
  }
  for (const auto& [name, policy] : rep.options.by_name) {
    const std::string_view key = Cut(name, kMostNameBytes);
    TenantId id = kUnnamed;
    if (!key.empty()) {
      const auto it = rep.by_name.find(key);
      id = it == rep.by_name.end() ? rep.Create(key) : it->second;
      // It was counted above, unless it is new or comes a second time, as names that are the same once cut
      // do.
      if (it != rep.by_name.end() && !rep.Of(id).configured) --rep.others;
      rep.SetIdle(id, false);
    }
    rep.Of(id).configured = true;
    rep.Of(id).SetPolicy(policy);
  }
  for (const auto& [name, id] : rep.by_name) rep.Touch(id);
  rep.Trim(kMostOthers);
  unnamed_has_policy_.store(rep.Of(kUnnamed).policy != TenantPolicy{}, std::memory_order_release);
}

Status Tenants::Admit(std::string_view name, int64_t rows, int64_t now, Account* account) {
  assert(rows >= 0);
  if (name.empty() && !unnamed_has_policy_.load(std::memory_order_acquire)) {
    unnamed_in_flight_.fetch_add(rows, std::memory_order_relaxed);
    unnamed_rows_.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
    *account = {};
    return {};
  }
  name = Cut(name, kMostNameBytes);
  MutexLock lock(&mu_);
  const TenantId id = name.empty() ? kUnnamed : rep_->Find(name);
  AccountState& books = rep_->Of(id);
  const TenantPolicy& policy = books.policy;
  const int64_t in_flight =
      id == kUnnamed ? unnamed_in_flight_.load(std::memory_order_relaxed) : books.in_flight;
  if (policy.max_rows_in_flight > 0 && rows > policy.max_rows_in_flight - in_flight) {
    ++books.refused;
    rep_->Touch(id);
    return Status(Code::kResourceExhausted, "TENANT_ROWS_IN_FLIGHT",
                  Described(name, Rep::IsShared(id)) + std::to_string(in_flight) +
                      " rows in flight of at most " + std::to_string(policy.max_rows_in_flight) +
                      "; the request brings " + std::to_string(rows));
  }
  int64_t retry_ns = 0;
  if (!books.bucket.Take(rows, now, &retry_ns)) {
    ++books.refused;
    rep_->Touch(id);
    return Status(Code::kResourceExhausted, "TENANT_RATE",
                  Described(name, Rep::IsShared(id)) + "used up its rate of " +
                      RateText(policy.max_rows_per_second) + " rows per second; the request brings " +
                      std::to_string(rows))
        .WithRetryAfter(retry_ns);
  }
  if (id == kUnnamed) {
    unnamed_in_flight_.fetch_add(rows, std::memory_order_relaxed);
    unnamed_rows_.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
  } else {
    books.in_flight += rows;
    books.rows += static_cast<uint64_t>(rows);
    rep_->Touch(id);
  }
  *account = {id, policy.weight};
  return {};
}

void Tenants::Release(TenantId id, int64_t rows) {
  if (id == kUnnamed) {
    unnamed_in_flight_.fetch_sub(rows, std::memory_order_relaxed);
    return;
  }
  if (rows == 0) return;  // Nothing kept the account, it may be another's.
  MutexLock lock(&mu_);
  AccountState& books = rep_->Of(id);
  assert(books.in_flight >= rows);
  books.in_flight -= rows;
  rep_->Touch(id);
  rep_->Trim(kMostOthers);
}

std::vector<Tenants::Usage> Tenants::Read(size_t most) const {
  std::vector<Usage> configured;
  std::vector<Usage> others;
  {
    MutexLock lock(&mu_);
    const auto usage_of = [](const AccountState& books) {
      return Usage{books.name, books.policy.weight, books.in_flight, books.rows, books.refused};
    };
    Usage unnamed = usage_of(rep_->Of(kUnnamed));
    unnamed.rows_in_flight = unnamed_in_flight_.load(std::memory_order_relaxed);
    unnamed.rows = unnamed_rows_.load(std::memory_order_relaxed);
    const bool has_policy = rep_->Of(kUnnamed).configured;
    if (has_policy || unnamed.rows_in_flight > 0) (has_policy ? configured : others).push_back(unnamed);
    Usage shared = usage_of(rep_->Of(kFirstShared));
    shared.name = kOthersName;
    for (TenantId id = kFirstShared + 1; id < kFirstNamed; ++id) {
      const AccountState& books = rep_->Of(id);
      shared.rows_in_flight += books.in_flight;
      shared.rows += books.rows;
      shared.refused += books.refused;
    }
    if (shared.rows_in_flight > 0) others.push_back(std::move(shared));
    for (const auto& [name, id] : rep_->by_name) {
      const AccountState& books = rep_->Of(id);
      if (books.configured || books.in_flight > 0) {
        (books.configured ? configured : others).push_back(usage_of(books));
      }
    }
  }
  const auto by_name = [](const Usage& a, const Usage& b) { return a.name < b.name; };
  std::sort(others.begin(), others.end(), by_name);
  std::sort(configured.begin(), configured.end(), by_name);
  configured.insert(configured.end(), std::make_move_iterator(others.begin()),
                    std::make_move_iterator(others.end()));
  configured.resize(std::min(configured.size(), most));
  std::sort(configured.begin(), configured.end(), by_name);
  for (Usage& usage : configured) usage.name = ToUtf8(usage.name);
  return configured;
}

size_t Tenants::size() const {
  MutexLock lock(&mu_);
  return rep_->by_name.size() + kFirstNamed;
}

}  // namespace maas
