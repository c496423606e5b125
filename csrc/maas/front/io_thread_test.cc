#include "maas/front/io_thread.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "maas/front/front_server_testing.h"

namespace maas {
namespace {

class IoThreadTest : public testing::Test {
 protected:
  IoThreadTest() {
    EXPECT_TRUE(
        IoThread::Make({&options_, SteadyClock::Get(), &engine_, &budget_, 3,
                        [](const std::vector<Interrupt>&) {}, [this] { ++drained_; }, [this] { ++idle_; }},
                       &thread_)
            .ok());
  }

  // Gives the thread a connection, as who accepts it does; returns the peer's end.
  FileDescriptor Connect() {
    std::array<int, 2> ends;
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    thread_->tally().open.fetch_add(1);
    thread_->loop().Post(
        [thread = thread_.get(), fd = ends[0]] { thread->Take(FileDescriptor(fd), "unix:"); });
    return FileDescriptor(ends[1]);
  }
  void Shutdown(int64_t grace_ns) {
    thread_->loop().Post([thread = thread_.get(), grace_ns] { thread->Shutdown(grace_ns); });
  }
  uint64_t open() const { return thread_->tally().open.load(); }
  // Whether the server has spoken, or gone.
  static bool Heard(const FileDescriptor& peer) { return IsReady(peer.get(), POLLIN, 30'000); }

  FrontOptions options_;
  Engine engine_{{.sweep_interval_ns = 0}, SteadyClock::Get()};
  MemoryBudget budget_{1 << 20};
  std::atomic<int> drained_{0};
  std::atomic<int> idle_{0};
  std::unique_ptr<IoThread> thread_;
};

TEST_F(IoThreadTest, OneThatNeverRanJustGoes) { thread_.reset(); }

TEST_F(IoThreadTest, TakesConnectionsAndCountsThem) {
  thread_->Start();
  const FileDescriptor peer = Connect();
  EXPECT_TRUE(Heard(peer)) << "its settings come first";
  EXPECT_EQ(thread_->tally().connections.value(), 1U);
  EXPECT_EQ(open(), 1U);
}

TEST_F(IoThreadTest, ItsEndCutsConnections) {
  thread_->Start();
  const FileDescriptor peer = Connect();
  ASSERT_TRUE(Heard(peer));
  thread_.reset();
  std::array<char, 1000> bytes;
  while (recv(peer.get(), bytes.data(), bytes.size(), 0) > 0) continue;
  EXPECT_EQ(recv(peer.get(), bytes.data(), bytes.size(), 0), 0);
  EXPECT_EQ(drained_, 0);
}

TEST_F(IoThreadTest, TellsOnceThatItIsDrainedAndIdle) {
  thread_->Start();
  const FileDescriptor peer = Connect();
  ASSERT_TRUE(Heard(peer));
  Shutdown(kTestPatienceNs);
  Shutdown(1'000'000);  // The shorter grace counts.
  EXPECT_TRUE(Eventually([&] { return drained_ == 1; }));
  EXPECT_EQ(open(), 0U);
  EXPECT_TRUE(Eventually([&] { return idle_ == 1; }));
}

TEST_F(IoThreadTest, AConnectionThatComesAfterTheGraceIsCut) {
  thread_->Start();
  Shutdown(0);
  EXPECT_TRUE(Eventually([&] { return drained_ == 1; }));
  const FileDescriptor late = Connect();
  EXPECT_TRUE(Eventually([&] { return open() == 0; }));
  EXPECT_EQ(thread_->tally().connections.value(), 1U);
  EXPECT_EQ(drained_, 1);
  EXPECT_EQ(idle_, 1);
}

TEST_F(IoThreadTest, GivesUpAConnectionThatCannotBeWatched) {
  thread_->Start();
  FileDescriptor file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  thread_->tally().open.fetch_add(1);
  thread_->loop().Post(
      [thread = thread_.get(), fd = dup(file.get())] { thread->Take(FileDescriptor(fd), ""); });
  EXPECT_TRUE(Eventually([&] { return open() == 0; }));
}

}  // namespace
}  // namespace maas
