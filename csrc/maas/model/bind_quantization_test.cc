#include "maas/model/bind_quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "maas/model/bind_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto kFp32 = DataType::kFp32;
constexpr auto kInt8 = DataType::kInt8;
constexpr auto kUint8 = DataType::kUint8;

Quantization PerTensor(std::vector<float> scales, std::vector<int32_t> zero_points = {}) {
  return {std::move(scales), std::move(zero_points), false, 0};
}
Quantization Along(int32_t axis, std::vector<float> scales, std::vector<int32_t> zero_points = {}) {
  return {std::move(scales), std::move(zero_points), true, axis};
}

ModelSpec Spec(DataType input = kFp32, DataType output = kFp32) {
  return MakeSpec({MakeInput("x", input, {-1, 3})}, {MakeOutput("y", output, {-1, 3})});
}

// Binds a [2,3] input quantized so.
std::string BindInput(Quantization q, DataType wire = kInt8, DataType input = kFp32) {
  return TestRequest().Add("x", wire, {2, 3}).Quantized(std::move(q)).Bind(Spec(input));
}

TEST(BindQuantization, StandsForEveryFloatingInput) {
  for (const DataType input : {kFp32, DataType::kFp16, DataType::kBf16}) {
    for (const DataType wire : {kInt8, kUint8}) {
      BoundRequest bound;
      TestRequest request;
      request.Add("x", wire, {2, 3}).Quantized(PerTensor({0.5F}));
      ASSERT_EQ(request.Bind(Spec(input), &bound), "");
      EXPECT_EQ(bound.inputs[0].wire_type, wire);
      EXPECT_EQ(bound.inputs[0].data.size(), 6U);
      ASSERT_NE(bound.inputs[0].quantization, nullptr);
      EXPECT_THAT(bound.inputs[0].quantization->scales, ElementsAre(0.5F));
      EXPECT_THAT(bound.inputs[0].quantization->zero_points, ElementsAre(0));
      EXPECT_FALSE(bound.inputs[0].quantization->has_axis);
    }
  }
}

TEST(BindQuantization, RefusesInputsThatAreNotDequantized) {
  for (const DataType input : {kInt8, kUint8, DataType::kInt64, DataType::kFp64}) {
    EXPECT_EQ(BindInput(PerTensor({1}), kInt8, input),
              "inputs[0].quantization: expected none, as only FP32, FP16 and BF16 inputs are dequantized, "
              "for input "
              "'x' (" +
                  std::string(Name(input)) + " [-1,3]), got one");
  }
  EXPECT_EQ(TestRequest().Add("x", kInt8, {2, 3}).Bind(Spec(kInt8)), "");
}

TEST(BindQuantization, RefusesDatatypesThatHoldNoQuantizedValues) {
  EXPECT_EQ(
      BindInput(PerTensor({1}), kFp32),
      "inputs[0].datatype: expected INT8 or UINT8 with quantization for input 'x' (FP32 [-1,3]), got FP32");
  EXPECT_EQ(
      BindInput(PerTensor({1}), DataType::kInt16),
      "inputs[0].datatype: expected INT8 or UINT8 with quantization for input 'x' (FP32 [-1,3]), got INT16");
}

TEST(BindQuantization, CountsANegativeAxisFromTheEnd) {
  BoundRequest bound;
  TestRequest request;
  request.Add("x", kUint8, {2, 3}).Quantized(Along(-1, {1, 2, 3}, {7, 8, 9}));
  ASSERT_EQ(request.Bind(Spec(), &bound), "");
  EXPECT_TRUE(bound.inputs[0].quantization->has_axis);
  EXPECT_EQ(bound.inputs[0].quantization->axis, 1);
  EXPECT_THAT(bound.inputs[0].quantization->zero_points, ElementsAre(7, 8, 9));
  EXPECT_EQ(BindInput(Along(-2, {1, 2})), "");
  EXPECT_EQ(BindInput(Along(0, {1, 2})), "");
  EXPECT_EQ(BindInput(Along(1, {1})), "");
}

