#include "maas/base/shared_region.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>
#include <string>
#include <vector>

#include "maas/base/shared_memory_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::shared_ptr<SharedRegion> Opened(const TestMemory& memory, uint64_t offset, uint64_t size) {
  std::shared_ptr<SharedRegion> region;
  const Status status = SharedRegion::Open("r", memory.key(), offset, size, &region);
  EXPECT_TRUE(status.ok()) << status.message();
  return region;
}

Status Open(const std::string& key, uint64_t offset, uint64_t size) {
  std::shared_ptr<SharedRegion> region;
  Status status = SharedRegion::Open("r", key, offset, size, &region);
  EXPECT_EQ(status.ok(), region != nullptr);
  return status;
}

std::string Read(const SharedRegion& region, uint64_t offset, size_t size) {
  std::string out(size, '\0');
  const Status status = region.Read(offset, std::as_writable_bytes(std::span(out)));
  return status.ok() ? out : status.message();
}
std::string Write(const SharedRegion& region, uint64_t offset, std::string_view data) {
  const Status status = region.Write(offset, std::as_bytes(std::span(data)));
  return status.ok() ? "" : status.message();
}

int OpenFiles() {
  int open = 0;
  for (int fd = 0; fd < 256; ++fd) open += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return open;
}

TEST(SharedRegion, ReadsAndWritesItsOwnPieceOfTheMemory) {
  const TestMemory memory("0123456789");
  const auto region = Opened(memory, 2, 6);
  EXPECT_EQ(Read(*region, 0, 6), "234567");
  EXPECT_EQ(Read(*region, 4, 2), "67");
  EXPECT_EQ(Read(*region, 6, 0), "");
  EXPECT_EQ(Write(*region, 1, "ab"), "");
  EXPECT_EQ(memory.Content(), "012ab56789");
  EXPECT_EQ(region->name(), "r");
  EXPECT_EQ(region->key(), memory.key());
  EXPECT_EQ(region->offset(), 2U);
  EXPECT_EQ(region->size(), 6U);
}

TEST(SharedRegion, IsNamedWithOrWithoutASlash) {
  const TestMemory memory("x");
  EXPECT_TRUE(Open(memory.key().substr(1), 0, 1).ok());
}

TEST(SharedRegion, NeverReachesBeyondItself) {
  const TestMemory memory("0123456789");
  const auto region = Opened(memory, 2, 6);
  const std::string expected =
      "shared_memory_byte_size: expected at most 6 bytes, the size of region 'r', got ";
  EXPECT_EQ(Read(*region, 0, 7), expected + "7 from offset 0");
  EXPECT_EQ(Read(*region, 6, 1), expected + "1 from offset 6");
  EXPECT_EQ(Write(*region, 5, "ab"), expected + "2 from offset 5");
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Read(*region, kMax, 2), expected + "2 from offset " + std::to_string(kMax));
  EXPECT_FALSE(region->CheckRange(3, kMax).ok());
  EXPECT_EQ(memory.Content(), "0123456789");
}

TEST(SharedRegion, RefusesKeysThatCouldLeadElsewhere) {
  const auto many = std::string(300, 'k');
  for (const std::string& key :
       {std::string(), std::string("/"), std::string("."), std::string("/.."), std::string("../etc/passwd"),
        std::string("/a/b"), std::string("//x"), std::string("a\0b", 3), many}) {
    const Status status = Open(key, 0, 1);
    EXPECT_THAT(status.message(), StartsWith("key: expected the name of POSIX shared memory")) << key;
  }
}

TEST(SharedRegion, SaysWhenThereIsNone) {
  EXPECT_THAT(Open("/maas_test_missing", 0, 1).message(),
              HasSubstr("got '/maas_test_missing': No such file or directory"));
}

TEST(SharedRegion, RefusesWhatIsNoMemory) {
  const std::string name = "/maas_test_fifo_" + std::to_string(getpid());
  const std::string path = "/dev/shm" + name;
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(Open(name, 0, 1).message(), HasSubstr("which is none"));
  unlink(path.c_str());
  ASSERT_EQ(symlink("/etc/hostname", path.c_str()), 0);
  EXPECT_FALSE(Open(name, 0, 1).ok());
  unlink(path.c_str());
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_FALSE(Open(name, 0, 1).ok());
  rmdir(path.c_str());
}

TEST(SharedRegion, RefusesMoreThanTheMemoryHas) {
  const TestMemory memory("0123456789");
  EXPECT_EQ(Open(memory.key(), 4, 7).message(),
            "byte_size: expected at most 10 bytes, the size of '" + memory.key() + "', got 7 from offset 4");
  EXPECT_FALSE(Open(memory.key(), 11, 1).ok());
  EXPECT_FALSE(Open(memory.key(), 1, std::numeric_limits<uint64_t>::max()).ok());
  EXPECT_EQ(Open(memory.key(), 0, 0).message(), "byte_size: expected at least 1 byte, got 0");
}

TEST(SharedRegion, MemoryThatWasCutShortIsAnErrorAndStaysShort) {
  TestMemory memory("0123456789");
  const auto region = Opened(memory, 0, 10);
  memory.Resize(4);
  EXPECT_EQ(Read(*region, 0, 4), "0123");
  EXPECT_EQ(Read(*region, 2, 4),
            "shared_memory_region: expected region 'r' to hold 2 bytes more, got the end of its memory");
  EXPECT_EQ(Write(*region, 2, "abc"),
            "shared_memory_region: expected region 'r' to have room for 3 bytes, got the end of its memory");
  EXPECT_EQ(memory.Content(), "0123");
}

TEST(SharedRegion, OutlivesTheNameOfItsMemory) {
  const auto memory = std::make_unique<TestMemory>("abc");
  const auto region = Opened(*memory, 0, 3);
  shm_unlink(memory->key().c_str());
  EXPECT_EQ(Read(*region, 0, 3), "abc");
}

TEST(SharedRegion, ClosesItsFileHoweverItEnds) {
  const TestMemory memory("0123456789");
  const int before = OpenFiles();
  EXPECT_EQ(OpenFiles(), before);
  {
    const auto region = Opened(memory, 0, 10);
    EXPECT_EQ(OpenFiles(), before + 1);
  }
  EXPECT_FALSE(Open(memory.key(), 4, 7).ok());
  EXPECT_EQ(OpenFiles(), before);
}

}  // namespace
}  // namespace maas
