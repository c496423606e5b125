"""The kernel, compiled for the CPU: what `move` of a table over ordinary memory does."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from tests.compilers import cxx_compiler
from tests.devices.callback_table import Move

ROOT = Path(__file__).resolve().parents[2]
_SOURCE = """
#include "maas/gpu/tile.h"

namespace {

// What csrc/cuda/move_kernel.h does, one thread of a block after the other.
void MoveBlock(const MaasSegment* segments, uint32_t count, uint32_t tile, const void* params, const void* from,
               void* to) {
  maas::SegmentSearch search = {0, count};
  while (search.count > 1) {
    uint32_t reaching = 0;
    for (uint32_t thread = 0; thread < maas::kTileThreads; ++thread) {
      reaching += search.Reaches(segments, tile, thread);
    }
    search.Narrow(reaching);
  }
  const MaasSegment& segment = segments[search.low];
  maas::TileWalk walk;
  walk.Begin(segment, tile - segment.tiles_before);
  for (uint32_t thread = 0; thread < maas::kTileThreads; ++thread) {
    maas::MoveTile(segment, walk, thread, params, from, to);
  }
}

}  // namespace

extern "C" void move(const MaasSegment* segments, uint32_t count, uint32_t tiles, const void* params,
                     const void* from, void* to) {
  for (uint32_t tile = 0; tile < tiles; ++tile) MoveBlock(segments, count, tile, params, from, to);
}
"""


def compile_move(folder: Path) -> Move:
    """Compile it in a folder; without a compiler the test is skipped."""
    compiler = cxx_compiler()
    source, library = folder / "move.cc", folder / "libmove.so"
    source.write_text(_SOURCE)
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", f"-I{ROOT / 'csrc'}"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).move
    address, number = ctypes.c_void_p, ctypes.c_uint32
    function.argtypes, function.restype = (address, number, number, address, address, address), None
    move: Move = function
    return move
