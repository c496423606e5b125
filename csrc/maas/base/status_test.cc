#include "maas/base/status.h"

#include <gtest/gtest.h>

#include <utility>

namespace maas {
namespace {

TEST(Status, IsOkByDefault) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
}

TEST(Status, KeepsCodeReasonAndMessage) {
  const Status status(Code::kUnavailable, "QUEUE_FULL", "the queue of model m is full");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.reason(), "QUEUE_FULL");
  EXPECT_EQ(status.message(), "the queue of model m is full");
  EXPECT_TRUE(status.violations().empty());
  EXPECT_EQ(status.retry_after_ns(), 0);
}

TEST(Status, InvalidNamesTheField) {
  const Status status = Status::Invalid("inputs[0].shape", "expected [?,3], got [2,4]");
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.reason(), "INVALID_REQUEST");
  EXPECT_EQ(status.message(), "inputs[0].shape: expected [?,3], got [2,4]");
  ASSERT_EQ(status.violations().size(), 1u);
  EXPECT_EQ(status.violations()[0].field, "inputs[0].shape");
  EXPECT_EQ(status.violations()[0].description, "expected [?,3], got [2,4]");
}

TEST(Status, InvalidTakesAnotherReason) {
  EXPECT_EQ(Status::Invalid("inputs", "too many", "TOO_MANY_INPUTS").reason(), "TOO_MANY_INPUTS");
}

TEST(Status, SaysWhenToRetry) {
  const Status status = Status(Code::kResourceExhausted, "QUEUE_FULL", "full").WithRetryAfter(5'000'000);
  EXPECT_EQ(status.retry_after_ns(), 5'000'000);
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
}

TEST(Status, CopiesShareOneText) {
  const Status original(Code::kInternal, "RUN_FAILED", "the run failed");
  Status copy;
  copy = original;
  EXPECT_EQ(&copy.message(), &original.message());
}

TEST(Status, OutlivesItsOriginal) {
  Status copy;
  {
    const Status original(Code::kInternal, "RUN_FAILED", "the run failed");
    copy = original;
  }
  EXPECT_EQ(copy.message(), "the run failed");
}

Status Twice(const Status& first, int* reached) {
  MAAS_RETURN_IF_ERROR(first);
  ++*reached;
  MAAS_RETURN_IF_ERROR(Status());
  ++*reached;
  return Status();
}

TEST(Status, ReturnIfErrorReturnsErrorsOnly) {
  int reached = 0;
  EXPECT_TRUE(Twice(Status(), &reached).ok());
  EXPECT_EQ(reached, 2);
  EXPECT_EQ(Twice(Status(Code::kNotFound, "NO_MODEL", "no model"), &reached).code(), Code::kNotFound);
  EXPECT_EQ(reached, 2);
}

TEST(Status, NumbersItsCodesLikeGrpc) {
  EXPECT_EQ(static_cast<int>(Code::kInvalidArgument), 3);
  EXPECT_EQ(static_cast<int>(Code::kDeadlineExceeded), 4);
  EXPECT_EQ(static_cast<int>(Code::kNotFound), 5);
  EXPECT_EQ(static_cast<int>(Code::kResourceExhausted), 8);
  EXPECT_EQ(static_cast<int>(Code::kFailedPrecondition), 9);
  EXPECT_EQ(static_cast<int>(Code::kInternal), 13);
  EXPECT_EQ(static_cast<int>(Code::kUnavailable), 14);
}

}  // namespace
}  // namespace maas
