// The pieces of shared memory that clients registered, by name.
//
// Usage:
//   SharedMemory memory;
//   memory.Register("in", "/input", 0, 4096);      // opens it
//   memory.Find(&path, tensor.shared.get());       // sets tensor.shared->memory; BindRequest() reads it
//
// Ownership: shares the regions with the requests under way, which keep theirs when it is unregistered.
// Threads: thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/base/shared_region.h"
#include "maas/base/status.h"
#include "maas/wire/field_path.h"
#include "maas/wire/predict_view.h"

namespace maas {

class SharedMemory {
 public:
  // Each is an open file, of which a process may often have 1024.
  static constexpr size_t kMaxRegions = 256;

  // ALREADY_EXISTS: the name is taken. RESOURCE_EXHAUSTED: kMaxRegions are registered. INVALID_ARGUMENT as
  // SharedRegion::Open().
  Status Register(const std::string& name, const std::string& key, uint64_t offset, uint64_t size)
      MAAS_EXCLUDES(mu_);
  // A name that is not registered is in order: the region is not there afterwards.
  void Unregister(std::string_view name) MAAS_EXCLUDES(mu_);
  void UnregisterAll() MAAS_EXCLUDES(mu_);
  // Sorted by name.
  std::vector<std::shared_ptr<const SharedRegion>> List() const MAAS_EXCLUDES(mu_);

  // Sets view->memory. INVALID_ARGUMENT, naming a field of `parameters` of `tensor`: no such region, or it
  // does not reach so far.
  Status Find(const FieldPath* tensor, SharedMemoryView* view) const MAAS_EXCLUDES(mu_);

 private:
  mutable Mutex mu_;
  std::map<std::string, std::shared_ptr<SharedRegion>, std::less<>> regions_ MAAS_GUARDED_BY(mu_);
};

}  // namespace maas
