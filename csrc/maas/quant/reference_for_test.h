// The arithmetic of quantize.h once more for tests: one value at a time, by definition and in double
// precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "maas/base/datatype.h"

namespace maas::reference {

struct FloatFormat {
  int precision;      // Significant bits, the leading one included.
  int min_exponent;   // Of the smallest normal number.
  int max_exponent;   // Of the largest finite number.
  int exponent_bits;  // Bits of the exponent's field.
};

inline FloatFormat FormatOf(DataType type) {
  if (type == DataType::kFp16) return {11, -14, 15, 5};
  if (type == DataType::kBf16) return {8, -126, 127, 8};
  return {24, -126, 127, 8};
}

// The bits of an element of `type`, as a number.
inline double Decode(DataType type, uint32_t bits) {
  const FloatFormat format = FormatOf(type);
  const int fraction_bits = format.precision - 1;
  const uint32_t fraction = bits & ((1u << fraction_bits) - 1u);
  const int exponent = static_cast<int>((bits >> fraction_bits) & ((1u << format.exponent_bits) - 1u));
  const bool negative = ((bits >> (fraction_bits + format.exponent_bits)) & 1u) != 0;
  double x;
  if (exponent == (1 << format.exponent_bits) - 1) {
    x = fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    x = std::ldexp(static_cast<double>(fraction), format.min_exponent - fraction_bits);
  } else {
    x = std::ldexp(static_cast<double>(fraction + (1u << fraction_bits)),
                   exponent - 1 + format.min_exponent - fraction_bits);
  }
  return negative ? -x : x;
}

// The number of `type` nearest to `x`, the even one of two.
inline double RoundTo(DataType type, double x) {
  if (std::isnan(x) || std::isinf(x) || x == 0) return x;
  const FloatFormat format = FormatOf(type);
  const int exponent = std::max(std::ilogb(x), format.min_exponent);
  const int unit = exponent - format.precision + 1;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
  if (std::fabs(rounded) >= std::ldexp(1.0, format.max_exponent + 1)) {
    return std::copysign(std::numeric_limits<double>::infinity(), x);
  }
  return rounded;
}

inline uint32_t LoadBits(const std::byte* p, size_t size) {
  uint32_t bits = 0;
  std::memcpy(&bits, p, size);
  return bits;
}

// The element at `p`, floating or quantized, as a number.
inline double Load(DataType type, const std::byte* p) {
  if (type == DataType::kInt8) return static_cast<int8_t>(*p);
  if (type == DataType::kUint8) return static_cast<uint8_t>(*p);
  return Decode(type, LoadBits(p, ElementSize(type)));
}

// What dequantizing `q` to `to` gives, as a number.
inline double Dequantize(int q, float scale, int zero_point, DataType to) {
  // The product of a 24-bit scale and a 9-bit difference is exact in double precision.
  const double product = static_cast<double>(q - zero_point) * static_cast<double>(scale);
  return RoundTo(to, RoundTo(DataType::kFp32, product));
}

// What quantizing `x`, a finite or other FP32 number, to `to` gives.
inline int Quantize(double x, float scale, int zero_point, DataType to) {
  const double low = to == DataType::kInt8 ? -128 : 0;
  const double high = to == DataType::kInt8 ? 127 : 255;
  // Dividing in double precision before rounding to FP32 equals dividing in FP32: 53 >= 2 * 24 + 2 bits.
  const double quotient = RoundTo(DataType::kFp32, x / static_cast<double>(scale));
  if (std::isnan(quotient)) return zero_point;
  return static_cast<int>(std::clamp(std::nearbyint(quotient) + zero_point, low, high));
}

inline bool SameNumber(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

}  // namespace maas::reference
