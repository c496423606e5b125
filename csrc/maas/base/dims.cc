#include "maas/base/dims.h"

namespace maas {

Dims Zeros(int rank) {
  Dims zeros;
  for (int i = 0; i < rank; ++i) zeros.push_back(0);
  return zeros;
}

int64_t ElementCount(std::span<const int64_t> dims) {
  // A zero anywhere makes the product zero, so negatives are looked for first, over all of them.
  for (int64_t d : dims) {
    if (d < 0) return -1;
  }
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;
  int64_t n = 1;
  for (int64_t d : dims) {
    if (d > kMaxElements / n) return -1;
    n *= d;
  }
  return n;
}

Dims Reshaped(std::span<const int64_t> from, const Dims& sizes, std::span<const int64_t> to) {
  Dims out(to);
  int axis = 0;
  for (int i = 0; i < out.rank(); ++i) {
    if (out[i] >= 0) continue;
    while (from[static_cast<size_t>(axis)] >= 0) ++axis;
    out[i] = sizes[axis++];
  }
  return out;
}

std::string ToString(std::span<const int64_t> dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(dims[i]);
  }
  return out += ']';
}

}  // namespace maas
