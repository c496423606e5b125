#include "maas/serving/shared_memory.h"

#include <utility>

#include "maas/wire/decoding.h"

namespace maas {

Status SharedMemory::Register(const std::string& name, const std::string& key, uint64_t offset,
                              uint64_t size) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return Status::Invalid("name", "expected 1 to " + std::to_string(kMaxNameBytes) + " bytes, got " +
                                       std::to_string(name.size()));
  }
  std::shared_ptr<SharedRegion> region;
  MAAS_RETURN_IF_ERROR(SharedRegion::Open(name, key, offset, size, &region));
  MutexLock lock(&mu_);
  if (regions_.contains(name)) {
    return Status(Code::kAlreadyExists, "SHARED_MEMORY_EXISTS",
                  "shared memory region '" + name + "' already in manager: it is registered");
  }
  if (regions_.size() >= kMaxRegions) {
    return Status(Code::kResourceExhausted, "TOO_MANY_REGIONS",
                  "expected at most " + std::to_string(kMaxRegions) + " shared memory regions, got one more");
  }
  regions_.emplace(name, std::move(region));
  return {};
}

void SharedMemory::Unregister(std::string_view name) {
  std::shared_ptr<SharedRegion> gone;  // Closes its file without the lock.
  MutexLock lock(&mu_);
  if (const auto it = regions_.find(name); it != regions_.end()) {
    gone = std::move(it->second);
    regions_.erase(it);
  }
}

void SharedMemory::UnregisterAll() {
  decltype(regions_) gone;
  MutexLock lock(&mu_);
  regions_.swap(gone);
}

std::vector<std::shared_ptr<const SharedRegion>> SharedMemory::List() const {
  std::vector<std::shared_ptr<const SharedRegion>> out;
  MutexLock lock(&mu_);
  for (const auto& [name, region] : regions_) out.push_back(region);
  return out;
}

Status SharedMemory::Find(const FieldPath* tensor, SharedMemoryView* view) const {
  {
    MutexLock lock(&mu_);
    const auto it = regions_.find(view->region);
    if (it != regions_.end()) view->memory = it->second;
  }
  const FieldPath parameters{tensor, "parameters"};
  if (view->memory == nullptr) {
    return InvalidField(&parameters, "shared_memory_region",
                        "expected the name of a registered region, got '" + std::string(view->region) + '\'');
  }
  const Status range = view->memory->CheckRange(view->offset, view->size);
  return range.ok() ? Status() : FieldFailure(&parameters, range);
}

}  // namespace maas
