// The table of a library without Python, for whoever loads it by name: scripts/build_cuda.sh.
#include <cuda_runtime_api.h>

#include "cuda/table.h"

#define MAAS_EXPORTED extern "C" __attribute__((visibility("default")))

MAAS_EXPORTED const MaasDeviceApi* maas_cuda_table() { return maas::cuda::Table(); }

// As CUDA counts them: 13020 is 13.2. 0: it could not be told, or there is no driver.
MAAS_EXPORTED int maas_cuda_driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

MAAS_EXPORTED int maas_cuda_runtime_version() {
  int version = 0;
  return cudaRuntimeGetVersion(&version) == cudaSuccess ? version : 0;
}
