// Reads a job from standard input, simulates it and writes the result to standard output; see trace_io.h.
//
//   policy      what it is
//   deadlines   the server's own scheduler
//   fifo        in order of arrival; with a timeout: those that waited longer are dropped
//   edf         earliest deadline first
//   bound       no schedule: RowsAtMost()
//   in_order    no schedule: RowsInOrder()
#include <iomanip>
#include <iostream>
#include <string>

#include "simulation/baselines.h"
#include "simulation/bounds.h"
#include "simulation/core_scheduler.h"
#include "simulation/simulator.h"
#include "simulation/trace_io.h"

int main() {
  using namespace maas::simulation;  // NOLINT(google-build-using-namespace): it is all that this file is
                                     // about.
  std::ios::sync_with_stdio(false);
  Job job;
  if (const std::string problem = ReadJob(std::cin, &job); !problem.empty()) {
    std::cerr << problem << '\n';
    return 2;
  }
  if (job.policy == "deadlines") {
    CoreScheduler scheduler(&job.trace);
    const Result result = Simulate(job.trace, &scheduler);
    WriteResult(result, scheduler.lapses(), std::cout);
  } else if (job.policy == "fifo" || job.policy == "edf") {
    Baseline scheduler(&job.trace, {job.policy == "edf", job.timeout_ns});
    WriteResult(Simulate(job.trace, &scheduler), 0, std::cout);
  } else if (job.policy == "bound") {
    std::cout << "rows " << std::setprecision(15) << RowsAtMost(job.trace) << '\n';
  } else if (job.policy == "in_order") {
    std::cout << "rows " << RowsInOrder(job.trace, job.width) << '\n';
  } else {
    std::cerr << "no such policy: " << job.policy << '\n';
    return 2;
  }
  std::cout.flush();
  return std::cout ? 0 : 1;
}
