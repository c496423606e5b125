#include "maas/model/bind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "maas/model/bind_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr auto kFp32 = DataType::kFp32;
constexpr auto kInt64 = DataType::kInt64;

ModelSpec TwoInputs() {
  return MakeSpec({MakeInput("x", kFp32, {-1, 16}), MakeInput("n", kInt64, {-1})},
                  {MakeOutput("y", kFp32, {-1, 4}), MakeOutput("label", kInt64, {-1})});
}

ModelSpec Padded(AutoFill mask = AutoFill::kMask) {
  InputSpec length = MakeInput("length", kInt64, {-1});
  length.pad_group = 0;
  length.auto_fill = AutoFill::kLength;
  ModelSpec spec = MakeSpec({MakePadded("ids"), MakePadded("mask", mask), std::move(length)});
  spec.pad_groups = {{{16, 32, 128}}};
  return spec;
}

TEST(BindRequest, PutsInputsIntoTheOrderOfTheSpec) {
  BoundRequest bound;
  TestRequest request;
  request.Add("n", kInt64, {2}).Add("x", kFp32, {2, 16});
  ASSERT_EQ(request.Bind(TwoInputs(), &bound), "");
  ASSERT_THAT(bound.inputs, SizeIs(2));
  EXPECT_EQ(bound.inputs[0].dims, Dims({2, 16}));
  EXPECT_EQ(bound.inputs[0].data.size(), 128U);
  EXPECT_EQ(bound.inputs[0].wire_type, kFp32);
  EXPECT_FALSE(bound.inputs[0].absent);
  EXPECT_EQ(bound.inputs[0].quantization, nullptr);
  EXPECT_EQ(bound.inputs[1].dims, Dims({2}));
  EXPECT_EQ(bound.rows, 2);
  EXPECT_EQ(bound.lane_key, "");
  EXPECT_FALSE(bound.solo);
}

TEST(BindRequest, LeavesNothingOfTheRequestBefore) {
  BoundRequest bound;
  TestRequest first;
  first.Add("ids", kInt64, {2, 20}).Add("mask", kInt64, {2, 20}).Want("y");
  ASSERT_EQ(first.Bind(Padded(), &bound), "");
  TestRequest second;
  second.Add("ids", kInt64, {1, 5});
  ASSERT_EQ(second.Bind(Padded(), &bound), "");
  EXPECT_TRUE(bound.inputs[1].absent);
  EXPECT_TRUE(bound.inputs[1].data.empty());
  EXPECT_EQ(bound.rows, 1);
  EXPECT_THAT(bound.lengths, ElementsAre(5));
  EXPECT_THAT(bound.padded, ElementsAre(16));
  EXPECT_THAT(bound.outputs, SizeIs(1));
}

TEST(BindRequest, RefusesUnknownDuplicateAndMissingInputs) {
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, 16}).Add("z", kFp32, {1}).Bind(TwoInputs()),
            "inputs[1].name: expected 'x' or 'n', got 'z'");
  EXPECT_EQ(TestRequest().Add("", kFp32, {1, 16}).Bind(TwoInputs()),
            "inputs[0].name: expected 'x' or 'n', got ''");
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, 16}).Add("x", kFp32, {1, 16}).Bind(TwoInputs()),
            "inputs[1].name: expected each input once, got 'x' again");
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, 16}).Bind(TwoInputs()),
            "inputs: expected input 'n' (INT64 [-1]), got none of that name");
}

TEST(BindRequest, NamesNoMoreInputsThanAHeaderHolds) {
  ModelSpec spec = MakeSpec({});
  for (int i = 0; i < 60; ++i)
    spec.inputs.push_back(MakeInput("input_number_" + std::to_string(i), kFp32, {-1}));
  const std::string message = TestRequest().Add("z", kFp32, {1}).Bind(spec);
  EXPECT_THAT(message, HasSubstr("expected 'input_number_0', 'input_number_1', "));
  EXPECT_THAT(message, HasSubstr(", ..., got 'z'"));
  EXPECT_LT(message.size(), 400U);
}

