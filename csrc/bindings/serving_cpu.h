// CPU time of the threads that serve: the process's, without that of threads which have set themselves apart.
//
// Threads of the lowest priority take only what is left over. Were their CPU time counted, a server that
// loads a model would look as if it had no CPU to spare. Threads: any. Lock-free.
#pragma once

#include <cstdint>

namespace maas::bindings {

// The calling thread's CPU time counts no more, from its first to its last. A second call has no effect, nor
// has one by the seventeenth thread at a time.
void LeaveServingCpu();

// Unit: nanoseconds.
int64_t ServingCpuNs();

}  // namespace maas::bindings
