// The event loop: a virtual clock, arrivals from a trace, runs that take as long as the trace says, and a
// scheduler that decides. Callers wait for their answers until the deadline and never come again.
//
// Ownership: borrows trace and scheduler during the call.
// Threads: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simulation/trace.h"

namespace maas::simulation {

// What became of a request. kNone: nothing, which is an error of the scheduler's.
enum class Outcome : uint8_t {
  kNone,
  kAnswered,     // In time or late.
  kRefusedLate,  // At once: it would have been late.
  kRefusedFull,  // At once: the queue is full.
  kHopeless,     // Dropped unrun before its deadline, because that could no longer be met.
  kExpired,      // Dropped unrun after its deadline.
  kTimedOut,     // Dropped unrun, having waited as long as a queue policy allows.
};

// `rows` rows of a request in a batch.
struct Part {
  size_t request = 0;
  int64_t rows = 0;
};

struct Batch {
  size_t model = 0;
  int64_t rows = 0;
  std::vector<Part> parts;
  uint64_t run = 0;  // The scheduler's own name of it.
};

struct Drop {
  size_t request = 0;
  Outcome why = Outcome::kNone;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // A request arrives. kNone: it waits; else it was refused. *predicted_ns: when it will be answered as far
  // as the scheduler can tell; left alone if it makes no predictions.
  virtual Outcome Arrive(size_t request, int64_t now, int64_t* predicted_ns) = 0;
  // Takes at most one batch that starts now; false: none does. *drops is appended to.
  virtual bool Start(int64_t now, Batch* batch, std::vector<Drop>* drops) = 0;
  // The batch's run is over and took `ns`, of which each of its threads computed for `cpu_ns`. *whole is
  // appended the requests that have no part missing now.
  virtual void End(const Batch& batch, int64_t ns, int64_t cpu_ns, int64_t now,
                   std::vector<size_t>* whole) = 0;
  // When to ask for a batch again though nothing arrives or ends; kNever: then not.
  virtual int64_t LookAt() const = 0;
};

// Of one request. Times are -1 where there is none.
struct Answer {
  Outcome outcome = Outcome::kNone;
  int64_t start_ns = -1;   // Of the first run with a part of it.
  int64_t end_ns = -1;     // When it was answered, refused or dropped.
  int64_t batch_rows = 0;  // Of the last run with a part of it.
  int64_t predicted_ns = -1;
  double work_ns = 0;  // Its share of its runs, by rows.
};

struct Result {
  std::vector<Answer> answers;  // As the trace's requests.
  int64_t runs = 0;
};

// Until every request has its outcome, or the scheduler does nothing more.
Result Simulate(const Trace& trace, Scheduler* scheduler);

}  // namespace maas::simulation
