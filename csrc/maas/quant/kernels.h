// What each instruction set's file hands to the chooser in quantize.cc: its kernels, by datatype.
//
// Each file is compiled with flags of its own, so what it shares with the rest of the program must be this
// header alone, and its own functions must have internal linkage: of an inline function or template that two
// files define the linker keeps one copy, which may use instructions that the CPU lacks.
#pragma once

#include "maas/quant/quantize.h"

namespace maas {

// Rows: kInt8, kUint8. Columns: kFp32, kFp16, kBf16. No entry is null.
struct KernelTable {
  DequantizeFn dequantize[2][3];
  QuantizeFn quantize[2][3];
  AbsMaxFn abs_max[3];
};

const KernelTable* PortableKernels();
// Null where the file was compiled for another architecture or without its flags.
const KernelTable* Avx2Kernels();    // -mavx2 -mf16c
const KernelTable* Avx512Kernels();  // -mavx512f -mavx512bw -mavx512vl -mavx512dq -mf16c

// Dequantized output of at least this many bytes bypasses the caches. Measured on two server CPUs: ordinary
// stores write up to 2.5 times as fast while the output fits the last-level cache, and leave it there for the
// model; past it, streaming stores write 1.2 to 1.8 times as fast.
inline constexpr size_t kStreamBytes = size_t{32} << 20;

}  // namespace maas
