// The core as a front sees it: Submit() takes a request's bytes, a sink gets the answer.
//
// Usage:
//   Engine engine(Engine::Options{}, SteadyClock::Get());
//   engine.routes().Set("m", route);
//   Status s = engine.Submit(bytes, received, reply, &entry);   // ok: reply.sink gets exactly one Completion
//   engine.Cancel(entry);                                       // the caller went away
//
// Ownership: borrows the bytes of accepted requests until their completion; shares the entries.
// Threads: every method may be called from any thread, and none blocks. Submit() moves no payload but what a
// client has in shared memory, or sent in a form that must be converted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/base/status.h"
#include "maas/exec/completion.h"
#include "maas/exec/entry.h"
#include "maas/exec/version.h"
#include "maas/serving/routes.h"
#include "maas/serving/shared_memory.h"
#include "maas/serving/tenants.h"

namespace maas {

class Engine {
 public:
  struct Options {
    // How often requests whose deadline passed in a queue are looked for. Instances also drop those they
    // meet. 0: never; tests call Sweep().
    int64_t sweep_interval_ns = 20'000'000;
  };

  // `clock` is not owned and outlives this.
  Engine(Options options, const Clock* clock);
  // REQUIRES: no call under way. Requests still queued are not completed: drain the versions first.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Decodes with reply.codec, resolves, checks and queues one request. Ok: accepted, *entry may be given to
  // Cancel(), and the sink gets exactly one Completion, maybe before this returns. Otherwise *entry is null,
  // nothing was kept and the sink is not told. REQUIRES: *entry is null. `deadline_ns`: the caller's, on the
  // engine's clock; kNever if there is none.
  // `tenant`: who asks; empty: nobody said.
  Status Submit(std::span<const std::byte> request, int64_t deadline_ns, const ReplyTo& reply,
                std::string_view tenant, std::shared_ptr<Entry>* entry);

  // A request that has not begun to run leaves its queue and completes with CANCELLED at once; others
  // complete as they would have. Runs that nobody waits for any more are added to *interrupts, each once:
  // whoever can should end them.
  void Cancel(const std::shared_ptr<Entry>& entry, std::vector<Interrupt>* interrupts);

  // Completes what expired by `now`.
  void Sweep(int64_t now);

  // Who may ask for how much; nobody is limited unless somebody says so.
  Tenants& tenants() { return *tenants_; }
  Routes& routes() { return routes_; }
  // What clients registered; empty unless somebody fills it.
  SharedMemory& shared_memory() { return shared_memory_; }

 private:
  // Takes the entry's rows into the tenant's books, until the entry goes.
  Status Admit(std::string_view tenant, Entry* entry);
  Status Decode(std::span<const std::byte> request, const Codec& codec, PredictRequestView* view);
  void SweepLoop();

  const Options options_;
  const Clock* const clock_;
  const std::shared_ptr<Tenants> tenants_;  // Entries share it.
  Routes routes_;
  SharedMemory shared_memory_;

  Mutex mu_;
  CondVar wake_;
  bool stopping_ MAAS_GUARDED_BY(mu_) = false;
  std::thread sweeper_;  // Last: it uses the rest.
};

// Takes no more requests for the version; its instances answer the rest and then see Next() return false.
void CloseVersion(Version* version);
// Completes with `status` whatever still waits.
void AbortVersion(Version* version, const Status& status);

}  // namespace maas
