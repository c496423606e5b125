// What every fuzzer of a decoder requires of what it decoded and bound.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"

namespace maas {

// As assert() does, but in every build: the fuzzer reports what stops the program.
inline void Require(bool condition) {
  if (!condition) std::abort();
}

inline void RequireRefusal(const Status& status) {
  Require(status.code() == Code::kInvalidArgument && status.violations().size() == 1);
}

// Data is as long as its shape says.
inline void RequireSizes(const BoundRequest& bound) {
  for (const BoundInput& input : bound.inputs) {
    const int64_t count = ElementCount(input.dims);
    Require(count >= 0);
    if (!input.absent && input.wire_type != DataType::kBytes) {
      Require(input.data.size() == static_cast<uint64_t>(count) * ElementSize(input.wire_type));
    }
  }
}

// A model under the names that the golden messages use, so that the fuzzer gets past the first check.
inline ModelSpec GoldenSpec() {
  return MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})},
                  {MakeOutput("logits", DataType::kFp32, {-1, 4})});
}

}  // namespace maas
