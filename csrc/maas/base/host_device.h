// What functions need that the compiler of the CPU and that of a GPU share.
//
// Read by nvcc, and by the run-time compiler, which knows no standard library: such headers include nothing
// of it but <stdint.h> where __CUDACC_RTC__ is defined.
#pragma once

#include <stdint.h>

#ifndef __CUDACC_RTC__
#include <bit>
#endif

#ifdef __CUDACC__
#define MAAS_HD __host__ __device__
#else
#define MAAS_HD
#endif

namespace maas {

MAAS_HD inline uint32_t BitsOf(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  return std::bit_cast<uint32_t>(x);
#endif
}

MAAS_HD inline float FloatOf(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

// One IEEE operation each, rounded to nearest: whatever a compiler for a GPU was told of joining or
// approximating them.
MAAS_HD inline float RoundedSum(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

MAAS_HD inline float RoundedProduct(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

MAAS_HD inline float RoundedQuotient(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

}  // namespace maas
