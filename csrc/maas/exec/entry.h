// One accepted request on its way through the core.
//
// Ownership: shared by its queue, the batches that hold slices of it, and whoever may cancel it. Borrows the
// request's bytes, which the sink keeps until the completion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/batching/batch_queue.h"
#include "maas/exec/completion.h"
#include "maas/exec/staging.h"
#include "maas/exec/version.h"
#include "maas/model/bind.h"
#include "maas/wire/predict_encoder.h"
#include "maas/wire/predict_view.h"

namespace maas {

// The answer of a request larger than the largest batch, as its slices come back.
struct SplitAnswer {
  // Made under the mutex by the first slice that is back. Afterwards each slice writes its own rows without
  // it, and whoever finds that all are back reads them.
  struct Output {
    Dims dims;  // Of all rows.
    StagingBuffer data;
    std::vector<std::string> strings;  // BYTES.
  };

  Mutex mu;
  std::vector<Output> outputs
      MAAS_GUARDED_BY(mu);             // One per OutputSpec; empty until the first slice is back.
  Status failure MAAS_GUARDED_BY(mu);  // The first.
  Receipt receipt MAAS_GUARDED_BY(mu);
};

struct Entry final : QueueItem {
  // Constant once pushed.
  PredictRequestView view;
  BoundRequest bound;
  ReplyTo reply;
  std::shared_ptr<Version> version;
  std::unique_ptr<SplitAnswer> split;  // Null unless rows > max_batch_size.
  std::shared_ptr<void> lease;         // Goes with the entry: what is to be given back when it is over.
};

// Completes entries of one version that will not run. One Complete() call per run of entries with the same
// sink. The version counts each as `outcome`.
void CompleteUnrun(std::vector<std::shared_ptr<QueueItem>>* items, const Status& status, Outcome outcome);

// Completes entries of one version that left its queue unrun because they expired or timed out.
void CompleteDropped(std::vector<std::shared_ptr<QueueItem>>* items);

}  // namespace maas
