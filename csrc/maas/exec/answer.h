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
#include "maas/pack/block.h"
#include "maas/wire/predict_encoder.h"

namespace maas {

// One output of a run: `strings` for BYTES, else `data`, dense and of `dims`.
struct RunOutput {
  Dims dims;
  const std::byte* data = nullptr;
  std::vector<std::string_view> strings;
};

// Checks what the runner returned against the spec: rank, fixed dimensions, the rows, and that there is as
// much data as the shape says. INTERNAL names the output.
Status CheckOutputs(const ModelSpec& spec, std::span<const RunOutput> outputs, int64_t rows);

// Reused from batch to batch, so that a small answer allocates nothing; a large one leaves no memory behind.
class Answer {
 public:
  // The answer to `entry`, whose rows are `row` and the following of the run.
  // `outputs` and `entry` must outlive Write().
  // What goes to shared memory is written there at once, and what the protocol wants in a form of its own is
  // made.
  // INVALID_ARGUMENT: the request has scales for another size than an output came out with, or shared memory
  // that is too small or gone. RESOURCE_EXHAUSTED: it would be larger than ReplyTo::max_bytes. There is no
  // answer then.
  Status Plan(const Entry& entry, std::span<const RunOutput> outputs, int64_t row, const Receipt& receipt);
  size_t size() const { return size_; }
  // Writes size() bytes at `out`. REQUIRES: Plan() was ok.
  void Write(std::byte* out);

 private:
  struct Part {
    const OutputSpec* spec = nullptr;
    const RunOutput* source = nullptr;
    const BoundOutput* wanted = nullptr;
    Dims dims;
    bool encoded = false;  // The data is in `bytes`, or lies in shared memory.
    std::string bytes;
    Quantization* chosen = nullptr;  // Whose scales are still to be chosen from the values.
  };
  Status PlanPart(size_t i, const RunOutput& source);
  // Decides the datatype and the quantization that the answer says.
  Status PlanQuantization(size_t i);
  // The data in the form kRaw, before the head is written.
  void Encode(size_t i);
  Status PlaceShared(size_t i);
  void ClassifyRows(size_t i);
  ResponseHead Head() const;
  // Where the rows of the entry are in the run's output.
  Box SourceOf(const Part& part) const;
  void ChooseScales(size_t i);
  void WritePart(size_t i, std::byte* out) const;
  void ReleaseLarge();

  const Entry* entry_ = nullptr;
  Receipt receipt_;
  int64_t row_ = 0;
  size_t size_ = 0;
  std::vector<Part> parts_;
  std::vector<OutputHead> heads_;
  std::deque<Quantization> chosen_;  // Stable addresses: heads_ point into it.
  std::vector<std::byte> dense_;     // For outputs whose rows lie apart, while they are looked at.
};

// Makes room for the answer to a split request, once. INTERNAL: these outputs do not fit those of the slices
// before; RESOURCE_EXHAUSTED: there is no memory.
Status OpenSplit(const Entry& entry, std::span<const RunOutput> outputs,
                 std::vector<SplitAnswer::Output>* answer);

// Copies the slice's rows of every output, which begin at `row` of the run, into the answer. An output
// without a batch axis is taken from the first slice. REQUIRES: OpenSplit() was ok for these outputs.
void WriteSlice(const Entry& entry, const Slice& slice, std::span<const RunOutput> outputs, int64_t row,
                std::span<SplitAnswer::Output> answer);

}  // namespace maas
