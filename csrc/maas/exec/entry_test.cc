#include "maas/exec/entry.h"

#include <gtest/gtest.h>

#include "maas/exec/exec_testing.h"

namespace maas {
namespace {

TEST(CompleteUnrun, TellsEachSinkOnceWithTheStatusAndCounts) {
  FakeClock clock(1'000'000'000);
  const auto version = MakeVersion(MakeSpec({MakeInput("x", DataType::kFp32, {-1})}), &clock);
  CollectingSink first;
  CollectingSink second;
  const auto request = RequestFor(TensorMessage("x", 12, {1}, BytesOf({1.0F})));
  std::vector<std::unique_ptr<Call>> calls;
  std::vector<std::shared_ptr<QueueItem>> items;
  for (CollectingSink* sink : {&first, &first, &second}) {
    calls.push_back(Send(version, sink, request));
    items.push_back(calls.back()->entry);
  }
  CompleteUnrun(&items, Status(Code::kCancelled, "CANCELLED", "gone"), Outcome::kCancelled);
  EXPECT_TRUE(items.empty());
  EXPECT_EQ(first.calls(), 1);
  EXPECT_EQ(second.calls(), 1);
  EXPECT_EQ(first.total() + second.total(), 3);
  for (size_t i = 0; i < calls.size(); ++i) {
    const auto done = (i < 2 ? first : second).Of(calls[i].get());
    EXPECT_EQ(done.completions, 1);
    EXPECT_EQ(done.status.code(), Code::kCancelled);
    EXPECT_FALSE(done.carries);
  }
  EXPECT_EQ(version->counters.cancelled.load(), 3u);
  EXPECT_EQ(version->counters.failed.load(), 0u);
}

TEST(CompleteUnrun, SumsTheTimeSinceAcceptanceByOutcome) {
  FakeClock clock(1'000'000'000);
  const auto version = MakeVersion(MakeSpec({MakeInput("x", DataType::kFp32, {-1})}), &clock);
  CollectingSink sink;
  const auto request = RequestFor(TensorMessage("x", 12, {1}, BytesOf({1.0F})));
  std::vector<std::unique_ptr<Call>> calls;
  std::vector<std::shared_ptr<QueueItem>> items;
  for (int i = 0; i < 2; ++i) {
    calls.push_back(Send(version, &sink, request));
    items.push_back(calls.back()->entry);
    clock.Advance(100);
  }
  CompleteUnrun(&items, Status(Code::kInternal, "X", "x"), Outcome::kFailed);
  EXPECT_EQ(version->counters.failed_ns.load(), 300u);
  EXPECT_EQ(version->counters.cancelled_ns.load(), 0u);
}

TEST(CompleteDropped, TellsAnExpiredRequestFromOneThatThePolicyTookOut) {
  FakeClock clock(1'000'000'000);
  const ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, {-1})});
  BatchQueue::Options options;
  options.priorities.policy.default_timeout_ns = 100;
  const auto version = std::make_shared<Version>(spec, options, &clock);
  CollectingSink sink;
  std::vector<std::shared_ptr<Entry>> entries;
  for (int64_t deadline : {int64_t{50}, kNever, int64_t{60}, kNever}) {
    auto entry = std::make_shared<Entry>();
    entry->version = version;
    entry->reply = {&sink, entry.get(), 0};
    entry->accepted_ns = clock.Now();
    entry->deadline_ns = deadline == kNever ? kNever : clock.Now() + deadline;
    ASSERT_EQ(version->queue.Push(entry), PushResult::kOk);
    entries.push_back(std::move(entry));
  }
  version->queue.SeedRun(1, 5'000'000);
  std::vector<std::shared_ptr<QueueItem>> dead;
  version->queue.TakeExpired(clock.Now() + 100, &dead);
  CompleteDropped(&dead);
  EXPECT_TRUE(dead.empty());
  EXPECT_EQ(sink.total(), 4);
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto done = sink.Of(entries[i].get());
    EXPECT_EQ(done.completions, 1);
    EXPECT_EQ(done.status.reason(), i % 2 == 0 ? "EXPIRED_IN_QUEUE" : "QUEUE_TIMEOUT");
    EXPECT_EQ(done.status.code(), i % 2 == 0 ? Code::kDeadlineExceeded : Code::kUnavailable);
    EXPECT_EQ(done.status.retry_after_ns() > 0, i % 2 != 0);
  }
  EXPECT_EQ(version->counters.expired.load(), 4u);
  EXPECT_EQ(version->counters.timed_out.load(), 2u);
  version->queue.TakeAll(&dead);  // The dead in a lane and their version hold each other.
}

TEST(CompleteUnrun, DoesNothingForNobody) {
  std::vector<std::shared_ptr<QueueItem>> none;
  CompleteUnrun(&none, Status(Code::kInternal, "X", "x"), Outcome::kFailed);
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace maas
