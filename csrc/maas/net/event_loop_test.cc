#include "maas/net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;

struct Calls final : EventLoop::Watcher {
  explicit Calls(std::function<void(uint32_t)> call) : on_ready(std::move(call)) {}
  void OnReady(uint32_t events) override { on_ready(events); }
  std::function<void(uint32_t)> on_ready;
};

struct AtRoundEnd final : EventLoop::Deferred {
  explicit AtRoundEnd(std::function<void()> call) : on_round_end(std::move(call)) {}
  void OnRoundEnd() override { on_round_end(); }
  std::function<void()> on_round_end;
};

class EventLoopTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(EventLoop::Make(&clock_, &loop_).ok()); }

  // One round: a loop that was stopped runs no longer, however often.
  void RunRound() {
    loop_->Stop();
    loop_->Run();
  }

  FakeClock clock_{1000};
  std::unique_ptr<EventLoop> loop_;
};

// Two ends that are connected.
struct Pair {
  Pair() {
    std::array<int, 2> ends;
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    near = FileDescriptor(ends[0]);
    far = FileDescriptor(ends[1]);
  }
  void Say(char c) const { ASSERT_EQ(write(far.get(), &c, 1), 1); }
  FileDescriptor near;
  FileDescriptor far;
};

TEST_F(EventLoopTest, TellsWhatIsReadyUntilItIsNotAnyMore) {
  Pair pair;
  int ready = 0;
  Calls watcher([&](uint32_t events) {
    EXPECT_EQ(events, static_cast<uint32_t>(EPOLLIN));
    ++ready;
  });
  ASSERT_TRUE(loop_->Watch(pair.near.get(), EPOLLIN, &watcher).ok());
  RunRound();
  EXPECT_EQ(ready, 0);
  pair.Say('x');
  RunRound();
  RunRound();
  EXPECT_EQ(ready, 2);
  char c;
  ASSERT_EQ(read(pair.near.get(), &c, 1), 1);
  RunRound();
  EXPECT_EQ(ready, 2);
}

TEST_F(EventLoopTest, ChangesWhatIsWatchedFor) {
  Pair pair;
  std::vector<uint32_t> seen;
  Calls watcher([&](uint32_t events) { seen.push_back(events); });
  ASSERT_TRUE(loop_->Watch(pair.near.get(), EPOLLIN, &watcher).ok());
  loop_->Change(pair.near.get(), EPOLLOUT);
  pair.Say('x');
  RunRound();
  loop_->Change(pair.near.get(), EPOLLIN | EPOLLOUT);
  RunRound();
  loop_->Change(pair.near.get(), 0);
  RunRound();
  EXPECT_EQ(seen, (std::vector<uint32_t>{EPOLLOUT, EPOLLIN | EPOLLOUT}));
}

TEST_F(EventLoopTest, NobodyIsToldOfWhatWasUnwatchedInTheSameRound) {
  std::array<Pair, 2> pairs;
  int told = 0;
  std::vector<std::unique_ptr<Calls>> watchers;
  for (int i = 0; i < 2; ++i) {
    watchers.push_back(std::make_unique<Calls>([&](uint32_t) {
      ++told;
      for (const Pair& pair : pairs) loop_->Unwatch(pair.near.get());
      watchers.clear();
    }));
    ASSERT_TRUE(
        loop_->Watch(pairs.at(static_cast<size_t>(i)).near.get(), EPOLLIN, watchers.back().get()).ok());
    pairs.at(static_cast<size_t>(i)).Say('x');
  }
  RunRound();
  RunRound();
  EXPECT_EQ(told, 1);
}

// The system gives the lowest free number to the next descriptor.
TEST_F(EventLoopTest, ADescriptorOfTheSameNumberIsNotToldOfTheLastOnesEvents) {
  std::array<Pair, 2> pairs;
  Pair next;
  int told = 0;
  Calls fresh([&](uint32_t) { ADD_FAILURE() << "nothing is ready here"; });
  const auto replace = [&](size_t other) {
    if (++told > 1) return;
    const int number = pairs.at(other).near.get();
    loop_->Unwatch(number);
    ASSERT_EQ(dup2(next.near.get(), number), number);  // Closes it, and takes its number.
    ASSERT_TRUE(loop_->Watch(number, EPOLLIN, &fresh).ok());
  };
  Calls first([&](uint32_t) { replace(1); });
  Calls second([&](uint32_t) { replace(0); });
  ASSERT_TRUE(loop_->Watch(pairs[0].near.get(), EPOLLIN, &first).ok());
  ASSERT_TRUE(loop_->Watch(pairs[1].near.get(), EPOLLIN, &second).ok());
  pairs[0].Say('x');
  pairs[1].Say('x');
  RunRound();
  EXPECT_EQ(told, 1);
}

