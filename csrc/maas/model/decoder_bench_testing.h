// Measurements that the benchmarks of all decoders share.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "maas/model/bind.h"
#include "maas/wire/codec.h"

namespace maas {

inline constexpr int kBenchCalls = 2000;

// Exists so that a failure stops the measurement instead of becoming a fast result.
inline void Require(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

// The median of several rounds, in nanoseconds per call.
template <typename Fn>
double Measure(const Fn& fn, int calls = kBenchCalls) {
  std::array<double, 15> rounds;
  for (double& round : rounds) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) fn();
    round =
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / calls;
  }
  std::nth_element(rounds.begin(), rounds.begin() + rounds.size() / 2, rounds.end());
  return rounds[rounds.size() / 2];
}

inline double MeasureDecodeAndBind(const Codec& codec, const ModelSpec& spec,
                                   std::span<const std::byte> message, int calls = kBenchCalls) {
  PredictRequestView view;
  BoundRequest bound;
  return Measure(
      [&] {
        Require(codec.decode(message, &view));
        Require(BindRequest(spec, &view, &bound));
      },
      calls);
}

}  // namespace maas
