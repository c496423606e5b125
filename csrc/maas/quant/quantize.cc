#include "maas/quant/quantize.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "maas/quant/kernels.h"

namespace maas {
namespace {

#if defined(__x86_64__) || defined(__i386__)
// Not among the names that every compiler's __builtin_cpu_supports knows. Needs no more of the operating
// system than AVX does, which the builtin does ask.
bool CpuHasF16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

Isa BestOfCpu() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !CpuHasF16c()) return Isa::kPortable;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return avx512 ? Isa::kAvx512 : Isa::kAvx2;
}
#else
Isa BestOfCpu() { return Isa::kPortable; }
#endif

const KernelTable* Table(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return PortableKernels();
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
  }
  return nullptr;
}

Isa BestOfCpuAndBuild() {
  const Isa cpu = BestOfCpu();
  if (cpu == Isa::kAvx512 && Avx512Kernels() != nullptr) return Isa::kAvx512;
  if (cpu != Isa::kPortable && Avx2Kernels() != nullptr) return Isa::kAvx2;
  return Isa::kPortable;
}

size_t QuantizedRow(DataType type) { return type == DataType::kInt8 ? 0 : 1; }

size_t FloatingColumn(DataType type) {
  if (type == DataType::kFp32) return 0;
  return type == DataType::kFp16 ? 1 : 2;
}

}  // namespace

Isa DetectIsa() {
  static const Isa isa = BestOfCpuAndBuild();
  return isa;
}

const char* Name(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

DequantizeFn GetDequantize(DataType from, DataType to, Isa isa) {
  const KernelTable* table = Table(isa);
  if (table == nullptr || !IsQuantized(from) || !IsFloating(to)) return nullptr;
  return table->dequantize[QuantizedRow(from)][FloatingColumn(to)];
}

QuantizeFn GetQuantize(DataType from, DataType to, Isa isa) {
  const KernelTable* table = Table(isa);
  if (table == nullptr || !IsFloating(from) || !IsQuantized(to)) return nullptr;
  return table->quantize[QuantizedRow(to)][FloatingColumn(from)];
}

AbsMaxFn GetAbsMax(DataType type, Isa isa) {
  const KernelTable* table = Table(isa);
  if (table == nullptr || !IsFloating(type)) return nullptr;
  return table->abs_max[FloatingColumn(type)];
}

}  // namespace maas
