#include "maas/net/out_queue.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace maas {
namespace {

// Some dozens of frames of small calls.
constexpr size_t kCopiesBytes = 4096;
// A piece of its own costs more than to copy so much.
constexpr size_t kCopiedBytes = 1024;
// Pieces that are done go when they are so many, and more than half.
constexpr size_t kDonePieces = 64;

}  // namespace

void OutQueue::Copy(std::span<const std::byte> bytes) {
  const size_t offset = copies_->size();
  std::memcpy(copies_->data() + offset, bytes.data(), bytes.size());
  copies_->set_size(offset + bytes.size());
  size_ += bytes.size();
  if (first_ < pieces_.size()) {
    Piece& last = pieces_.back();
    if (last.chunk == copies_ && last.offset + last.size == offset) {
      last.size += bytes.size();
      return;
    }
  }
  pieces_.push_back({copies_, offset, bytes.size()});
}

bool OutQueue::Append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return true;
  const size_t here = copies_ ? std::min(copies_->room().size(), bytes.size()) : 0;
  const std::span<const std::byte> rest = bytes.subspan(here);
  std::shared_ptr<Chunk> more;
  if (!rest.empty()) {
    more = std::make_shared<Chunk>();
    if (!more->Reserve(std::max(rest.size(), kCopiesBytes))) return false;
  }
  if (here > 0) Copy(bytes.first(here));
  if (more) {
    copies_ = std::move(more);
    Copy(rest);
  }
  return true;
}

bool OutQueue::Append(std::shared_ptr<const Chunk> chunk, size_t offset, size_t size) {
  assert(offset <= chunk->size() && size <= chunk->size() - offset);
  if (size <= kCopiedBytes) return Append(chunk->bytes().subspan(offset, size));
  pieces_.push_back({std::move(chunk), offset, size});
  size_ += size;
  return true;
}

size_t OutQueue::Gather(std::span<iovec> out) const {
  const size_t count = std::min(out.size(), pieces_.size() - first_);
  for (size_t i = 0; i < count; ++i) {
    const Piece& piece = pieces_[first_ + i];
    // An iovec is for reading and for writing; nobody writes to these.
    out[i] = {const_cast<std::byte*>(piece.chunk->data()) + piece.offset, piece.size};
  }
  return count;
}

void OutQueue::Pop(size_t size) {
  assert(size <= size_);
  size_ -= size;
  if (size_ == 0) {
    pieces_ = {};
    first_ = 0;
    copies_.reset();
    return;
  }
  while (size > 0) {
    Piece& piece = pieces_[first_];
    const size_t gone = std::min(size, piece.size);
    piece.offset += gone;
    piece.size -= gone;
    size -= gone;
    if (piece.size > 0) break;
    piece.chunk.reset();
    ++first_;
  }
  if (first_ >= kDonePieces && first_ > pieces_.size() / 2) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

}  // namespace maas
