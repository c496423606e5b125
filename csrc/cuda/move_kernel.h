// The kernel over segments: one block for each tile. For nvcc, and for the compiler at run time.
#pragma once

#include "maas/gpu/tile.h"

namespace maas {

// Threads that a multiprocessor is to hold, and so the registers that each may have: enough of them that
// memory is busy while some wait.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline constexpr int kTilesAtOnce = 4;
#else
inline constexpr int kTilesAtOnce = 5;
#endif

// Blocks: the number of tiles; threads of each: kTileThreads. REQUIRES: as MaasDeviceApi::move; params is not
// null where a segment has scales.
__global__ void __launch_bounds__(kTileThreads, kTilesAtOnce)
    MoveTiles(const MaasSegment* segments, uint32_t count, const void* params, const void* from, void* to) {
  __shared__ MaasSegment segment;
  __shared__ TileWalk walk;

  SegmentSearch search = {0, count};
  while (search.count > 1) {
    search.Narrow(__syncthreads_count(search.Reaches(segments, blockIdx.x, threadIdx.x)));
  }

  // One load by many threads: the whole segment takes as long as a word of it.
  constexpr uint32_t kWords = sizeof(MaasSegment) / sizeof(uint32_t);
  static_assert(kWords <= kTileThreads && sizeof(MaasSegment) % sizeof(uint32_t) == 0);
  if (threadIdx.x < kWords) {
    reinterpret_cast<uint32_t*>(&segment)[threadIdx.x] =
        reinterpret_cast<const uint32_t*>(segments + search.low)[threadIdx.x];
  }
  __syncthreads();
  if (threadIdx.x == 0) walk.Begin(segment, blockIdx.x - segment.tiles_before);
  __syncthreads();

  MoveTile(segment, walk, threadIdx.x, params, from, to);
}

}  // namespace maas
