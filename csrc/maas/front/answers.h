// What the front answers by itself: whether the server lives, is ready, and whether a model serves. The first
// two are told from outside as a whole and read by each I/O thread for itself; models are as ready as calls
// of them would find them.
//
// Ownership: owns the methods, so it outlives their calls. Threads: its I/O thread's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "maas/rpc/server_connection.h"
#include "maas/serving/routes.h"

namespace maas {

struct ServingState {
  bool ready = false;
  // By the name that grpc.health.v1's Check is asked for: whether it is SERVING. Others are not known.
  std::map<std::string, bool, std::less<>> health;
};

// The methods of one I/O thread: /grpc.health.v1.Health/Check and GRPCInferenceService's ServerLive,
// ServerReady, ModelReady. What needs more than a look at the state or the routes is handed over.
class AnswerMethods {
 public:
  // `routes` outlives this. Null: every ModelReady is handed over.
  explicit AnswerMethods(const Routes* routes = nullptr);
  ~AnswerMethods();
  void AddTo(MethodTable* table);
  void SetState(std::shared_ptr<const ServingState> state);

 private:
  struct Methods;
  std::unique_ptr<Methods> methods_;
};

}  // namespace maas
