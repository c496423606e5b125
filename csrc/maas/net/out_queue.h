// Bytes on their way to a socket: small ones side by side, large ones where they lie.
//
// Usage:
//   queue.Append(frame_header);                       // copied
//   queue.Append(std::make_shared<Chunk>(...), 0, n); // referenced until written, unless copying is cheaper
//   iovec out[16]; size_t n = queue.Gather(out);      // then writev()
//   queue.Pop(written);
// Ownership: shares the chunks it refers to. Threads: one at a time.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "maas/net/chunk.h"

namespace maas {

class OutQueue {
 public:
  // Copies. False: there is no memory for it, and nothing was appended.
  [[nodiscard]] bool Append(std::span<const std::byte> bytes);
  // `size` bytes of `chunk` from `offset`, which stay as they are until they are popped.
  [[nodiscard]] bool Append(std::shared_ptr<const Chunk> chunk, size_t offset, size_t size);

  size_t size() const { return size_; }  // Bytes.
  bool empty() const { return size_ == 0; }
  // The first bytes, as many pieces as fit; returns how many.
  size_t Gather(std::span<iovec> out) const;
  // The first `size` bytes were written. REQUIRES: size <= this->size(). Gives the memory of what is written
  // back, also that of the copies once the queue is empty: idle connections keep nothing.
  void Pop(size_t size);

 private:
  struct Piece {
    std::shared_ptr<const Chunk> chunk;
    size_t offset = 0;
    size_t size = 0;
  };
  // Appends to copies_ what it has room for.
  void Copy(std::span<const std::byte> bytes);

  std::vector<Piece> pieces_;
  size_t first_ = 0;               // Of pieces_, that has bytes left.
  std::shared_ptr<Chunk> copies_;  // What is copied next comes behind what is in it; pieces refer to it.
  size_t size_ = 0;
};

}  // namespace maas
