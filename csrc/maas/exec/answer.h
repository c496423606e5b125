// Turns the outputs of a run into the encoded answers of its requests.
//
// In two phases: Plan() works out shapes and sizes without touching a tensor; Write() fills memory that the
// sink provided, straight from the run's outputs: scattered, un-padded, quantized where asked for.
// Threads: each Answer belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maas/base/dims.h"
#include "maas/base/status.h"
#include "maas/exec/entry.h"
#include "maas/wire/predict_encoder.h"

namespace maas {

// One output of a run: `strings` for BYTES, else `data`, dense and of `dims`.
struct RunOutput {
  Dims dims;
  const std::byte* data = nullptr;
  std::vector<std::string_view> strings;
};

// Checks what the runner returned against the spec: rank, fixed dimensions, the rows. INTERNAL names the output.
Status CheckOutputs(const ModelSpec& spec, std::span<const RunOutput> outputs, int64_t rows);

// Reused from batch to batch, so that a small answer allocates nothing.
class Answer {
 public:
  // The answer to `entry`, whose rows are `row` and the following of the run.
  // `outputs` and `entry` must outlive Write().
  void Plan(const Entry& entry, std::span<const RunOutput> outputs, int64_t row, const Receipt& receipt);
  size_t size() const { return size_; }
  // Writes size() bytes at `out`.
  void Write(std::byte* out);

 private:
  struct Part {
    const OutputSpec* spec = nullptr;
    const RunOutput* source = nullptr;
    const OutputQuantization* quantize = nullptr;
    Dims dims;
    std::string strings;  // BYTES, encoded.
  };
  ResponseHead Head() const;

  const Entry* entry_ = nullptr;
  Receipt receipt_;
  int64_t row_ = 0;
  size_t size_ = 0;
  std::vector<Part> parts_;
  std::vector<OutputHead> heads_;
  std::deque<Quantization> chosen_;  // Stable addresses: heads_ point into it.
};

// Adds the slice's part of every output to the split request's answer; allocates it with the first.
// FAILED: the slices' outputs do not fit together.
Status AddSlice(const Entry& entry, const Slice& slice, std::span<const RunOutput> outputs, int64_t row,
                SplitAnswer* split) MAAS_REQUIRES(split->mu);

}  // namespace maas
