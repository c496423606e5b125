// Who answers a request that names a model, and maybe a version or a label.
//
// Ownership: shares the versions. Threads: thread-safe; a route is replaced as a whole, so that a reader sees
// the old one or the new one and nothing between.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/exec/version.h"

namespace maas {

struct Route {
  std::map<int64_t, std::shared_ptr<Version>> versions;
  std::map<std::string, int64_t, std::less<>> labels;
  std::shared_ptr<Version> standard;  // Answers when no version is named; null: none does.
  std::set<int64_t> known;            // Exist without being AVAILABLE.
};

class Routes {
 public:
  // Null: the model is gone.
  void Set(const std::string& model, std::shared_ptr<const Route> route) MAAS_EXCLUDES(mu_);

  // `version` 0 and `label` empty: the default. NOT_FOUND names what is unknown; UNAVAILABLE: known, not
  // serving.
  Status Find(std::string_view model, int64_t version, std::string_view label,
              std::shared_ptr<Version>* found) const MAAS_EXCLUDES(mu_);

  // Every version routed to, each once.
  std::vector<std::shared_ptr<Version>> Versions() const MAAS_EXCLUDES(mu_);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  using Table = std::unordered_map<std::string, std::shared_ptr<const Route>, Hash, std::equal_to<>>;

  mutable Mutex mu_;
  Table table_ MAAS_GUARDED_BY(mu_);
};

}  // namespace maas
