#include "maas/http2/limits.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kSettings = 4, kPing = 6, kWindowUpdate = 8,
                  kContinuation = 9, kUnknown = 99;
constexpr uint8_t kEndStream = 1, kPadded = 8;

int TakeAll(TokenBucket* bucket) {
  int taken = 0;
  while (taken < 1'000'000 && bucket->Take()) ++taken;
  return taken;
}

TEST(TokenBucket, GivesTheBurstAndThenTheRate) {
  FakeClock clock(5 * kSecond);
  TokenBucket bucket(10, 4, &clock);
  EXPECT_EQ(TakeAll(&bucket), 10);
  clock.Advance(kSecond / 4 - 1);
  EXPECT_EQ(TakeAll(&bucket), 0);
  clock.Advance(1);
  EXPECT_EQ(TakeAll(&bucket), 1);
  clock.Advance(2 * kSecond);
  EXPECT_EQ(TakeAll(&bucket), 8);
}

TEST(TokenBucket, EarnsNoMoreThanTheBurst) {
  FakeClock clock;
  TokenBucket bucket(10, 4, &clock);
  EXPECT_EQ(TakeAll(&bucket), 10);
  clock.Advance(int64_t{100} * 365 * 24 * 3600 * kSecond);
  EXPECT_EQ(TakeAll(&bucket), 10);
  bucket.Give(7);
  bucket.Give(7);
  EXPECT_EQ(TakeAll(&bucket), 10);
}

TEST(TokenBucket, WithoutARateGivesTheBurstOnly) {
  FakeClock clock;
  TokenBucket bucket(3, 0, &clock);
  EXPECT_EQ(TakeAll(&bucket), 3);
  clock.Advance(1000 * kSecond);
  EXPECT_EQ(TakeAll(&bucket), 0);
}

TEST(PingStrikes, TakesPingsThatKeepTheInterval) {
  PingStrikes strikes(kSecond);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(strikes.OnPing(i * kSecond));
}

TEST(PingStrikes, EndsAtTheThirdStrike) {
  PingStrikes strikes(kSecond);
  EXPECT_TRUE(strikes.OnPing(0));
  EXPECT_TRUE(strikes.OnPing(1));
  EXPECT_TRUE(strikes.OnPing(kSecond));  // Less than the interval after the one before.
  EXPECT_FALSE(strikes.OnPing(kSecond + 2));
}

TEST(PingStrikes, ForgetsThemWhenSomethingIsSent) {
  PingStrikes strikes(kSecond);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(strikes.OnPing(3 * i));
    EXPECT_TRUE(strikes.OnPing(3 * i + 1));
    EXPECT_TRUE(strikes.OnPing(3 * i + 2));
    strikes.OnSent();
  }
}

TEST(PingStrikes, WithoutAnIntervalTakesAll) {
  PingStrikes strikes(0);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(strikes.OnPing(0));
}

// How many of these frames a new flood meter takes.
int Taken(uint8_t type, uint8_t flags, uint32_t length) {
  const FakeClock clock;
  FrameFlood flood(&clock);
  int taken = 0;
  while (taken < 100'000 && flood.OnFrame(type, flags, length)) ++taken;
  return taken;
}

TEST(FrameFlood, EndsFramesThatCarryNothing) {
  EXPECT_EQ(Taken(kSettings, 0, 0), 10000);
  EXPECT_EQ(Taken(kPing, 0, 8), 10000);
  EXPECT_EQ(Taken(kPriority, 0, 5), 10000);
  EXPECT_EQ(Taken(kWindowUpdate, 0, 4), 10000);
  EXPECT_EQ(Taken(kContinuation, 0, 1), 10000);
  EXPECT_EQ(Taken(kUnknown, 0, 1), 10000);
  EXPECT_EQ(Taken(kData, 0, 0), 10000);
  EXPECT_EQ(Taken(kData, kPadded, 200), 10000);
}

TEST(FrameFlood, TakesAllThatDoesWork) {
  EXPECT_EQ(Taken(kData, 0, 1), 100'000);
  EXPECT_EQ(Taken(kData, kEndStream, 0), 100'000);
  EXPECT_EQ(Taken(kHeaders, 0, 10), 100'000);
}

TEST(FrameFlood, LetsWorkEarnWindows) {
  const FakeClock clock;
  FrameFlood flood(&clock);
  for (int i = 0; i < 100'000; ++i) {
    EXPECT_TRUE(flood.OnFrame(kData, 0, 16384));
    for (int windows = 0; windows < 4; ++windows) ASSERT_TRUE(flood.OnFrame(kWindowUpdate, 0, 4));
    flood.OnSent();
    for (int windows = 0; windows < 2; ++windows) ASSERT_TRUE(flood.OnFrame(kWindowUpdate, 0, 4));
  }
}

}  // namespace
}  // namespace maas