TEST_F(EventLoopTest, ADescriptorThatCannotBeWatchedIsAnError) {
  Calls watcher([](uint32_t) {});
  const FileDescriptor closed(dup(0));
  const int number = closed.get();
  ASSERT_EQ(close(number), 0);
  const Status status = loop_->Watch(number, EPOLLIN, &watcher);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  ASSERT_EQ(dup2(0, number), number);  // For who closes it.
}

TEST_F(EventLoopTest, TimersRingInTheirOrderOnceTheirTimeHasCome) {
  std::vector<int> rung;
  EventLoop::Timer late([&] { rung.push_back(2); });
  EventLoop::Timer early([&] { rung.push_back(1); });
  EventLoop::Timer cancelled([&] { rung.push_back(3); });
  loop_->SetTimer(&late, 1000 + 2 * kMs);
  loop_->SetTimer(&early, 1000 + 1 * kMs);
  loop_->SetTimer(&cancelled, 1000 + 1 * kMs);
  cancelled.Cancel();
  RunRound();
  EXPECT_TRUE(rung.empty());
  clock_.Advance(3 * kMs);
  RunRound();
  EXPECT_EQ(rung, (std::vector<int>{1, 2}));
  EXPECT_FALSE(late.pending());
  RunRound();
  EXPECT_EQ(rung.size(), 2U);
}

TEST_F(EventLoopTest, ATimerIsMovedAndMayBeSetAgainWhileItRings) {
  int rung = 0;
  EventLoop::Timer timer([&] {
    ++rung;
    loop_->SetTimer(&timer, 0);
  });
  loop_->SetTimer(&timer, 2000);
  loop_->SetTimer(&timer, 3000);
  clock_.Advance(1500);
  RunRound();
  EXPECT_EQ(rung, 0);
  clock_.Advance(1000);
  RunRound();
  EXPECT_EQ(rung, 1);
  RunRound();
  EXPECT_EQ(rung, 2);
}

TEST_F(EventLoopTest, ATimerMayGoWhileItRings) {
  std::unique_ptr<EventLoop::Timer> other;
  std::unique_ptr<EventLoop::Timer> timer;
  timer = std::make_unique<EventLoop::Timer>([&] {
    timer.reset();
    other.reset();
  });
  other = std::make_unique<EventLoop::Timer>([] { ADD_FAILURE() << "it was destroyed"; });
  loop_->SetTimer(timer.get(), 1000);
  loop_->SetTimer(other.get(), 1000);
  RunRound();
  EXPECT_EQ(timer, nullptr);
}

TEST_F(EventLoopTest, ATimerThatOutlivesItsLoopRingsNoMore) {
  EventLoop::Timer timer([] { ADD_FAILURE(); });
  loop_->SetTimer(&timer, 5000);
  loop_.reset();
  EXPECT_FALSE(timer.pending());
  timer.Cancel();
}

TEST_F(EventLoopTest, WhatIsDeferredRunsOnceAfterAllElse) {
  Pair pair;
  pair.Say('x');
  std::vector<char> order;
  AtRoundEnd end([&] { order.push_back('e'); });
  Calls watcher([&](uint32_t) {
    loop_->Defer(&end);
    order.push_back('r');
  });
  EventLoop::Timer timer([&] { order.push_back('t'); });
  ASSERT_TRUE(loop_->Watch(pair.near.get(), EPOLLIN, &watcher).ok());
  loop_->SetTimer(&timer, 0);
  loop_->Post([&] {
    loop_->Defer(&end);
    order.push_back('p');
  });
  RunRound();
  EXPECT_EQ(order, (std::vector<char>{'r', 'p', 't', 'e'}));
}

TEST_F(EventLoopTest, WhatIsDeferredAtTheEndOfARoundWaitsForTheNext) {
  int rounds = 0;
  AtRoundEnd end([&] {
    if (++rounds < 3) loop_->Defer(&end);
    if (rounds == 3) loop_->Stop();
  });
  loop_->Defer(&end);
  loop_->Run();  // Nothing else wakes it.
  EXPECT_EQ(rounds, 3);
}

