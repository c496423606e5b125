// What the kernel over segments is begun with: what nvcc compiles, as the host's compiler sees it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "maas/gpu/segment.h"

namespace maas::cuda {

// MaasDeviceApi::move, on the current device. REQUIRES: count > 0, tiles > 0.
cudaError_t LaunchMove(cudaStream_t stream, const MaasSegment* segments, uint32_t count, uint32_t tiles,
                       const void* params, const void* from, void* to);

}  // namespace maas::cuda