TEST(BindRequest, RefusesAnotherDatatype) {
  EXPECT_EQ(TestRequest().Add("x", DataType::kFp64, {1, 16}).Bind(TwoInputs()),
            "inputs[0].datatype: expected FP32 for input 'x' (FP32 [-1,16]), got FP64");
  EXPECT_EQ(TestRequest().Add("n", DataType::kInt8, {1}).Bind(TwoInputs()),
            "inputs[0].datatype: expected INT64 for input 'n' (INT64 [-1]), got INT8");
  EXPECT_EQ(
      TestRequest().Add("x", DataType::kUint8, {1, 16}).Bind(TwoInputs()),
      "inputs[0].datatype: expected FP32, or INT8 or UINT8 with quantization, for input 'x' (FP32 [-1,16]), "
      "got UINT8");
  EXPECT_EQ(TestRequest().Add("x", DataType::kUnspecified, {1, 16}, "").Bind(TwoInputs()),
            "inputs[0].datatype: expected FP32 for input 'x' (FP32 [-1,16]), got DATA_TYPE_UNSPECIFIED");
}

TEST(BindRequest, RefusesAnotherRankOrFixedDimension) {
  EXPECT_EQ(TestRequest().Add("x", kFp32, {16}).Bind(TwoInputs()),
            "inputs[0].shape: expected rank 2 for input 'x' (FP32 [-1,16]), got rank 1 [16]");
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, 15}).Bind(TwoInputs()),
            "inputs[0].shape[1]: expected 16 in input 'x' (FP32 [-1,16]), got 15");
}

TEST(BindRequest, RefusesNegativeSizesAndTakesZeroWhereSizesVary) {
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1})});
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, -4}, "").Bind(spec),
            "inputs[0].shape[1]: expected 0 or more in input 'x' (FP32 [-1,-1]), got -4");
  BoundRequest bound;
  EXPECT_EQ(TestRequest().Add("x", kFp32, {3, 0}).Bind(spec, &bound), "");
  EXPECT_EQ(bound.rows, 3);
}

TEST(BindRequest, RefusesNoRowsAndTooManyRows) {
  const auto bind = [](int64_t rows) { return TestRequest().Add("n", kInt64, {rows}).Bind(TwoInputs()); };
  EXPECT_EQ(bind(0), "inputs[0].shape[0]: expected at least 1 row in input 'n' (INT64 [-1]), got 0");
  EXPECT_EQ(bind(65), "inputs[0].shape[0]: expected at most 64 rows in input 'n' (INT64 [-1]), got 65");
  EXPECT_EQ(bind(64), "inputs: expected input 'x' (FP32 [-1,16]), got none of that name");
}

TEST(BindRequest, RefusesInputsThatDisagreeOnTheirRows) {
  EXPECT_EQ(
      TestRequest().Add("x", kFp32, {2, 16}).Add("n", kInt64, {3}).Bind(TwoInputs()),
      "inputs[1].shape[0]: expected 2 rows as in the inputs before it in input 'n' (INT64 [-1]), got 3");
  EXPECT_EQ(
      TestRequest().Add("x", kFp32, {2, 16}).Add("n", kInt64, {0}).Bind(TwoInputs()),
      "inputs[1].shape[0]: expected 2 rows as in the inputs before it in input 'n' (INT64 [-1]), got 0");
}

TEST(BindRequest, CountsRowsAlongTheBatchAxisWhereverItIs) {
  BoundRequest bound;
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {3, -1}, 1)});
  ASSERT_EQ(TestRequest().Add("x", kFp32, {3, 7}).Bind(spec, &bound), "");
  EXPECT_EQ(bound.rows, 7);
}

TEST(BindRequest, CountsOneRowWithoutABatchAxis) {
  BoundRequest bound;
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {5}, -1)});
  ASSERT_EQ(TestRequest().Add("x", kFp32, {5}).Bind(spec, &bound), "");
  EXPECT_EQ(bound.rows, 1);
}

TEST(BindRequest, RefusesAnotherByteCount) {
  EXPECT_EQ(TestRequest().Add("x", kFp32, {2, 16}, std::string(127, 'x')).Bind(TwoInputs()),
            "inputs[0].data: expected 128 bytes for 'x' (FP32 [2,16]), got 127");
  EXPECT_EQ(TestRequest().Add("x", kFp32, {2, 16}, "").Bind(TwoInputs()),
            "inputs[0].data: expected 128 bytes for 'x' (FP32 [2,16]), got 0");
}

TEST(BindRequest, RefusesShapesBeyondTheMostElements) {
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1, -1})});
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, int64_t{1} << 40, 2}, "").Bind(spec),
            "inputs[0].shape: expected at most 1099511627776 elements, got [1,1099511627776,2]");
  EXPECT_EQ(TestRequest().Add("x", kFp32, {1, INT64_MAX, INT64_MAX}, "").Bind(spec),
            "inputs[0].shape: expected at most 1099511627776 elements, got "
            "[1,9223372036854775807,9223372036854775807]");
}

