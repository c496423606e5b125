// Dequantization against memcpy of the bytes that it writes, in alternating rounds.
//
// Prints, per instruction set and size, the median over the rounds of (bandwidth of writing dequantized FP32)
// / (bandwidth of memcpy), so that the noise of a shared machine meets both sides of each ratio.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "maas/quant/quantize.h"

namespace maas {
namespace {

constexpr int kRounds = 41;
constexpr size_t kBytesPerRound = size_t{64} << 20;

// CPU time, which goes on only while this process runs.
template <typename F>
double SecondsFor(size_t calls, F call) {
  const std::clock_t start = std::clock();
  for (size_t i = 0; i < calls; ++i) call();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void Compare(Isa isa, size_t n, DataType to) {
  const DequantizeFn dequantize = GetDequantize(DataType::kInt8, to, isa);
  const size_t bytes = n * ElementSize(to);
  std::vector<std::byte> quantized(n, std::byte{7});
  std::vector<std::byte> from(bytes, std::byte{1});
  std::vector<std::byte> into(bytes);
  const float scale = 0.25f;
  const int32_t zero_point = 3;
  const QuantParams params{&scale, &zero_point, false};

  const size_t calls = std::max<size_t>(1, kBytesPerRound / bytes);
  std::vector<double> ratios;
  std::vector<double> copied;
  std::vector<double> dequantized;
  for (int round = 0; round < kRounds; ++round) {
    const double copy_s = SecondsFor(calls, [&] {
      std::memcpy(into.data(), from.data(), bytes);
      // Makes the compiler believe that the copy is looked at.
      asm volatile("" : : "r"(into.data()) : "memory");
    });
    const double dequantize_s =
        SecondsFor(calls, [&] { dequantize(quantized.data(), into.data(), n, params); });
    const double gigabytes = static_cast<double>(calls * bytes) * 1e-9;
    ratios.push_back(copy_s / dequantize_s);
    copied.push_back(gigabytes / copy_s);
    dequantized.push_back(gigabytes / dequantize_s);
  }
  const std::string_view type = Name(to);
  std::printf("%-9s INT8 -> %-5.*s %8zu KiB written  memcpy %6.1f GB/s  dequantize %6.1f GB/s  ratio %.2f\n",
              Name(isa), static_cast<int>(type.size()), type.data(), bytes / 1024, Median(copied),
              Median(dequantized), Median(ratios));
}

}  // namespace
}  // namespace maas

int main() {
  for (int i = 0; i <= static_cast<int>(maas::DetectIsa()); ++i) {
    const auto isa = static_cast<maas::Isa>(i);
    if (maas::GetDequantize(maas::DataType::kInt8, maas::DataType::kFp32, isa) == nullptr) continue;
    for (const size_t kib : {16u, 256u, 1024u, 2048u, 4096u, 16384u}) {
      maas::Compare(isa, kib * 1024, maas::DataType::kFp32);
    }
    maas::Compare(isa, size_t{1} << 20, maas::DataType::kFp16);
    maas::Compare(isa, size_t{1} << 20, maas::DataType::kBf16);
  }
  return 0;
}
