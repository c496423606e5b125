// The methods that run models, of one I/O thread: PredictService, GRPCInferenceService's ModelInfer and
// ModelStreamInfer, TensorFlow Serving's Predict.
//
// Ownership: owns the methods, so it outlives their calls; borrows the sink. Threads: its I/O thread's.
#pragma once

#include <memory>

#include "maas/front/loop_sink.h"
#include "maas/rpc/server_connection.h"

namespace maas {

class PredictMethods {
 public:
  explicit PredictMethods(LoopSink* sink);
  ~PredictMethods();
  void AddTo(MethodTable* table);

 private:
  struct Methods;
  std::unique_ptr<Methods> methods_;
};

}  // namespace maas