TEST(BindRequest, ChecksTheLengthOfEveryString) {
  using namespace std::string_literals;
  const ModelSpec spec = MakeSpec({MakeInput("s", DataType::kBytes, {-1})});
  const auto bind = [&spec](int64_t count, std::string data) {
    return TestRequest().Add("s", DataType::kBytes, {count}, std::move(data)).Bind(spec);
  };
  EXPECT_EQ(bind(2, "\3\0\0\0abc\0\0\0\0"s), "");
  EXPECT_EQ(
      bind(2, "\3\0\0\0abc\0\0\0"s),
      "inputs[0].data: expected 2 elements of BYTES, got the end of the data in the length of element 1");
  EXPECT_EQ(bind(1, "\4\0\0\0abc"s), "inputs[0].data: expected 4 bytes in element 0 of BYTES, got 3");
  EXPECT_EQ(bind(1,
                 "\xff\xff\xff\xff"s
                 "abc"),
            "inputs[0].data: expected 4294967295 bytes in element 0 of BYTES, got 3");
  EXPECT_EQ(bind(1, "\3\0\0\0abc\0\0\0\0"s),
            "inputs[0].data: expected 7 bytes for 1 elements of BYTES, got 11");
}

TEST(BindRequest, RoundsLengthsUpToABucket) {
  const auto padded = [](int64_t length) {
    BoundRequest bound;
    EXPECT_EQ(TestRequest().Add("ids", kInt64, {1, length}).Bind(Padded(), &bound), "");
    EXPECT_THAT(bound.lengths, ElementsAre(length));
    return bound.padded.at(0);
  };
  EXPECT_EQ(padded(0), 16);
  EXPECT_EQ(padded(16), 16);
  EXPECT_EQ(padded(17), 32);
  EXPECT_EQ(padded(128), 128);
  EXPECT_EQ(TestRequest().Add("ids", kInt64, {1, 129}).Bind(Padded()),
            "inputs[0].shape[1]: expected at most 128 in input 'ids' (INT64 [-1,-1]), got 129");
}

TEST(BindRequest, RefusesInputsThatDisagreeOnTheirLength) {
  EXPECT_EQ(
      TestRequest().Add("ids", kInt64, {1, 5}).Add("mask", kInt64, {1, 6}).Bind(Padded()),
      "inputs[1].shape[1]: expected 5 as in the inputs before it in input 'mask' (INT64 [-1,-1]), got 6");
}

TEST(BindRequest, TakesAnInputThatTheServerWouldFillAsItIsSent) {
  BoundRequest bound;
  TestRequest request;
  request.Add("length", kInt64, {1}).Add("mask", kInt64, {1, 5}).Add("ids", kInt64, {1, 5});
  ASSERT_EQ(request.Bind(Padded(), &bound), "");
  EXPECT_FALSE(bound.inputs[1].absent);
  EXPECT_EQ(bound.inputs[1].dims, Dims({1, 5}));
  EXPECT_FALSE(bound.inputs[2].absent);
  EXPECT_THAT(bound.lengths, ElementsAre(5));
}

TEST(BindRequest, NeedsSomeInputToTakeALengthFrom) {
  EXPECT_EQ(TestRequest().Add("mask", kInt64, {1, 5}).Bind(Padded(AutoFill::kNone)),
            "inputs: expected input 'ids' (INT64 [-1,-1]), got none of that name");
  ModelSpec only_filled = MakeSpec({MakePadded("mask", AutoFill::kMask)});
  only_filled.pad_groups = {{{16}}};
  EXPECT_EQ(TestRequest().Bind(only_filled),
            "inputs: expected an input to take the length of pad group 0 from, got none");
}

TEST(BindRequest, AnswersAllOutputsWhenNoneIsNamed) {
  BoundRequest bound;
  TestRequest request;
  request.Add("x", kFp32, {1, 16}).Add("n", kInt64, {1});
  ASSERT_EQ(request.Bind(TwoInputs(), &bound), "");
  ASSERT_THAT(bound.outputs, SizeIs(2));
  EXPECT_EQ(bound.outputs[0].index, 0);
  EXPECT_EQ(bound.outputs[1].index, 1);
  EXPECT_EQ(bound.outputs[0].quantize, nullptr);
}

