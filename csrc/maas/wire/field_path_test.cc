#include "maas/wire/field_path.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

TEST(FieldPath, JoinsMembersAndIndices) {
  const FieldPath inputs{nullptr, "inputs", 1};
  const FieldPath quantization{&inputs, "quantization"};
  const FieldPath scale{&quantization, "scales", 0};
  EXPECT_EQ(ToString(nullptr), "");
  EXPECT_EQ(ToString(&inputs), "inputs[1]");
  EXPECT_EQ(ToString(&scale), "inputs[1].quantization.scales[0]");
}

TEST(FieldPath, StandsInTheMessageAndTheViolation) {
  const FieldPath inputs{nullptr, "inputs", 1};
  const Status status = InvalidField(&inputs, "shape", "expected 3, got 4", 2);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.message(), "inputs[1].shape[2]: expected 3, got 4");
  ASSERT_EQ(status.violations().size(), 1U);
  EXPECT_EQ(status.violations()[0].field, "inputs[1].shape[2]");
  EXPECT_EQ(status.violations()[0].description, "expected 3, got 4");
}

}  // namespace
}  // namespace maas