TEST_F(EventLoopTest, WhatIsForgottenIsNotCalled) {
  auto second = std::make_unique<AtRoundEnd>([] { ADD_FAILURE(); });
  auto third = std::make_unique<AtRoundEnd>([] { ADD_FAILURE(); });
  AtRoundEnd first([&] {
    loop_->Forget(second.get());
    second.reset();
    loop_->Defer(third.get());
    loop_->Forget(third.get());
    third.reset();
  });
  loop_->Defer(&first);
  loop_->Defer(second.get());
  RunRound();
  RunRound();
  EXPECT_EQ(third, nullptr);
}

TEST_F(EventLoopTest, EveryRoundIsFollowedByTheSameCall) {
  std::vector<char> order;
  AtRoundEnd end([&] { order.push_back('e'); });
  loop_->AfterEachRound([&] { order.push_back('a'); });
  loop_->Defer(&end);
  RunRound();
  RunRound();
  EXPECT_EQ(order, (std::vector<char>{'e', 'a', 'a'}));
}

TEST_F(EventLoopTest, PostedWorkRunsInItsOrderAndMayPostMore) {
  std::vector<int> ran;
  loop_->Post([&] {
    ran.push_back(1);
    loop_->Post([&] {
      ran.push_back(3);
      loop_->Stop();
    });
  });
  loop_->Post([&] { ran.push_back(2); });
  loop_->Run();
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
}

TEST(EventLoopThreads, AnyThreadMayPost) {
  std::unique_ptr<EventLoop> loop;
  ASSERT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop).ok());
  constexpr int kThreads = 4;
  constexpr int kEach = 3000;
  int ran = 0;  // The loop's.
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kEach; ++n) {
        loop->Post([&] {
          if (++ran == kThreads * kEach) loop->Stop();
        });
      }
    });
  }
  loop->Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, kThreads * kEach);
}

// The last work ends the loop, which goes while its poster may still be on its way out.
TEST(EventLoopThreads, ALoopMayGoAsSoonAsItsLastWorkHasRun) {
  for (int i = 0; i < 500; ++i) {
    std::unique_ptr<EventLoop> loop;
    ASSERT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop).ok());
    EventLoop* const to = loop.get();
    std::thread poster([to] { to->Post([to] { to->Stop(); }); });
    loop->Run();
    loop.reset();
    poster.join();
  }
}

// Each side waits for the other: a wake-up that is lost would hang it.
TEST(EventLoopThreads, NoWakeUpIsLost) {
  std::array<std::unique_ptr<EventLoop>, 2> loops;
  for (auto& loop : loops) ASSERT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop).ok());
  int left = 5000;  // Of whose turn it is.
  std::function<void(size_t)> play = [&](size_t me) {
    if (--left <= 0) {
      for (auto& loop : loops) loop->Stop();
      return;
    }
    loops.at(1 - me)->Post([&play, me] { play(1 - me); });
  };
  loops[0]->Post([&] { play(0); });
  std::thread other([&] { loops[1]->Run(); });
  loops[0]->Run();
  other.join();
  EXPECT_EQ(left, 0);
}

TEST(EventLoopThreads, APaceKeepsRoundsApartUntilItIsLifted) {
  constexpr int kRounds = 5;
  constexpr int64_t kPace = 2 * kMs;
  std::unique_ptr<EventLoop> loop;
  ASSERT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop).ok());
  std::vector<int64_t> rounds;
  std::function<void()> again = [&] {
    rounds.push_back(loop->Now());
    if (rounds.size() == kRounds) loop->Pace(0);
    if (rounds.size() == kRounds + 1) loop->Stop();
    loop->Post([&] { again(); });
  };
  loop->Pace(kPace);
  loop->Post([&] { again(); });
  loop->Run();
  for (size_t i = 1; i < kRounds; ++i) EXPECT_GE(rounds[i] - rounds[i - 1], kPace);
}

TEST(EventLoopThreads, ATimerWakesTheLoop) {
  std::unique_ptr<EventLoop> loop;
  ASSERT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop).ok());
  int64_t rung_at = 0;
  EventLoop::Timer timer([&] {
    rung_at = loop->Now();
    loop->Stop();
  });
  const int64_t at = SteadyClock::Get()->Now() + 2 * kMs;
  loop->SetTimer(&timer, at);
  loop->Run();
  EXPECT_GE(rung_at, at);
}

}  // namespace
}  // namespace maas
