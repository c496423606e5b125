// The memory of an instance's runs: staging buffers, and for each shape of run the plan of where its tensors
// lie.
//
// A plan is made once per shape and found again by its key, so that whoever binds to its memory does so once.
// Plans of all shapes lie in the same buffers.
//
// Ownership: owns the buffers and the plans. Threads: its instance's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "maas/base/dims.h"
#include "maas/exec/staging.h"
#include "maas/exec/tensor_memory.h"
#include "maas/model/bind.h"
#include "maas/model/spec.h"

namespace maas {

// The memory of one run. Inputs and outputs in the spec's order.
struct RunPlan {
  struct Tensor {
    Dims dims;
    std::byte* data = nullptr;  // Null: BYTES, or an output whose shape is not known before the run.
    size_t bytes = 0;
  };
  // Not 0: every run with this key has the same memory and shapes, until the key is forgotten. Unique in the
  // process.
  uint64_t key = 0;
  int64_t rows = 0;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
};

class RunPlans {
 public:
  // `spec` and `memory` are not owned and outlive this.
  explicit RunPlans(const ModelSpec* spec, TensorMemory* memory = HostMemory());
  RunPlans(const RunPlans&) = delete;
  RunPlans& operator=(const RunPlans&) = delete;

  // The plan of a run of `rows` rows that look like `any`'s; valid until the next call. Null: its tensors are
  // larger than can be had. REQUIRES: no run is under way on a plan of this, whose memory might go.
  const RunPlan* For(const BoundRequest& any, int64_t rows);
  // The same without the requirement: null also where memory would have to move first, or keys to be
  // forgotten.
  const RunPlan* ForIfAllStays(const BoundRequest& any, int64_t rows);

  // Keys that will not come back, because memory moved or too many shapes were seen.
  const std::vector<uint64_t>& forgotten() const { return forgotten_; }
  void ClearForgotten() { forgotten_.clear(); }

 private:
  // All that the shapes of a run depend on.
  void MakeKey(const BoundRequest& any, int64_t rows);
  // `may_move`: memory, and forget keys.
  const RunPlan* Get(const BoundRequest& any, int64_t rows, bool may_move);
  bool HasRoom(const RunPlan& plan) const;
  // Makes room in every staging buffer; drops all plans if one moved. False: no memory.
  bool Reserve(const RunPlan& plan);
  void Forget();

  const ModelSpec* const spec_;
  std::vector<StagingBuffer> inputs_;
  std::vector<StagingBuffer> outputs_;
  std::unordered_map<std::string, std::unique_ptr<RunPlan>> plans_;
  std::vector<uint64_t> forgotten_;
  std::string key_;  // Of MakeKey(); kept for its capacity.
};

}  // namespace maas
