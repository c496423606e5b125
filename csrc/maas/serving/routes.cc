#include "maas/serving/routes.h"

#include <algorithm>
#include <utility>

namespace maas {
namespace {

// Names of strangers go into messages cut and without control characters.
std::string Quoted(std::string_view name) {
  constexpr size_t kMost = 64;
  size_t cut = std::min(name.size(), kMost);
  // A cut inside a UTF-8 sequence would make the message invalid.
  while (cut > 0 && cut < name.size() && (static_cast<unsigned char>(name[cut]) & 0xC0) == 0x80) --cut;
  std::string out = "'";
  for (char c : name.substr(0, cut)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  if (cut < name.size()) out += "...";
  return out += "'";
}

}  // namespace

void Routes::Set(const std::string& model, std::shared_ptr<const Route> route) {
  std::shared_ptr<const Route> old;  // Released outside the lock.
  MutexLock lock(&mu_);
  if (route) {
    old = std::exchange(table_[model], std::move(route));
  } else if (const auto it = table_.find(model); it != table_.end()) {
    old = std::move(it->second);
    table_.erase(it);
  }
}

Status Routes::Find(std::string_view model, int64_t version, std::string_view label,
                    std::shared_ptr<Version>* found) const {
  std::shared_ptr<const Route> route;
  {
    MutexLock lock(&mu_);
    const auto it = table_.find(model);
    if (it != table_.end()) route = it->second;
  }
  if (!route) return Status(Code::kNotFound, "MODEL_NOT_FOUND", "model " + Quoted(model) + " is not known");
  if (!label.empty()) {
    const auto it = route->labels.find(label);
    if (it == route->labels.end()) {
      return Status(Code::kNotFound, "LABEL_NOT_FOUND",
                    "model " + Quoted(model) + " has no label " + Quoted(label));
    }
    version = it->second;
  }
  if (version == 0) {
    if (route->standard) {
      *found = route->standard;
      return {};
    }
    return Status(Code::kUnavailable, "NO_VERSION_AVAILABLE",
                  "model " + Quoted(model) + " has no version that serves; ModelStatus says why");
  }
  if (const auto it = route->versions.find(version); it != route->versions.end()) {
    *found = it->second;
    return {};
  }
  const std::string name = "version " + std::to_string(version) + " of model " + Quoted(model);
  if (route->known.contains(version)) {
    return Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE",
                  name + " does not serve; ModelStatus says why");
  }
  return Status(Code::kNotFound, "VERSION_NOT_FOUND", name + " is not known");
}

std::vector<std::shared_ptr<Version>> Routes::Versions() const {
  std::vector<std::shared_ptr<Version>> out;
  MutexLock lock(&mu_);
  for (const auto& [model, route] : table_) {
    for (const auto& [number, version] : route->versions) out.push_back(version);
  }
  return out;
}

}  // namespace maas
