#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "maas/wire/golden_testing.h"
#include "maas/wire/predict_encoder.h"
#include "maas/wire/utf8.h"

namespace maas {
namespace {

std::string Golden(std::string_view name) {
  return ReadGoldenFile(GoldenFolder("response") / name / "message.bin");
}

TEST(EncodeStatus, CarriesTheReasonAlways) {
  EXPECT_EQ(EncodeStatus(Status(Code::kNotFound, "NOT_FOUND", "no such model")), Golden("status_plain"));
}

TEST(EncodeStatus, CarriesTheFieldsAtFault) {
  EXPECT_EQ(EncodeStatus(Status::Invalid("inputs[0].shape", "expected rank 2, got rank 1")),
            Golden("status_bad_request"));
}

TEST(EncodeStatus, CarriesTheTimeToRetryAndRepairsText) {
  const Status status =
      Status(Code::kResourceExhausted, "OVERLOADED", "full \xff!").WithRetryAfter(2'000'000'005);
  EXPECT_EQ(EncodeStatus(status), Golden("status_retry"));
}

TEST(EncodeStreamError, AnswersARequestWithoutId) {
  const std::string entry = EncodeStreamError("", Status(Code::kInternal, "INTERNAL", "x"));
  // answers { error { code: 13 ...
  EXPECT_EQ(entry[0], '\x0a');
  EXPECT_EQ(entry.substr(2, 1), "\x1a");
  EXPECT_EQ(entry.substr(4, 2), "\x08\x0d");
}

TEST(EncodeStreamError, IsWholeUtf8InItsTextsWhateverTheMessageWas) {
  const std::string broken(300, '\xff');
  const std::string entry = EncodeStreamError("r", Status::Invalid(broken, broken, broken));
  EXPECT_EQ(entry.find('\xff'), std::string::npos);
  EXPECT_NE(entry.find(ToUtf8(broken)), std::string::npos);
}

}  // namespace
}  // namespace maas
