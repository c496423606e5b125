// The scheduler of the server itself, BatchQueue and Device, on a clock that stands still between events.
// Made by simulate.cc; called by the event loop of simulator.h, on its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "maas/base/clock.h"
#include "maas/batching/batch_queue.h"
#include "maas/batching/device.h"
#include "simulation/simulator.h"

namespace maas::simulation {

class CoreScheduler final : public Scheduler {
 public:
  // What waits is looked through for the expired as often as the server does it.
  static constexpr int64_t kSweepNs = 20'000'000;

  // `trace` is not owned and outlives this.
  explicit CoreScheduler(const Trace* trace);
  ~CoreScheduler() override;

  Outcome Arrive(size_t request, int64_t now, int64_t* predicted_ns) override;
  bool Start(int64_t now, Batch* batch, std::vector<Drop>* drops) override;
  void End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t now, std::vector<size_t>* whole) override;
  int64_t LookAt() const override;

  // How often predictions ceased to be acted upon, over all models.
  uint64_t lapses();

 private:
  struct Item;
  struct Running {
    std::vector<Slice> slices;
    RunTicket ticket;
  };
  struct Queue {
    std::unique_ptr<BatchQueue> queue;
    std::unordered_map<uint64_t, Running> running;
    int64_t look_ns = kNever;
    int64_t waiting = 0;  // Requests.
  };

  void AdvanceTo(int64_t now);
  // Tells of the dead, who are answered.
  void Bury(Queue* queue, const std::vector<std::shared_ptr<QueueItem>>& dead, std::vector<Drop>* drops);
  void Sweep(int64_t now, std::vector<Drop>* drops);

  const Trace* const trace_;
  FakeClock clock_;
  std::shared_ptr<Device> device_;
  std::vector<Queue> queues_;  // By model.
  int64_t computed_ns_ = 0;    // By all runs that are over.
  int64_t swept_ns_ = 0;
  uint64_t next_run_ = 0;
};

}  // namespace maas::simulation
