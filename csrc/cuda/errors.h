// What CUDA says when something fails, in the words of device_api.h.
//
// Threads: any; each has a last failure of its own.
#pragma once

#include <cuda_runtime_api.h>

#include "maas/gpu/device_api.h"

namespace maas::cuda {

MaasDeviceCode CodeOf(cudaError_t error);

// CodeOf(error), where 0 is returned for cudaSuccess. Keeps what failed, for Message(), and takes it from
// CUDA's memory of the thread, where another's next look for failures would find it.
int Result(cudaError_t error, const char* what);

// The words for what Result() was given last that failed; empty: nothing did.
const char* Message();

// Why there are no devices, which is no failure: there is no driver, or it sees none. Else false.
bool MeansNoDevices(cudaError_t error);

}  // namespace maas::cuda
