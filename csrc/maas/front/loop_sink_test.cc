#include "maas/front/loop_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "maas/front/front_testing.h"
#include "maas/rpc/message_reader.h"
#include "maas/wire/predict_encoder.h"

// There is a test that asks for more memory than there is.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace maas {
namespace {

using testing::ElementsAre;

std::string MessageOf(const Chunk& answer) {
  return answer.empty() ? "" : std::string(AsText(answer.bytes().subspan(kMessagePrefix)));
}

// Keeps what it is told, by context.
class Listener final : public LoopSink::Waiter {
 public:
  struct Told {
    Status status;
    std::string message;
    bool more = false;
    std::string request;
  };
  void OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool more) override {
    const bool fresh = told.insert({ticket->context,
                                    {status, MessageOf(answer), more, std::string(AsText(ticket->request))}})
                           .second;
    EXPECT_TRUE(fresh) << "an answer came twice";
    order.push_back(ticket->context);
    if (then) then(ticket);
  }

  std::map<void*, Told> told;
  std::vector<void*> order;
  std::function<void(LoopSink::Ticket*)> then;
};

class LoopSinkTest : public testing::Test {
 protected:
  // Contexts are numbers.
  static void* Tag(uintptr_t number) { return reinterpret_cast<void*>(number); }
  Status Submit(uintptr_t number, const std::string& request, int64_t deadline_ns = kNever) {
    Chunk chunk = MakeChunk(request);
    const Status status = model_.sink.Submit({&PredictCodec(), deadline_ns, "", 0, &listener_, Tag(number)},
                                             &chunk, &tickets_[number]);
    EXPECT_EQ(chunk.empty(), status.ok()) << "a request is taken iff it is accepted";
    return status;
  }
  Status SubmitOfGroup(uintptr_t number, const std::string& request, uint64_t group) {
    const auto owner = std::make_shared<const Chunk>(MakeChunk(request));
    return model_.sink.Submit({&PredictStreamCodec(), kNever, "", group, &listener_, Tag(number)}, owner,
                              owner->bytes(), &tickets_[number]);
  }
  Listener::Told& Told(uintptr_t number) { return listener_.told[Tag(number)]; }

  ServedModel model_;
  Listener listener_;
  std::map<uintptr_t, LoopSink::Ticket*> tickets_;
};

TEST_F(LoopSinkTest, AnswersOnTheLoopBehindRoomForThePrefix) {
  ASSERT_TRUE(Submit(1, AskFor(3, "id")).ok());
  model_.RunBatch();
  EXPECT_TRUE(listener_.told.empty()) << "not before the loop's turn";
  model_.Loop();
  ASSERT_TRUE(Told(1).status.ok());
  EXPECT_EQ(Told(1).request, AskFor(3, "id"));
  const DecodedAnswer answer(Told(1).message);
  EXPECT_EQ(answer.id, "id");
  EXPECT_THAT(answer.outputs.at(0).Floats(), ElementsAre(6));
  EXPECT_EQ(model_.sink.under_way(), 0u);
}

TEST_F(LoopSinkTest, TellsTheLoopOncePerBatchAndSaysWhatFollows) {
  for (uintptr_t i = 1; i <= 5; ++i) ASSERT_TRUE(Submit(i, AskFor(static_cast<float>(i))).ok());
  model_.RunBatch();
  EXPECT_EQ(model_.posts(), 1u);
  model_.Loop();
  EXPECT_THAT(listener_.order, ElementsAre(Tag(1), Tag(2), Tag(3), Tag(4), Tag(5)));
  for (uintptr_t i = 1; i <= 5; ++i) EXPECT_EQ(Told(i).more, i < 5);
  EXPECT_EQ(model_.posts(), 0u);
}

TEST_F(LoopSinkTest, OneTurnTellsWhatSeveralBatchesAnswered) {
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  model_.RunBatch();
  ASSERT_TRUE(Submit(2, AskFor(2)).ok());
  model_.RunBatch();
  EXPECT_EQ(model_.posts(), 1u);
  model_.Loop();
  EXPECT_EQ(listener_.told.size(), 2u);
}