TEST(BindQuantization, RefusesAnAxisOutsideTheRank) {
  EXPECT_EQ(BindInput(Along(2, {1})),
            "inputs[0].quantization.axis: expected -2 to 1 for 'x' of rank 2, got 2");
  EXPECT_EQ(BindInput(Along(-3, {1})),
            "inputs[0].quantization.axis: expected -2 to 1 for 'x' of rank 2, got -3");
  const ModelSpec scalar = MakeSpec({MakeInput("x", kFp32, {}, -1)});
  EXPECT_EQ(TestRequest().Add("x", kInt8, {}).Quantized(Along(0, {1})).Bind(scalar),
            "inputs[0].quantization.axis: expected no axis for 'x' of rank 0, got 0");
}

TEST(BindQuantization, RefusesAnotherNumberOfScales) {
  EXPECT_EQ(BindInput(PerTensor({})),
            "inputs[0].quantization.scales: expected 1 entry, as no axis is set, for 'x', got 0");
  EXPECT_EQ(BindInput(PerTensor({1, 2, 3})),
            "inputs[0].quantization.scales: expected 1 entry, as no axis is set, for 'x', got 3");
  EXPECT_EQ(BindInput(Along(1, {1, 2})),
            "inputs[0].quantization.scales: expected 1 entry or 3, the size of axis 1, for 'x', got 2");
  EXPECT_EQ(BindInput(Along(1, {})),
            "inputs[0].quantization.scales: expected 1 entry or 3, the size of axis 1, for 'x', got 0");
}

TEST(BindQuantization, RefusesScalesThatMapNothing) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0F, -0.0F, -1.0F, infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_EQ(BindInput(Along(1, {1, bad, 1})),
              "inputs[0].quantization.scales[1]: expected a finite number greater than 0, got " +
                  std::to_string(bad));
  }
  EXPECT_EQ(BindInput(PerTensor({std::numeric_limits<float>::denorm_min()})), "");
}

TEST(BindQuantization, RefusesZeroPointsThatDoNotFit) {
  EXPECT_EQ(BindInput(PerTensor({1}, {1, 2})),
            "inputs[0].quantization.zero_points: expected none, or 1 as there are scales, got 2");
  EXPECT_EQ(BindInput(PerTensor({1}, {-129})),
            "inputs[0].quantization.zero_points[0]: expected -128 to 127 for INT8, got -129");
  EXPECT_EQ(BindInput(PerTensor({1}, {128})),
            "inputs[0].quantization.zero_points[0]: expected -128 to 127 for INT8, got 128");
  EXPECT_EQ(BindInput(Along(1, {1, 1, 1}, {0, 255, 256}), kUint8),
            "inputs[0].quantization.zero_points[2]: expected 0 to 255 for UINT8, got 256");
  EXPECT_EQ(BindInput(PerTensor({1}, {-1}), kUint8),
            "inputs[0].quantization.zero_points[0]: expected 0 to 255 for UINT8, got -1");
  EXPECT_EQ(BindInput(PerTensor({1}, {-128})), "");
  EXPECT_EQ(BindInput(PerTensor({1}, {255}), kUint8), "");
}

// Binds a [2,3] request that asks for its output quantized so.
std::string BindOutput(OutputQuantization q, const ModelSpec& spec = Spec(), BoundRequest* bound = nullptr) {
  BoundRequest unused;
  TestRequest request;
  request.Add("x", spec.inputs[0].datatype, {2, 3}).Want("y", std::move(q));
  return request.Bind(spec, bound == nullptr ? &unused : bound);
}

TEST(BindOutputQuantization, MayLeaveTheScalesToTheAnswer) {
  BoundRequest bound;
  ASSERT_EQ(BindOutput({kUint8, Along(-1, {})}, Spec(), &bound), "");
  ASSERT_NE(bound.outputs[0].quantize, nullptr);
  EXPECT_EQ(bound.outputs[0].quantize->datatype, kUint8);
  EXPECT_THAT(bound.outputs[0].quantize->params.scales, IsEmpty());
  EXPECT_THAT(bound.outputs[0].quantize->params.zero_points, IsEmpty());
  EXPECT_EQ(bound.outputs[0].quantize->params.axis, 1);
  EXPECT_EQ(BindOutput({kInt8, PerTensor({}, {1})}),
            "outputs[0].quantize.zero_points: expected none, or 0 as there are scales, got 1");
}

