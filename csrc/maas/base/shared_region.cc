#include "maas/base/shared_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace maas {
namespace {

// NAME_MAX of the file system behind /dev/shm.
constexpr size_t kMaxKeyBytes = 255;

std::string Quoted(const std::string& text) { return '\'' + text + '\''; }

// shm_open() takes one component; anything else could name a file outside /dev/shm.
bool IsKey(const std::string& key) {
  const std::string component = key.starts_with('/') ? key.substr(1) : key;
  return !component.empty() && component.size() <= kMaxKeyBytes && component != "." && component != ".." &&
         component.find('/') == std::string::npos && component.find('\0') == std::string::npos;
}

}  // namespace

SharedRegion::SharedRegion(Key, std::string name, std::string key, uint64_t offset, uint64_t size, int fd)
    : name_(std::move(name)), key_(std::move(key)), offset_(offset), size_(size), fd_(fd) {}

SharedRegion::~SharedRegion() { close(fd_); }

Status SharedRegion::Open(std::string name, std::string key, uint64_t offset, uint64_t size,
                          std::shared_ptr<SharedRegion>* out) {
  if (!IsKey(key)) {
    return Status::Invalid("key", "expected the name of POSIX shared memory, such as \"/input\", got " +
                                      Quoted(key.substr(0, kMaxKeyBytes)));
  }
  if (size == 0) return Status::Invalid("byte_size", "expected at least 1 byte, got 0");
  // Without O_NONBLOCK a FIFO put there would hold us up.
  const int fd =
      shm_open((key.starts_with('/') ? key : '/' + key).c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
    return Status(Code::kResourceExhausted, "TOO_MANY_FILES", "no more files can be opened");
  }
  if (fd < 0) {
    return Status::Invalid("key", "expected shared memory that this server may read and write, got " +
                                      Quoted(key) + ": " + std::strerror(errno));
  }
  // Closes the file wherever this returns.
  auto region = std::make_shared<SharedRegion>(Key(), std::move(name), std::move(key), offset, size, fd);
  struct stat file {};
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
    return Status::Invalid("key", "expected shared memory, got " + Quoted(region->key_) + ", which is none");
  }
  const auto end = static_cast<uint64_t>(file.st_size);
  if (offset > end || size > end - offset) {
    return Status::Invalid("byte_size", "expected at most " + std::to_string(end) + " bytes, the size of " +
                                            Quoted(region->key_) + ", got " + std::to_string(size) +
                                            " from offset " + std::to_string(offset));
  }
  *out = std::move(region);
  return {};
}

Status SharedRegion::CheckRange(uint64_t offset, uint64_t size) const {
  if (offset <= size_ && size <= size_ - offset) return {};
  return Status::Invalid("shared_memory_byte_size", "expected at most " + std::to_string(size_) +
                                                        " bytes, the size of region " + Quoted(name_) +
                                                        ", got " + std::to_string(size) + " from offset " +
                                                        std::to_string(offset));
}

Status SharedRegion::Read(uint64_t offset, std::span<std::byte> out) const {
  if (Status bad = CheckRange(offset, out.size()); !bad.ok()) return bad;
  while (!out.empty()) {
    const ssize_t n = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset_ + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return Status::Invalid("shared_memory_region",
                             "expected region " + Quoted(name_) + " to hold " + std::to_string(out.size()) +
                                 " bytes more, got " +
                                 (n == 0 ? "the end of its memory" : std::strerror(errno)));
    }
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status SharedRegion::Write(uint64_t offset, std::span<const std::byte> data) const {
  if (Status bad = CheckRange(offset, data.size()); !bad.ok()) return bad;
  // pwrite() would make a file that was cut short long again.
  struct stat file {};
  if (fstat(fd_, &file) != 0 || static_cast<uint64_t>(file.st_size) < offset_ + offset + data.size()) {
    return Status::Invalid("shared_memory_region", "expected region " + Quoted(name_) + " to have room for " +
                                                       std::to_string(data.size()) +
                                                       " bytes, got the end of its memory");
  }
  while (!data.empty()) {
    const ssize_t n = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset_ + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return Status::Invalid("shared_memory_region", "expected region " + Quoted(name_) +
                                                         " to take the output, got " + std::strerror(errno));
    }
    offset += static_cast<uint64_t>(n);
    data = data.subspan(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace maas