TEST_F(LoopSinkTest, TheAnswersOfAGroupShareABuffer) {
  const uint64_t group = model_.sink.NewGroup();
  EXPECT_NE(group, model_.sink.NewGroup());
  for (uintptr_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(SubmitOfGroup(i, AskFor(static_cast<float>(i), std::to_string(i)), group).ok());
  }
  model_.RunAll();
  Fields fields(std::string_view(Told(1).message));
  EXPECT_EQ(fields.texts[1].size(), 3u) << "all entries are in the first one's";
  EXPECT_TRUE(Told(2).status.ok() && Told(2).message.empty());
  EXPECT_TRUE(Told(3).status.ok() && Told(3).message.empty());
}

TEST_F(LoopSinkTest, RefusalsAreReturnedAndLeaveTheRequestAsItWas) {
  Chunk request = MakeChunk(AskFor(1, "", "other"));
  LoopSink::Ticket* ticket = nullptr;
  const Status status =
      model_.sink.Submit({&PredictCodec(), kNever, "", 0, &listener_, nullptr}, &request, &ticket);
  EXPECT_EQ(status.reason(), "MODEL_NOT_FOUND");
  EXPECT_EQ(AsText(request.bytes()), AskFor(1, "", "other"));
  EXPECT_EQ(SubmitOfGroup(1, "\xFF", 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(Submit(2, AskFor(1), model_.clock.Now()).reason(), "EXPIRED_ON_ARRIVAL");
  EXPECT_EQ(model_.sink.under_way(), 0u);
  EXPECT_EQ(model_.posts(), 0u);
}

TEST_F(LoopSinkTest, CountsWhatThereWasNoRoomFor) {
  EXPECT_EQ(Submit(1, AskFor(1, "", "other")).reason(), "MODEL_NOT_FOUND");
  EXPECT_EQ(model_.sink.turned_away(), 0u);
  uintptr_t accepted = 0;
  Status status;
  while ((status = Submit(++accepted, AskFor(1))).ok()) {
  }
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(model_.sink.turned_away(), 1u);
  while (model_.sink.under_way() > 0) {
    model_.RunBatch();
    model_.Loop();
  }
  EXPECT_EQ(listener_.order.size(), accepted - 1);
}

TEST_F(LoopSinkTest, AnAnswerBeyondTheLimitFails) {
  ServedModel model({.max_answer_bytes = 8});
  Chunk request = MakeChunk(AskFor(1));
  LoopSink::Ticket* ticket = nullptr;
  ASSERT_TRUE(
      model.sink.Submit({&PredictCodec(), kNever, "", 0, &listener_, Tag(1)}, &request, &ticket).ok());
  model.RunAll();
  EXPECT_EQ(Told(1).status.code(), Code::kResourceExhausted);
  EXPECT_EQ(Told(1).message, "");
}

TEST_F(LoopSinkTest, AFailedRunIsToldWithTheRequestToTake) {
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  model_.Begin();
  model_.Fail();
  std::string taken;
  listener_.then = [&taken](LoopSink::Ticket* ticket) {
    taken = AsText(LoopSink::TakeRequest(ticket).bytes());
  };
  model_.Loop();
  EXPECT_EQ(Told(1).status.reason(), "RUN_FAILED");
  EXPECT_EQ(taken, AskFor(1));
}

TEST_F(LoopSinkTest, WhatIsCancelledInTheQueueIsGoneAtTheNextTurn) {
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  ASSERT_TRUE(Submit(2, AskFor(2)).ok());
  model_.sink.Cancel(tickets_[1]);
  EXPECT_EQ(model_.waiting(), 1);
  EXPECT_EQ(model_.sink.under_way(), 2u);
  model_.Loop();
  EXPECT_EQ(model_.sink.under_way(), 1u);
  EXPECT_TRUE(listener_.told.empty());
  EXPECT_TRUE(model_.interrupted.empty());
  model_.RunAll();
  EXPECT_THAT(listener_.order, ElementsAre(Tag(2)));
}

TEST_F(LoopSinkTest, ARunThatNobodyWaitsForIsInterruptedAndKeepsItsRequestsUntilItIsOver) {
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  ASSERT_TRUE(Submit(2, AskFor(2)).ok());
  model_.Begin();
  model_.sink.Cancel(tickets_[1]);
  EXPECT_EQ(model_.interrupted.size(), 0u);
  model_.sink.Cancel(tickets_[2]);
  EXPECT_EQ(model_.interrupted.size(), 1u);
  model_.Loop();
  EXPECT_EQ(model_.sink.under_way(), 2u) << "the core still reads their bytes";
  model_.End();
  model_.Loop();
  EXPECT_EQ(model_.sink.under_way(), 0u);
  EXPECT_TRUE(listener_.told.empty());
}

TEST_F(LoopSinkTest, AWaiterCancelsAndSubmitsWhileItIsTold) {
  for (uintptr_t i = 1; i <= 4; ++i) ASSERT_TRUE(Submit(i, AskFor(static_cast<float>(i))).ok());
  listener_.then = [this](LoopSink::Ticket* ticket) {
    if (ticket->context != Tag(1)) return;
    // 2 has its answer ready, right behind this one.
    model_.sink.Cancel(tickets_[2]);
    EXPECT_TRUE(Submit(5, AskFor(5)).ok());
    EXPECT_TRUE(Submit(6, AskFor(6)).ok());
    model_.sink.Cancel(tickets_[6]);
  };
  model_.RunBatch();
  model_.Loop();
  EXPECT_THAT(listener_.order, ElementsAre(Tag(1), Tag(3), Tag(4)));
  model_.RunAll();
  EXPECT_THAT(listener_.order, ElementsAre(Tag(1), Tag(3), Tag(4), Tag(5)));
  EXPECT_THAT(DecodedAnswer(Told(5).message).outputs.at(0).Floats(), ElementsAre(10));
}

TEST_F(LoopSinkTest, AWaiterMayGoWhenItHasCancelledItsOwn) {
  auto going = std::make_unique<Listener>();
  std::vector<LoopSink::Ticket*> tickets(3);
  for (LoopSink::Ticket*& ticket : tickets) {
    Chunk request = MakeChunk(AskFor(1));
    ASSERT_TRUE(
        model_.sink.Submit({&PredictCodec(), kNever, "", 0, going.get(), &ticket}, &request, &ticket).ok());
  }
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  going->then = [this, &going, &tickets](LoopSink::Ticket*) {
    model_.sink.Cancel(tickets[1]);
    model_.sink.Cancel(tickets[2]);
    const auto then = std::move(going->then);  // Outlives what it destroys.
    going.reset();
  };
  model_.RunAll();
  EXPECT_EQ(going, nullptr);
  EXPECT_TRUE(Told(1).status.ok());
}

TEST_F(LoopSinkTest, OnceClosedItRefusesAndCounts) {
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  model_.sink.Close();
  const Status status = Submit(2, AskFor(2));
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.reason(), "DRAINING");
  EXPECT_EQ(SubmitOfGroup(3, AskFor(3), 1).reason(), "DRAINING");
  EXPECT_EQ(model_.sink.refused(), 2u);
  model_.RunAll();
  EXPECT_TRUE(Told(1).status.ok()) << "what was accepted goes on";
}

TEST_F(LoopSinkTest, BytesForWhichThereIsNoMemoryAreNull) {
  Buffer buffers[] = {{nullptr, 10, nullptr}, {nullptr, SIZE_MAX / 2, nullptr}};
  model_.sink.Reserve(buffers);
  EXPECT_NE(buffers[0].data, nullptr);
  EXPECT_EQ(buffers[1].data, nullptr);
  EXPECT_EQ(buffers[1].handle, nullptr);
  const Chunk back = Chunk::Adopt(static_cast<std::byte*>(buffers[0].handle), kMessagePrefix + 10);
  EXPECT_EQ(back.data() + kMessagePrefix, buffers[0].data);
}

TEST_F(LoopSinkTest, TheTimeUntilAnswersAreWrittenIsMeasuredWhereCallersHaveDeadlines) {
  const int64_t at_first = model_.sink.DeliveryNs();
  ASSERT_TRUE(Submit(1, AskFor(1)).ok());
  model_.RunBatch();
  model_.clock.Advance(5'000'000);
  model_.Loop();
  model_.sink.Delivered();
  EXPECT_EQ(model_.sink.DeliveryNs(), at_first) << "nobody has a deadline";

  ASSERT_TRUE(Submit(2, AskFor(2), model_.clock.Now() + 1'000'000'000).ok());
  model_.RunBatch();
  model_.clock.Advance(3'000'000);
  model_.Loop();
  model_.clock.Advance(1'000'000);
  model_.sink.Delivered();
  EXPECT_EQ(model_.sink.DeliveryNs(), at_first + 4'000'000);
  model_.clock.Advance(9'000'000);
  model_.sink.Delivered();
  EXPECT_EQ(model_.sink.DeliveryNs(), at_first + 4'000'000) << "nothing was told since";
}

TEST_F(LoopSinkTest, TheTimeUntilAnswersAreWrittenFollowsAChange) {
  const int64_t at_first = model_.sink.DeliveryNs();
  for (uintptr_t i = 1; i <= 137; ++i) {
    ASSERT_TRUE(Submit(i, AskFor(1), model_.clock.Now() + 1'000'000'000).ok());
    model_.RunBatch();
    model_.clock.Advance(i <= 64 ? 8'000'000 : 2'000'000);
    model_.Loop();
    model_.sink.Delivered();
  }
  EXPECT_EQ(model_.sink.DeliveryNs(), at_first + 2'000'000);
}

// The loop's thread submits and cancels while a runner's answers.
TEST(LoopSinkThreadsTest, EveryRequestIsAnsweredOnceOrCancelled) {
  Mutex mu;
  std::vector<std::function<void()>> posted;
  const auto version = MakeVersion(TwiceSpec(), SteadyClock::Get(), 10'000);
  Engine engine({}, SteadyClock::Get());
  engine.routes().Set("m", RouteTo(version));
  LoopSink sink(
      {}, &engine, SteadyClock::Get(),
      [&](std::function<void()> drain) {
        MutexLock lock(&mu);
        posted.push_back(std::move(drain));
      },
      [](const std::vector<Interrupt>&) {});
  std::thread runner([&version] {
    Instance instance(version);
    while (instance.Next()) {
      RunTwice(instance.plan());
      instance.Finish({RunOutput{}});
      instance.Deliver();
    }
  });

  constexpr uintptr_t kRequests = 3000;
  constexpr size_t kAtOnce = 40;
  Listener listener;
  std::map<void*, LoopSink::Ticket*> open;
  listener.then = [&open](LoopSink::Ticket* ticket) { open.erase(ticket->context); };
  size_t cancelled = 0;
  const auto turn = [&] {
    std::vector<std::function<void()>> work;
    {
      MutexLock lock(&mu);
      work.swap(posted);
    }
    for (auto& each : work) each();
    if (work.empty()) std::this_thread::yield();
  };
  for (uintptr_t i = 1; i <= kRequests; ++i) {
    Chunk request = MakeChunk(AskFor(static_cast<float>(i)));
    void* const tag = reinterpret_cast<void*>(i);
    ASSERT_TRUE(sink.Submit({&PredictCodec(), kNever, "", 0, &listener, tag}, &request, &open[tag]).ok());
    if (i % 7 == 0) {
      sink.Cancel(open.begin()->second);
      open.erase(open.begin());
      ++cancelled;
    }
    while (open.size() >= kAtOnce) turn();
  }
  while (sink.under_way() > 0) turn();
  CloseVersion(version.get());
  runner.join();
  EXPECT_EQ(listener.told.size() + cancelled, kRequests);
  for (const auto& [tag, told] : listener.told) {
    ASSERT_TRUE(told.status.ok());
    EXPECT_THAT(DecodedAnswer(told.message).outputs.at(0).Floats(),
                ElementsAre(2 * static_cast<float>(reinterpret_cast<uintptr_t>(tag))));
  }
}

}  // namespace
}  // namespace maas
