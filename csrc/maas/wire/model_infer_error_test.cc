#include "maas/wire/model_infer_error.h"

#include <gtest/gtest.h>

#include "maas/wire/message_builder_testing.h"

namespace maas {
namespace {

MessageBuilder Request(std::string_view model, std::string_view version, std::string_view id) {
  return MessageBuilder().Bytes(1, model).Bytes(2, version).Bytes(3, id);
}

TEST(ModelInferErrorTest, WhatDoesNotServeIsToldInTritonsWords) {
  struct Row {
    const char* reason;
    const char* version;
    const char* phrase;
  };
  const Row rows[] = {
      {"MODEL_NOT_FOUND", "", "Request for unknown model: 'm' is not found"},
      {"MODEL_NOT_FOUND", "3", "Request for unknown model: 'm' is not found"},
      {"VERSION_NOT_FOUND", "3", "Request for unknown model: 'm' version 3 is not found"},
      {"VERSION_NOT_FOUND", "", ""},
      {"LABEL_NOT_FOUND", "prod", "Request for unknown model: 'm' version prod is not found"},
      {"NO_VERSION_AVAILABLE", "", "Request for unknown model: 'm' has no available versions"},
      {"VERSION_NOT_AVAILABLE", "3", "Request for unknown model: 'm' version 3 is not at ready state"},
      {"VERSION_NOT_AVAILABLE", "", ""},
      {"QUEUE_FULL", "3", ""},
      {"", "", ""},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(TritonPhrase(row.reason, "m", row.version), row.phrase) << row.reason;
  }
}

TEST(ModelInferErrorTest, OnlyWhatDoesNotServeIsNotServing) {
  EXPECT_TRUE(IsNotServing("LABEL_NOT_FOUND"));
  EXPECT_TRUE(IsNotServing("VERSION_NOT_AVAILABLE"));
  EXPECT_EQ(NotServingReasons().size(), 5u);
  for (const std::string_view reason : NotServingReasons()) EXPECT_TRUE(IsNotServing(reason)) << reason;
  EXPECT_FALSE(IsNotServing("QUEUE_FULL"));
  EXPECT_FALSE(IsNotServing(""));
}

TEST(ModelInferErrorTest, ThePhraseComesFirstAndTheRestStays) {
  const Status given = Status(Code::kUnavailable, "NO_VERSION_AVAILABLE", "ours").WithRetryAfter(7);
  const Status status = WithTritonPhrase(given, {"m", "", ""});
  EXPECT_EQ(status.message(), "Request for unknown model: 'm' has no available versions: ours");
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.reason(), "NO_VERSION_AVAILABLE");
  EXPECT_EQ(status.retry_after_ns(), 7);
  const Status other = Status::Invalid("inputs", "expected some");
  EXPECT_EQ(WithTritonPhrase(other, {"m", "1", ""}).violations().size(), 1u);
}

TEST(ModelInferErrorTest, TheLastOfANameCounts) {
  const MessageBuilder message =
      Request("a", "1", "x").Bytes(5, "a tensor").Number(9, 4).Bytes(1, "b").Bytes(3, "y");
  const ModelInferNames names = PeekModelInferNames(message.bytes());
  EXPECT_EQ(names.model, "b");
  EXPECT_EQ(names.version, "1");
  EXPECT_EQ(names.id, "y");
}

TEST(ModelInferErrorTest, ARequestThatIsNoneHasNoNames) {
  for (const std::string& damaged :
       {Request("m", "1", "x").str() + '\xFF', Request("m", "1", "x").str() + "\x2A\x05",
        Request("m\xFF", "1", "x").str(), Request("m", "1", "\xC0\x80").str(), std::string("\x07")}) {
    const ModelInferNames names = PeekModelInferNames(AsBytes(damaged));
    EXPECT_EQ(names.model, "");
    EXPECT_EQ(names.version, "");
    EXPECT_EQ(names.id, "");
  }
}

// A ModelStreamInferResponse whose answer has `names`.
std::string ErrorMessage(std::string_view text, const MessageBuilder& names) {
  const MessageBuilder last =
      MessageBuilder().Bytes(1, "triton_final_response").Message(2, MessageBuilder().Number(1, 1));
  return MessageBuilder().Bytes(1, text).Message(2, MessageBuilder(names).Message(4, last)).str();
}

TEST(ModelInferErrorTest, AnErrorOfAStreamNamesItsRequestAndIsTheLastAnswer) {
  const Status status(Code::kInternal, "RUN_FAILED", "it broke");
  EXPECT_EQ(EncodeModelStreamInferError(status, {"m", "1", "id"}),
            ErrorMessage("it broke", Request("m", "1", "id")));
  EXPECT_EQ(EncodeModelStreamInferError(status, {}), ErrorMessage("it broke", {}));
}

TEST(ModelInferErrorTest, NamesTooLongToBeRightAreLeftOutAndTextIsMadeUtf8) {
  std::string wide;
  for (int i = 0; i < 256; ++i) wide += "\xC3\xA4";
  const std::string longer(257, 'v');
  const Status status(Code::kInternal, "RUN_FAILED", "broke\xFF");
  EXPECT_EQ(EncodeModelStreamInferError(status, {wide, longer, std::string(1 << 20, 'i')}),
            ErrorMessage("broke\xEF\xBF\xBD", MessageBuilder().Bytes(1, wide)))
      << "characters count, not bytes";
}

}  // namespace
}  // namespace maas
