// The body of one stream on its way out: chunks in order, the first of them part sent.
//
// Ownership: owns or shares the chunks. Threads: one at a time. A body of one chunk, as unary answers have
// it, needs no memory of the queue's.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "maas/net/chunk.h"
#include "maas/net/out_queue.h"

namespace maas {

class BodyQueue {
 public:
  // Payloads of less are copied: their frames lie side by side and leave in one piece.
  static constexpr size_t kReferenced = 2048;
  // What a stream costs without any body, about.
  static constexpr size_t kStreamBytes = 1024;

  // From `offset` of the chunk, where there is at least one byte.
  void Push(Chunk chunk, size_t offset);
  // Moves the first bytes to `out`, REQUIRES: at most bytes(). False: there is no memory for it.
  [[nodiscard]] bool Move(size_t bytes, OutQueue* out);
  void Clear();

  size_t bytes() const { return bytes_; }
  // Memory that stays until it is empty, or its chunks are moved to their last byte: a byte keeps its chunk,
  // and anything at all the stream.
  size_t kept() const { return bytes_ == 0 ? 0 : kStreamBytes + chunks_; }

 private:
  struct Piece {
    Chunk own;
    std::shared_ptr<const Chunk> shared;  // Takes the place of `own` once a part of it is referenced.
    size_t offset = 0;
    const Chunk& chunk() const { return shared != nullptr ? *shared : own; }
    size_t left() const { return chunk().size() - offset; }
    size_t kept() const { return sizeof(Piece) + chunk().capacity(); }
  };
  void PopFront();
  Piece front_;
  std::unique_ptr<std::deque<Piece>> more_;
  size_t bytes_ = 0;
  size_t chunks_ = 0;  // kept() of the pieces.
};

}  // namespace maas
