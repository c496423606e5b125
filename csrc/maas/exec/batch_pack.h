// Packs the rows of a batch's requests into the tensors of one run.
//
// Threads: pure functions on the caller's buffers; no lock is held meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "maas/base/dims.h"
#include "maas/exec/entry.h"
#include "maas/pack/block.h"

namespace maas {

// The request that a slice belongs to.
inline const Entry& EntryOf(const Slice& slice) { return static_cast<const Entry&>(*slice.item); }

// Whether the input needs no packing: the batch is one whole request whose bytes are already what the run
// wants, and big and aligned enough that binding them anew costs less than copying them.
bool CanBindDirectly(const InputSpec& spec, const BoundInput& input, std::span<const Slice> batch);

// Does what LayOutInput() says.
class InputWriter {
 public:
  // The box of `extent` at `from` of what the request sent goes to that at `to` of the run's tensor.
  virtual void Move(const BoundInput& sent, const Box& from, const Box& to, const Dims& extent,
                    const Conversion& conversion) = 0;
  // Every element of the box of the run's tensor is the `element_size` bytes at `value`, which is valid only
  // during the call.
  virtual void Fill(const Box& box, const Dims& extent, const std::byte* value, size_t element_size) = 0;

 protected:
  // Nobody owns one by this type.
  ~InputWriter() = default;
};

// Says how input `index` of every slice, one after the other along its batch axis, makes the run's tensor of
// shape `dims`: dequantized, padded, and filled where the request left a mask or lengths to the server. Boxes
// may be empty; together they are all of the tensor, and none overlap.
// REQUIRES: not BYTES; `dims` is RunBytes() >= 0.
void LayOutInput(const ModelSpec& spec, size_t index, std::span<const Slice> batch, const Dims& dims,
                 InputWriter* writer);

// Writes the tensor that LayOutInput() describes to `dst`. REQUIRES: as there.
void PackInput(const ModelSpec& spec, size_t index, std::span<const Slice> batch, const Dims& dims,
               std::byte* dst);

// The elements of a BYTES input in the order of the run's tensor of shape `dims`; they borrow from the
// requests.
std::vector<std::string_view> PackStrings(const ModelSpec& spec, size_t index, std::span<const Slice> batch,
                                          const Dims& dims);

// Splits the wire form of BYTES (4-byte little-endian lengths) that BindRequest has checked.
std::vector<std::string_view> SplitStrings(std::span<const std::byte> data);

}  // namespace maas
