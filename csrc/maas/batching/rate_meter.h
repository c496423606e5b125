// How many rows are asked for per second, refused ones included.
//
// Two windows of kWindowNs, the present one and the one before; so it follows a change of load within two.
// Owned by a BatchQueue; the device's mutex guards it. Threads: none of its own. Time is an argument.
#pragma once

#include <cstdint>

namespace maas {

class RateMeter {
 public:
  static constexpr int64_t kWindowNs = 100'000'000;

  void Add(int64_t rows, int64_t now);
  // Rows per nanosecond.
  double Rate(int64_t now) const;

 private:
  int64_t start_ = INT64_MIN / 2;
  int64_t previous_start_ = INT64_MIN / 2;
  int64_t rows_ = 0;
  int64_t previous_rows_ = 0;
};

}  // namespace maas
