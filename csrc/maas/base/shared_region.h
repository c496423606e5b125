// A piece of POSIX shared memory that a client named, read and written through its file.
//
// Through the file and not through a mapping: a client may cut the file short at any time, and a mapping
// would then end the process (SIGBUS) where pread() and pwrite() fail. What was read is ours: nobody changes
// it under the checks.
//
// Ownership: owns its file descriptor. Threads: constant after construction; Read() and Write() from any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "maas/base/status.h"

namespace maas {

class SharedRegion {
  // Keeps the constructor, which takes any file, to Open().
  struct Key {
    explicit Key() = default;
  };

 public:
  // Opens `key`, a name such as "/input", below /dev/shm and nowhere else; `size` bytes from `offset`.
  // INVALID_ARGUMENT: the key is no such name, there is none, it is no plain file, this process may not read
  // and write it, or it is smaller than offset + size. RESOURCE_EXHAUSTED: no file descriptor is left.
  static Status Open(std::string name, std::string key, uint64_t offset, uint64_t size,
                     std::shared_ptr<SharedRegion>* out);
  SharedRegion(Key, std::string name, std::string key, uint64_t offset, uint64_t size, int fd);
  ~SharedRegion();
  SharedRegion(const SharedRegion&) = delete;
  SharedRegion& operator=(const SharedRegion&) = delete;

  // INVALID_ARGUMENT: the region does not reach so far.
  Status CheckRange(uint64_t offset, uint64_t size) const;
  // Fills `out` from `offset` of the region. INVALID_ARGUMENT: the region does not reach so far, or its file
  // does not any more.
  Status Read(uint64_t offset, std::span<std::byte> out) const;
  Status Write(uint64_t offset, std::span<const std::byte> data) const;

  const std::string& name() const { return name_; }
  const std::string& key() const { return key_; }
  uint64_t offset() const { return offset_; }
  uint64_t size() const { return size_; }

 private:
  const std::string name_;
  const std::string key_;
  const uint64_t offset_;
  const uint64_t size_;
  const int fd_;
};

}  // namespace maas
