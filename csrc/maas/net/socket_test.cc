#include "maas/net/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "maas/net/socket_testing.h"

namespace maas {
namespace {

TEST(Listen, TakesAFreePortAndConnections) {
  std::vector<FileDescriptor> listening;
  uint16_t port = 0;
  ASSERT_TRUE(Listen("127.0.0.1", 0, &listening, &port).ok());
  ASSERT_EQ(listening.size(), 1U);
  ASSERT_NE(port, 0);
  FileDescriptor accepted;
  std::string address;
  Status failure;
  EXPECT_FALSE(Accept(listening[0], &accepted, &address, &failure));
  EXPECT_TRUE(failure.ok()) << "nobody waits, and that is no failure";

  const FileDescriptor client = ConnectLocal(AF_INET, port);
  ASSERT_TRUE(AcceptWithin(listening[0], &accepted, &address));
  EXPECT_EQ(address, "ipv4:127.0.0.1:" + std::to_string(LocalPort(client)));
  EXPECT_NE(fcntl(accepted.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Listen, AllAddressesAreBothIPv6AndIPv4) {
  for (const char* host : {"", "::"}) {
    std::vector<FileDescriptor> listening;
    uint16_t port = 0;
    ASSERT_TRUE(Listen(host, 0, &listening, &port).ok());
    const FileDescriptor client = ConnectLocal(AF_INET, port);
    FileDescriptor accepted;
    std::string address;
    ASSERT_TRUE(AcceptWithin(listening[0], &accepted, &address));
    EXPECT_EQ(address, "ipv4:127.0.0.1:" + std::to_string(LocalPort(client)));

    const FileDescriptor six = ConnectLocal(AF_INET6, port);
    if (!six.valid()) GTEST_SKIP() << "this machine has no IPv6";
    ASSERT_TRUE(AcceptWithin(listening[0], &accepted, &address));
    EXPECT_EQ(address, "ipv6:%5B::1%5D:" + std::to_string(LocalPort(six)));
  }
}

TEST(Listen, EveryAddressOfAHostHasTheSamePort) {
  std::vector<FileDescriptor> listening;
  uint16_t port = 0;
  ASSERT_TRUE(Listen("localhost", 0, &listening, &port).ok());
  for (const FileDescriptor& socket : listening) EXPECT_EQ(LocalPort(socket), port);
}

TEST(Listen, APortInUseIsUnavailable) {
  std::vector<FileDescriptor> first;
  std::vector<FileDescriptor> second;
  uint16_t port = 0;
  ASSERT_TRUE(Listen("127.0.0.1", 0, &first, &port).ok());
  uint16_t again = 0;
  const Status status = Listen("127.0.0.1", port, &second, &again);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("127.0.0.1:" + std::to_string(port)), std::string::npos);
  EXPECT_TRUE(second.empty());
}

TEST(Listen, AHostThatIsNoneIsInvalid) {
  std::vector<FileDescriptor> listening;
  uint16_t port = 0;
  const Status status = Listen("not a host", 0, &listening, &port);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("not a host"), std::string::npos);
}

TEST(Listen, AnAddressOfAnotherMachineIsUnavailable) {
  std::vector<FileDescriptor> listening;
  uint16_t port = 0;
  EXPECT_EQ(Listen("192.0.2.1", 0, &listening, &port).code(), Code::kUnavailable);
}

TEST(Accept, SaysWhenNoDescriptorsAreLeft) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need descriptors";
  std::vector<FileDescriptor> listening;
  uint16_t port = 0;
  ASSERT_TRUE(Listen("127.0.0.1", 0, &listening, &port).ok());
  const FileDescriptor client = ConnectLocal(AF_INET, port);
  FileDescriptor accepted;
  std::string address;
  Status failure;
  {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_FALSE(Accept(listening[0], &accepted, &address, &failure));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  }
  EXPECT_EQ(failure.code(), Code::kResourceExhausted);
  EXPECT_TRUE(AcceptWithin(listening[0], &accepted, &address)) << "the connection still waits";
}

TEST(ConnectUnix, ReachesAPathAndAnAbstractName) {
  const std::string name = "maas-socket-test-" + std::to_string(getpid());
  const std::string path = testing::TempDir() + name;
  for (const std::string& where : {path, std::string(1, '\0') + name}) {
    const FileDescriptor listening = ListenUnix(where);
    FileDescriptor near;
    ASSERT_TRUE(ConnectUnix(where, &near).ok());
    FileDescriptor far;
    std::string address;
    ASSERT_TRUE(AcceptWithin(listening, &far, &address));
    EXPECT_EQ(address, "unix:");
    ASSERT_EQ(write(near.get(), "x", 1), 1);
    char c = 0;
    ASSERT_EQ(read(far.get(), &c, 1), 1);
    EXPECT_EQ(c, 'x');
  }
  unlink(path.c_str());
}

TEST(ConnectUnix, NobodyThereIsUnavailable) {
  FileDescriptor out;
  EXPECT_EQ(ConnectUnix("/nobody/listens/here", &out).code(), Code::kUnavailable);
  EXPECT_EQ(ConnectUnix(std::string("\0nobody-listens-here", 20), &out).code(), Code::kUnavailable);
  EXPECT_EQ(ConnectUnix(std::string(200, 'x'), &out).code(), Code::kUnavailable);
  EXPECT_EQ(ConnectUnix("", &out).code(), Code::kUnavailable);
  EXPECT_FALSE(out.valid());
}

TEST(RaiseDescriptorLimit, IsWhatTheSystemThenAllows) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int64_t limit = RaiseDescriptorLimit();
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(static_cast<rlim_t>(limit), after.rlim_cur);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
}

TEST(FileDescriptor, ClosesItsDescriptorOnce) {
  FileDescriptor first(dup(0));
  const int number = first.get();
  FileDescriptor second(std::move(first));
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(second.get(), number);
  second = FileDescriptor();
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace maas