TEST(BindOutputQuantization, ChecksScalesAsThoseOfAnInput) {
  BoundRequest bound;
  ASSERT_EQ(BindOutput({kInt8, Along(1, {1, 2, 3})}, Spec(), &bound), "");
  EXPECT_THAT(bound.outputs[0].quantize->params.zero_points, ElementsAre(0, 0, 0));
  EXPECT_EQ(BindOutput({kInt8, Along(0, {1, 2})}), "");  // As many as rows.
  EXPECT_EQ(BindOutput({kInt8, Along(0, {1, 2, 3})}),
            "outputs[0].quantize.scales: expected 1 entry or 2, the size of axis 0, for 'y', got 3");
  EXPECT_EQ(BindOutput({kInt8, Along(5, {})}),
            "outputs[0].quantize.axis: expected -2 to 1 for 'y' of rank 2, got 5");
  EXPECT_EQ(BindOutput({kInt8, PerTensor({-1})}),
            "outputs[0].quantize.scales[0]: expected a finite number greater than 0, got -1.000000");
  EXPECT_EQ(BindOutput({kInt8, PerTensor({1}, {128})}),
            "outputs[0].quantize.zero_points[0]: expected -128 to 127 for INT8, got 128");
}

TEST(BindOutputQuantization, RefusesOutputsAndDatatypesThatAreNotQuantized) {
  EXPECT_EQ(
      BindOutput({kInt8, {}}, Spec(kFp32, DataType::kInt64)),
      "outputs[0].quantize: expected none, as only FP32, FP16 and BF16 outputs are quantized, for output "
      "'y' (INT64 [-1,3]), got one");
  EXPECT_EQ(BindOutput({DataType::kFp16, {}}),
            "outputs[0].quantize.datatype: expected INT8 or UINT8, got FP16");
  EXPECT_EQ(BindOutput({DataType::kUnspecified, {}}),
            "outputs[0].quantize.datatype: expected INT8 or UINT8, got DATA_TYPE_UNSPECIFIED");
}

TEST(BindOutputQuantization, KnowsAVaryingSizeFromItsSource) {
  ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1})}, {MakeOutput("y", kFp32, {-1, -1})});
  EXPECT_EQ(BindOutput({kInt8, Along(1, {1, 2})}, spec), "");  // Known only after the run.
  spec.outputs[0].sources[1] = {0, 1};
  EXPECT_EQ(BindOutput({kInt8, Along(1, {1, 2, 3})}, spec), "");
  EXPECT_EQ(BindOutput({kInt8, Along(1, {1, 2})}, spec),
            "outputs[0].quantize.scales: expected 1 entry or 3, the size of axis 1, for 'y', got 2");
}

TEST(BindOutputQuantization, KnowsWhichAxisIsUnpadded) {
  ModelSpec spec = MakeSpec({MakePadded("x")}, {MakeOutput("y", kFp32, {-1, -1, -1})});
  spec.pad_groups = {{{4}}};
  spec.outputs[0].sources = {{0, 0}, {0, 1}, {0, 1}};
  spec.outputs[0].pad_group = 0;
  spec.outputs[0].pad_axis = 1;
  EXPECT_EQ(BindOutput({kInt8, Along(1, {1, 2, 3})}, spec), "");     // The length.
  EXPECT_EQ(BindOutput({kInt8, Along(2, {1, 2, 3, 4})}, spec), "");  // The bucket.
  EXPECT_EQ(BindOutput({kInt8, Along(2, {1, 2, 3})}, spec),
            "outputs[0].quantize.scales: expected 1 entry or 4, the size of axis 2, for 'y', got 3");
}

}  // namespace
}  // namespace maas
