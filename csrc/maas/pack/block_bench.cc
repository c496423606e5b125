// CopyBox against memcpy of the bytes that it writes, in alternating rounds: what a plan costs on tiny
// requests, and what is left of the bandwidth on large ones.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "maas/pack/block.h"
#include "maas/quant/quantize.h"

namespace maas {
namespace {

constexpr int kRounds = 21;
constexpr size_t kBytesPerRound = size_t{32} << 20;
constexpr size_t kMostCallsPerRound = 100'000;

struct Case {
  const char* name;
  Box src_box;
  Box dst_box;
  Dims extent;
  DataType from;
  DataType to;
  int axis;
};

// CPU time, which goes on only while this process runs.
template <typename F>
double NanosecondsPerCall(size_t calls, F call) {
  const std::clock_t start = std::clock();
  for (size_t i = 0; i < calls; ++i) call();
  return static_cast<double>(std::clock() - start) * (1e9 / CLOCKS_PER_SEC) / static_cast<double>(calls);
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void Compare(const Case& c) {
  const size_t written = static_cast<size_t>(ElementCount(c.extent)) * ElementSize(c.to);
  std::vector<std::byte> src(static_cast<size_t>(ElementCount(c.src_box.dims)) * ElementSize(c.from),
                             std::byte{7});
  std::vector<std::byte> dst(static_cast<size_t>(ElementCount(c.dst_box.dims)) * ElementSize(c.to));
  std::vector<std::byte> copied_from(written, std::byte{1});
  const size_t params = c.axis < 0 ? 1 : static_cast<size_t>(c.src_box.dims[c.axis]);
  const std::vector<float> scales(params, 0.25f);
  const std::vector<int32_t> zero_points(params, 3);
  const Conversion conversion = {c.from, c.to, scales, zero_points, c.axis};

  const size_t calls = std::clamp<size_t>(kBytesPerRound / written, 1, kMostCallsPerRound);
  std::vector<double> copy_ns;
  std::vector<double> pack_ns;
  std::vector<double> ratios;
  for (int round = 0; round < kRounds; ++round) {
    copy_ns.push_back(NanosecondsPerCall(calls, [&] {
      std::memcpy(dst.data(), copied_from.data(), written);
      // Makes the compiler believe that the copy is looked at.
      asm volatile("" : : "r"(dst.data()) : "memory");
    }));
    pack_ns.push_back(NanosecondsPerCall(
        calls, [&] { CopyBox(src.data(), c.src_box, dst.data(), c.dst_box, c.extent, conversion); }));
    ratios.push_back(copy_ns.back() / pack_ns.back());
  }
  std::printf("%-36s %9zu bytes  memcpy %10.0f ns  CopyBox %10.0f ns  %6.1f GB/s  ratio %.2f\n", c.name,
              written, Median(copy_ns), Median(pack_ns), static_cast<double>(written) / Median(pack_ns),
              Median(ratios));
}

}  // namespace
}  // namespace maas

int main() {
  using maas::DataType;
  using Shape = maas::Dims;
  const Shape images = {7, 3, 224, 224};
  const Shape pixels = {7, 224, 224, 3};
  const Shape none = {0, 0, 0, 0};
  std::printf("instruction set: %s\n", Name(maas::DetectIsa()));
  for (const maas::Case& c : {
           maas::Case{"16 floats, dense",
                      {{1, 16}, {0, 0}},
                      {{32, 16}, {7, 0}},
                      {1, 16},
                      DataType::kFp32,
                      DataType::kFp32,
                      -1},
           maas::Case{"16 bytes to floats, dense",
                      {{1, 16}, {0, 0}},
                      {{32, 16}, {7, 0}},
                      {1, 16},
                      DataType::kInt8,
                      DataType::kFp32,
                      -1},
           maas::Case{"state, batch axis second",
                      {{2, 1, 128}, {0, 0, 0}},
                      {{2, 32, 128}, {0, 5, 0}},
                      {2, 1, 128},
                      DataType::kFp32,
                      DataType::kFp32,
                      -1},
           maas::Case{"tokens, padded rows",
                      {{8, 100}, {0, 0}},
                      {{8, 128}, {0, 0}},
                      {8, 100},
                      DataType::kInt64,
                      DataType::kInt64,
                      -1},
           maas::Case{"images, per tensor",
                      {images, none},
                      {images, none},
                      images,
                      DataType::kInt8,
                      DataType::kFp32,
                      -1},
           maas::Case{"images, channels first, per channel",
                      {images, none},
                      {images, none},
                      images,
                      DataType::kInt8,
                      DataType::kFp32,
                      1},
           maas::Case{"images, channels last, per channel",
                      {pixels, none},
                      {pixels, none},
                      pixels,
                      DataType::kInt8,
                      DataType::kFp32,
                      3},
       }) {
    maas::Compare(c);
  }
  return 0;
}
