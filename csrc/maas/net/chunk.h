// A block of bytes with one owner: what a message is received into, and what waits to be sent.
//
// Threads: none of its own; may be handed from one thread to another.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>

namespace maas {

class Chunk {
 public:
  Chunk() = default;  // Empty; no memory.
  Chunk(Chunk&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Chunk& operator=(Chunk&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  // Room for `capacity` bytes, of which none counts yet. False: there is no memory, and nothing changed.
  // Keeps what is in it.
  [[nodiscard]] bool Reserve(size_t capacity) {
    if (capacity <= capacity_) return true;
    // A vector would write zeros into what is received next, and copy where realloc() moves pages.
    void* grown = std::realloc(data_.get(), capacity);  // NOLINT(*-no-malloc, *-owning-memory)
    if (grown == nullptr) return false;
    static_cast<void>(data_.release());  // realloc() freed it, or it is `grown`.
    data_.reset(static_cast<std::byte*>(grown));
    capacity_ = capacity;
    return true;
  }

  // Gives the memory to the caller, who brings it back by Adopt(): to pass through what knows no chunks. Null
  // if there is none.
  [[nodiscard]] std::byte* Release() {
    size_ = capacity_ = 0;
    return data_.release();
  }
  // The chunk of `capacity` bytes whose memory Release() gave up; all of them count.
  static Chunk Adopt(std::byte* data, size_t capacity) {
    Chunk chunk;
    chunk.data_.reset(data);
    chunk.size_ = chunk.capacity_ = capacity;
    return chunk;
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  // REQUIRES: size <= capacity().
  void set_size(size_t size) { size_ = size; }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }
  // What is reserved beyond size().
  std::span<std::byte> room() { return {data_.get() + size_, capacity_ - size_}; }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }  // NOLINT(*-no-malloc, *-owning-memory)
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace maas
