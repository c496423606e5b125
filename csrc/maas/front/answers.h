// What the front answers by itself: whether the server lives, is ready, and which models serve. Told from
// outside as a whole, read by each I/O thread for itself.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "maas/rpc/server_connection.h"

namespace maas {

struct ServingState {
  bool ready = false;
  // By the name that grpc.health.v1's Check is asked for: whether it is SERVING. Others are not known.
  std::map<std::string, bool, std::less<>> health;
  // Versions that serve, by model; also under the names of their labels.
  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> models;
};

// The methods of one I/O thread: /grpc.health.v1.Health/Check and GRPCInferenceService's ServerLive,
// ServerReady, ModelReady. What is asked in a form that needs more than a look at the state is handed over.
class AnswerMethods {
 public:
  AnswerMethods();
  ~AnswerMethods();
  void AddTo(MethodTable* table);
  // From the I/O thread.
  void SetState(std::shared_ptr<const ServingState> state);

 private:
  struct Methods;
  std::unique_ptr<Methods> methods_;
};

}  // namespace maas
