#include "cuda/move.h"
#include "cuda/move_kernel.h"

namespace maas::cuda {

cudaError_t LaunchMove(cudaStream_t stream, const MaasSegment* segments, uint32_t count, uint32_t tiles,
                       const void* params, const void* from, void* to) {
  void* arguments[] = {&segments, &count, &params, &from, &to};
  // Unlike <<<>>>, returns the failure of this launch and of no other.
  return cudaLaunchKernel(reinterpret_cast<const void*>(&MoveTiles), dim3(tiles), dim3(kTileThreads),
                          arguments, 0, stream);
}

}  // namespace maas::cuda
