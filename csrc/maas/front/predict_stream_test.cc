#include "maas/front/predict_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/front/served_calls_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;

// A PredictStreamRequest.
std::string Message(std::initializer_list<std::string> requests) {
  MessageBuilder message;
  for (const std::string& request : requests) message.Bytes(1, request);
  return message.str();
}

// Ids of the answers in a PredictStreamResponse, those that failed with a '!' before.
std::vector<std::string> IdsOf(std::string_view message) {
  std::vector<std::string> ids;
  Fields fields(message);
  for (std::string_view entry : fields.texts[1]) {
    Fields answer(entry);
    ids.push_back((answer.texts[3].empty() ? "" : "!") + answer.Text(1));
  }
  return ids;
}

class PredictStreamTest : public ServedCalls {
 protected:
  // Of all messages so far.
  static std::vector<std::string> IdsOf(const Call& call) {
    std::vector<std::string> ids;
    for (const std::string& message : call.messages) {
      for (std::string& id : maas::IdsOf(message)) ids.push_back(std::move(id));
    }
    return ids;
  }
};

TEST_F(PredictStreamTest, RequestsOfOneBatchAreAnsweredByOneMessage) {
  Call* call = client_.Stream(kPredictStream);
  client_.Send(call, Message({AskFor(1, "a"), AskFor(2, "b")}));
  client_.Send(call, Message({AskFor(3, "c")}));
  RunAll();
  ASSERT_EQ(call->messages.size(), 1u);
  EXPECT_THAT(IdsOf(*call), ElementsAre("a", "b", "c"));
  Fields fields{std::string_view(call->messages[0])};
  Fields third(fields.texts[1].at(2));
  EXPECT_THAT(DecodedAnswer(third.Text(2)).outputs.at(0).Floats(), ElementsAre(6));
  client_.HalfClose(call);
  EXPECT_EQ(call->status(), 0);
}

TEST_F(PredictStreamTest, ARefusedRequestIsAnsweredAtOnceAndAlone) {
  Call* call = client_.Stream(kPredictStream);
  client_.Send(call, Message({AskFor(1, "a"), AskFor(2, "b", "other"), "\xFF", AskFor(4, "d", "other")}));
  ASSERT_EQ(call->messages.size(), 1u) << "refusals of one message are one";
  EXPECT_THAT(IdsOf(*call), ElementsAre("!b", "!", "!d"));
  RunAll();
  EXPECT_THAT(IdsOf(*call), ElementsAre("!b", "!", "!d", "a"));
  EXPECT_EQ(call->status(), -1);
}

TEST_F(PredictStreamTest, FailuresOfOneBatchAreAnsweredByOneMessage) {
  Call* call = client_.Stream(kPredictStream);
  Call* other = client_.Stream(kPredictStream);
  client_.Send(call, Message({AskFor(1, "a"), AskFor(2, "b")}));
  client_.Send(other, Message({AskFor(1, "x")}));
  client_.Send(call, Message({AskFor(3, "c")}));
  Abort(Status(Code::kUnavailable, "GONE", "unloaded"));
  EXPECT_EQ(call->messages.size(), 2u) << "those behind the other's answer are told apart";
  EXPECT_THAT(IdsOf(*call), ElementsAre("!a", "!b", "!c"));
  EXPECT_THAT(IdsOf(*other), ElementsAre("!x"));
  const Status gone(Code::kUnavailable, "GONE", "unloaded");
  EXPECT_EQ(other->messages[0], EncodeStreamError("x", gone));
}

TEST_F(PredictStreamTest, AMessageThatIsNoneEndsTheStreamWhenAllIsAnswered) {
  Call* call = client_.Stream(kPredictStream);
  client_.Send(call, Message({AskFor(1, "a")}));
  client_.Send(call, "\xFF");
  client_.Send(call, Message({AskFor(2, "b")}));
  EXPECT_EQ(call->status(), -1);
  EXPECT_EQ(model_.waiting(), 1) << "what follows is not read";
  RunAll();
  EXPECT_THAT(IdsOf(*call), ElementsAre("a"));
  EXPECT_EQ(call->status(), static_cast<int>(Code::kInvalidArgument));
  EXPECT_NE(call->details(), "");
}

TEST_F(PredictStreamTest, CancellingAStreamCancelsItsOwnRequestsOnly) {
  Call* call = client_.Stream(kPredictStream);
  Call* other = client_.Stream(kPredictStream);
  client_.Send(call, Message({AskFor(1), AskFor(2), AskFor(3)}));
  client_.Send(other, Message({AskFor(4, "x")}));
  client_.Send(call, Message({AskFor(5)}));
  ExpectCancelledAlone(call, 1);
  EXPECT_THAT(IdsOf(*other), ElementsAre("x"));
}

TEST_F(PredictStreamTest, CancellingAStreamInTheMiddleOfARunInterruptsIt) {
  Call* call = client_.Stream(kPredictStream);
  client_.Send(call, Message({AskFor(1), AskFor(2)}));
  ExpectInterrupted(call);
}

TEST_F(PredictStreamTest, AStreamIsReadNoFurtherWhileMuchIsUnderWay) {
  Call* call = client_.Stream(kPredictStream);
  MessageBuilder message;
  for (int i = 0; i < 1000; ++i) message.Bytes(1, AskFor(1));
  for (int i = 0; i < 9; ++i) client_.Send(call, message.str());
  EXPECT_EQ(model_.waiting(), 5000) << "beyond 4096 by the message that passes it";
  for (int i = 0; i < 113; ++i) model_.RunBatch();
  Loop();
  EXPECT_EQ(model_.waiting(), 4096);
  model_.RunBatch();
  Loop();
  EXPECT_EQ(model_.waiting(), 5088);
  client_.HalfClose(call);
  RunAll();
  EXPECT_EQ(IdsOf(*call).size(), 9000u);
  EXPECT_EQ(call->status(), 0);
}

TEST_F(PredictStreamTest, AStreamIsReadNoFurtherWhileItsAnswersAreNotRead) {
  model_.sink.Close();  // Answers everything at once, and counts.
  Call* call = client_.Stream(kPredictStream, {}, false);
  MessageBuilder message;
  for (int i = 0; i < 1000; ++i) message.Bytes(1, AskFor(1, std::string(250, 'i')));
  for (int i = 0; i < 60; ++i) client_.Send(call, message.str());
  const size_t answer =
      EncodeStreamError(std::string(250, 'i'), Status(Code::kUnavailable, "DRAINING", "the server stops"))
          .size();
  const uint64_t most = AnswerStream::kMaxUnsentBytes / answer;
  EXPECT_GE(model_.sink.refused(), most);
  EXPECT_LE(model_.sink.refused(), most + 4000) << "what the client's window takes comes on top";
}

}  // namespace
}  // namespace maas
