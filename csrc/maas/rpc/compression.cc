#include "maas/rpc/compression.h"

#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <memory>
#include <string>

#include "maas/rpc/errors.h"

namespace maas {
namespace {

constexpr size_t kFirstCapacity = 4096;
constexpr int kWindowBits = MAX_WBITS;
constexpr int kGzipWrapper = 16;  // As zlib wants to be told of it.

struct EndInflate {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};

Status Damaged(Encoding encoding) {
  const std::string name = encoding == Encoding::kGzip ? "gzip" : "deflate";
  return Status(Code::kInternal, "", "Unexpected error decompressing data for algorithm " + name);
}

Status TooLarge(size_t most) {
  return Status(Code::kResourceExhausted, "",
                "SERVER: Received message larger than max (more than " + std::to_string(most) + " vs. " +
                    std::to_string(most) + ")");
}

}  // namespace

bool ParseEncoding(std::string_view name, Encoding* out) {
  if (name == "identity") {
    *out = Encoding::kIdentity;
  } else if (name == "gzip") {
    *out = Encoding::kGzip;
  } else if (name == "deflate") {
    *out = Encoding::kDeflate;
  } else {
    return false;
  }
  return true;
}

Status Decompress(Encoding encoding, std::span<const std::byte> in, size_t most, Chunk* out) {
  assert(encoding != Encoding::kIdentity && in.size() <= std::numeric_limits<uInt>::max());
  *out = Chunk();
  z_stream stream{};
  // zlib only reads from it.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  if (inflateInit2(&stream, encoding == Encoding::kGzip ? kWindowBits + kGzipWrapper : kWindowBits) != Z_OK) {
    return OutOfMemory();
  }
  const std::unique_ptr<z_stream, EndInflate> end(&stream);
  while (true) {
    if (out->size() == out->capacity() && out->size() < most) {
      if (!out->Reserve(std::min(most, std::max(kFirstCapacity, out->capacity() * 2)))) return OutOfMemory();
    }
    // What does not fit any more goes here, and is too much.
    std::byte excess;
    const bool full = out->size() == most;
    const std::span<std::byte> room = full ? std::span(&excess, 1) : out->room();
    const auto given = static_cast<uInt>(std::min<size_t>(room.size(), std::numeric_limits<uInt>::max()));
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = given;
    const int result = inflate(&stream, Z_NO_FLUSH);
    const size_t produced = given - stream.avail_out;
    if (full && produced > 0) return TooLarge(most);
    out->set_size(out->size() + produced);
    if (result == Z_STREAM_END) return stream.avail_in == 0 ? Status() : Damaged(encoding);
    if (result == Z_MEM_ERROR) return OutOfMemory();
    // Without an error and without the end it goes on where there was no room.
    if (result != Z_OK || (stream.avail_in == 0 && stream.avail_out > 0)) return Damaged(encoding);
  }
}

}  // namespace maas
