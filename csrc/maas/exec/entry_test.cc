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
  CompleteUnrun(&items, Status(Code::kCancelled, "CANCELLED", "gone"), &VersionCounters::cancelled);
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

TEST(CompleteUnrun, DoesNothingForNobody) {
  std::vector<std::shared_ptr<QueueItem>> none;
  CompleteUnrun(&none, Status(Code::kInternal, "X", "x"), &VersionCounters::failed);
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace maas
