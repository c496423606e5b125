// One thread of the front: a loop, its connections, and the sink and methods that they share.
//
// Ownership: owns them; borrows options, engine and budget. Threads: as each part says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/status.h"
#include "maas/exec/entry.h"
#include "maas/front/answers.h"
#include "maas/front/connection.h"
#include "maas/front/front_server.h"
#include "maas/front/loop_sink.h"
#include "maas/front/pacing.h"
#include "maas/front/predict_methods.h"
#include "maas/front/tally.h"
#include "maas/net/event_loop.h"
#include "maas/net/memory_budget.h"
#include "maas/net/socket.h"
#include "maas/rpc/server_connection.h"
#include "maas/serving/engine.h"

namespace maas {

class IoThread {
 public:
  struct Options {
    const FrontOptions* front = nullptr;
    const Clock* clock = nullptr;
    Engine* engine = nullptr;
    MemoryBudget* budget = nullptr;
    int number = 0;
    // From the thread: as LoopSink has it; that no connection is left after Shutdown(); and then, that the
    // core has let go of all calls.
    LoopSink::Interrupted interrupted;
    std::function<void()> drained;
    std::function<void()> idle;
  };
  // RESOURCE_EXHAUSTED: no descriptors, or no memory.
  static Status Make(Options options, std::unique_ptr<IoThread>* out);
  // Cuts connections, and waits until the core has let go of their calls. REQUIRES: what others posted here
  // is over, or harmless.
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // Begins to run.
  void Start();

  // From any thread.
  EventLoop& loop() { return *loop_; }
  FrontTally& tally() { return tally_; }
  uint64_t refused() const { return sink_->refused(); }
  void SetState(std::shared_ptr<const ServingState> state);
  void SetTls(std::shared_ptr<const TlsContext> tls);
  void Refuse();

  // From the thread; also before Start().
  // A new connection, which tally().open counts already.
  void Take(FileDescriptor socket, std::string address);
  void Shutdown(int64_t grace_ns);

 private:
  explicit IoThread(Options options, std::unique_ptr<EventLoop> loop);
  int64_t Age();
  void OnOver(Connection* connection, EndReason why);
  void CheckDrained();
  void AfterRound();

  const Options options_;
  const std::unique_ptr<EventLoop> loop_;
  FrontTally tally_;

  // Of the thread.
  std::vector<std::byte> scratch_;
  std::unique_ptr<LoopSink> sink_;
  std::unique_ptr<PredictMethods> predict_;
  AnswerMethods answers_;
  MethodTable methods_;
  ConnectionContext context_;
  std::shared_ptr<const TlsContext> tls_;
  std::minstd_rand random_;
  int64_t shutdown_at_ = kNever;  // When the grace ends; kNever: it serves.
  bool drained_ = false;
  bool idle_ = false;
  bool ending_ = false;
  Pacing pacing_{loop_.get()};
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;

  std::thread thread_;  // Last: it uses the rest.
};

}  // namespace maas