TEST(BindRequest, AnswersOutputsInTheOrderAskedFor) {
  BoundRequest bound;
  TestRequest request;
  request.Add("x", kFp32, {1, 16}).Add("n", kInt64, {1}).Want("label").Want("y");
  ASSERT_EQ(request.Bind(TwoInputs(), &bound), "");
  ASSERT_THAT(bound.outputs, SizeIs(2));
  EXPECT_EQ(bound.outputs[0].index, 1);
  EXPECT_EQ(bound.outputs[1].index, 0);
}

TEST(BindRequest, RefusesUnknownAndDuplicateOutputs) {
  const auto request = [] {
    TestRequest r;
    r.Add("x", kFp32, {1, 16}).Add("n", kInt64, {1});
    return r;
  };
  EXPECT_EQ(request().Want("y").Want("z").Bind(TwoInputs()),
            "outputs[1].name: expected 'y' or 'label', got 'z'");
  EXPECT_EQ(request().Want("y").Want("y").Bind(TwoInputs()),
            "outputs[1].name: expected each output once, got 'y' again");
}

// Clients see x as [-1,2,3], the model as [-1,6].
ModelSpec Reshaped() {
  InputSpec x = MakeInput("x", kFp32, {-1, 6});
  x.wire_dims = {-1, 2, 3};
  OutputSpec y = MakeOutput("y", kFp32, {-1, 4});
  y.wire_dims = {-1, 4, 1};
  return MakeSpec({std::move(x)}, {std::move(y)});
}

TEST(BindRequest, GivesTheModelItsOwnShape) {
  BoundRequest bound;
  TestRequest request;
  request.Add("x", kFp32, {5, 2, 3});
  ASSERT_EQ(request.Bind(Reshaped(), &bound), "");
  EXPECT_EQ(bound.inputs[0].dims, Dims({5, 6}));
  EXPECT_EQ(bound.inputs[0].data.size(), 120U);
  EXPECT_EQ(bound.rows, 5);

  ModelSpec scalar = MakeSpec({MakeInput("x", kFp32, {}, -1)});
  scalar.inputs[0].wire_dims = {1};
  TestRequest one;
  one.Add("x", kFp32, {1});
  ASSERT_EQ(one.Bind(scalar, &bound), "");
  EXPECT_EQ(bound.inputs[0].dims, Dims());
}

TEST(BindRequest, ChecksAgainstTheShapeThatClientsSee) {
  const auto refused = [](const Dims& shape) {
    TestRequest request;
    request.Add("x", kFp32, shape);
    return request.Bind(Reshaped());
  };
  EXPECT_THAT(refused({5, 6}), HasSubstr("expected rank 3 for input 'x' (FP32 [-1,2,3]), got rank 2 [5,6]"));
  EXPECT_THAT(refused({5, 3, 2}), HasSubstr("expected 2 in input 'x' (FP32 [-1,2,3]), got 3"));
  EXPECT_THAT(refused({0, 2, 3}), HasSubstr("expected at least 1 row"));

  ModelSpec second = MakeSpec({MakeInput("x", kFp32, {2, -1, -1}, 2)});
  second.inputs[0].wire_dims = {-1, 2, 1, -1};
  second.inputs[0].dims = {-1, 2, -1};
  TestRequest rows;
  rows.Add("x", kFp32, {1, 2, 1, 100});
  EXPECT_THAT(rows.Bind(second), HasSubstr("shape[3]")) << "where clients see the rows";
}

TEST(BindRequest, RefusesAnAxisOfTheShapeThatOnlyClientsSee) {
  Quantization along{{1, 1, 1}, {}, true, 2};
  TestRequest in;
  in.Add("x", DataType::kInt8, {1, 2, 3}).Quantized(along);
  EXPECT_THAT(in.Bind(Reshaped()),
              HasSubstr("expected none, as the model's own shape is another or not known"));
  TestRequest out;
  out.Add("x", kFp32, {1, 2, 3}).Want("y", {DataType::kInt8, {{}, {}, true, 1}});
  EXPECT_THAT(out.Bind(Reshaped()),
              HasSubstr("expected none, as the model's own shape is another or not known"));
  TestRequest whole;
  whole.Add("x", DataType::kInt8, {1, 2, 3})
      .Quantized({{0.5F}, {}, false, 0})
      .Want("y", {DataType::kInt8, {}});
  EXPECT_EQ(whole.Bind(Reshaped()), "");
}

}  // namespace
}  // namespace maas
