// POSIX shared memory as a client makes it, for tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace maas {

// Lasts as long as this object. No two tests of one machine share a name.
class TestMemory {
 public:
  explicit TestMemory(std::string_view content)
      : key_("/maas_test_" + std::to_string(getpid()) + '_' + std::to_string(next_++)) {
    fd_ = shm_open(key_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_GE(fd_, 0);
    EXPECT_EQ(pwrite(fd_, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  }
  ~TestMemory() {
    shm_unlink(key_.c_str());
    close(fd_);
  }
  TestMemory(const TestMemory&) = delete;
  TestMemory& operator=(const TestMemory&) = delete;

  const std::string& key() const { return key_; }
  // All that it holds now.
  std::string Content() const {
    struct stat file {};
    EXPECT_EQ(fstat(fd_, &file), 0);
    std::string out(static_cast<size_t>(file.st_size), '\0');
    EXPECT_EQ(pread(fd_, out.data(), out.size(), 0), file.st_size);
    return out;
  }
  void Resize(size_t size) { EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(size)), 0); }

 private:
  static inline int next_ = 0;
  std::string key_;
  int fd_ = -1;
};

}  // namespace maas
