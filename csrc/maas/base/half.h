// The 16-bit floating datatypes, one number at a time.
#pragma once

#include <bit>
#include <cstdint>

namespace maas {

inline float Fp16ToFloat(uint16_t half) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  if (half % 0x8000u >= 0x7c00u) return std::bit_cast<float>(sign | kInfinity | magnitude);
  // Scaling by 2^112 corrects the exponent's bias, and is exact for subnormal halves too.
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f));
}

inline float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

}  // namespace maas
