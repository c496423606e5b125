#include "maas/exec/run_shapes.h"

#include <gtest/gtest.h>

#include "maas/model/bind_testing.h"

namespace maas {
namespace {

RunShapes ShapesFor(const ModelSpec& spec, TestRequest request, int64_t rows) {
  BoundRequest bound;
  EXPECT_EQ(request.Bind(spec, &bound), "");
  return ShapesOfRun(spec, bound, rows);
}

OutputSpec Sourced(OutputSpec output, std::vector<DimSource> sources) {
  output.sources = std::move(sources);
  return output;
}

ModelSpec PaddedSpec(OutputSpec output) {
  ModelSpec spec = MakeSpec({MakePadded("ids"), MakePadded("mask", AutoFill::kMask)}, {std::move(output)});
  spec.pad_groups = {{{4, 16}}};
  return spec;
}

TEST(RunShapes, PutsTheRowsOfTheBatchWhereverTheBatchAxisIs) {
  const ModelSpec spec =
      MakeSpec({MakeInput("a", DataType::kFp32, {-1, 3}), MakeInput("b", DataType::kFp32, {2, -1, 5}, 1)});
  TestRequest request;
  request.Add("a", DataType::kFp32, {1, 3}).Add("b", DataType::kFp32, {2, 1, 5});
  const RunShapes shapes = ShapesFor(spec, std::move(request), 7);
  EXPECT_EQ(shapes.inputs[0], (Dims{7, 3}));
  EXPECT_EQ(shapes.inputs[1], (Dims{2, 7, 5}));
  EXPECT_EQ(shapes.outputs[0], (Dims{7, 4}));
  EXPECT_TRUE(shapes.known[0]);
}

TEST(RunShapes, KeepsInputsWithoutABatchAxisAsTheyAre) {
  const ModelSpec spec =
      MakeSpec({MakeInput("a", DataType::kFp32, {-1, 3}), MakeInput("w", DataType::kFp32, {-1, -1}, -1)});
  TestRequest request;
  request.Add("a", DataType::kFp32, {2, 3}).Add("w", DataType::kFp32, {5, 6});
  EXPECT_EQ(ShapesFor(spec, std::move(request), 8).inputs[1], (Dims{5, 6}));
}

TEST(RunShapes, RoundsPaddedAxesUpAlsoOfInputsThatTheServerFills) {
  const ModelSpec spec = PaddedSpec(Sourced(MakeOutput("y", DataType::kFp32, {-1, -1, 2}), {{}, {0, 1}, {}}));
  TestRequest request;
  request.Add("ids", DataType::kInt64, {2, 3});
  const RunShapes shapes = ShapesFor(spec, std::move(request), 5);
  EXPECT_EQ(shapes.inputs[0], (Dims{5, 4}));
  EXPECT_EQ(shapes.inputs[1], (Dims{5, 4}));
  EXPECT_EQ(shapes.outputs[0], (Dims{5, 4, 2})) << "sized by the padded input";
  EXPECT_TRUE(shapes.known[0]);
}

TEST(RunShapes, DoesNotKnowAnOutputOfAnyShapeWhateverItsDimsSay) {
  OutputSpec output = MakeOutput("y", DataType::kFp32, {2, 3});
  output.batch_axis = -1;
  output.any_shape = true;
  const ModelSpec spec = MakeSpec({MakeInput("a", DataType::kFp32, {-1, 3})}, {output});
  TestRequest request;
  request.Add("a", DataType::kFp32, {1, 3});
  EXPECT_FALSE(ShapesFor(spec, std::move(request), 1).known[0]);
}

TEST(RunShapes, DoesNotKnowOutputsThatOnlyTheRunSizes) {
  struct Row {
    OutputSpec output;
    bool known;
  };
  const Row rows[] = {
      {MakeOutput("y", DataType::kFp32, {-1, 4}), true},
      {MakeOutput("y", DataType::kFp32, {-1, -1}), false},
      {MakeOutput("y", DataType::kBytes, {-1, 4}), false},
      {Sourced(MakeOutput("y", DataType::kFp32, {-1, -1}), {{}, {0, 1}}), true},
  };
  for (const Row& row : rows) {
    const ModelSpec spec = MakeSpec({MakeInput("a", DataType::kFp32, {-1, -1})}, {row.output});
    TestRequest request;
    request.Add("a", DataType::kFp32, {1, 9});
    EXPECT_EQ(ShapesFor(spec, std::move(request), 2).known[0], row.known) << ToString(row.output.dims);
  }
}

TEST(RunShapes, CutsAnAnswerToItsRowsAndItsLength) {
  OutputSpec output = MakeOutput("y", DataType::kFp32, {-1, -1});
  output.pad_group = 0;
  output.pad_axis = 1;
  const ModelSpec spec = PaddedSpec(output);
  TestRequest request;
  request.Add("ids", DataType::kInt64, {2, 3});
  BoundRequest bound;
  ASSERT_EQ(request.Bind(spec, &bound), "");
  EXPECT_EQ(ShapeOfAnswer(output, bound, {8, 4}, 2), (Dims{2, 3}));
  EXPECT_EQ(ShapeOfAnswer(output, bound, {8, 7}, 2), (Dims{2, 7})) << "did not come out padded";
  OutputSpec shared = MakeOutput("s", DataType::kFp32, {5});
  shared.batch_axis = -1;
  EXPECT_EQ(ShapeOfAnswer(shared, bound, {5}, 2), (Dims{5}));
}

TEST(RunShapes, ComputesBytesAndRefusesWhatNoMemoryHolds) {
  constexpr int64_t kTwoTo40 = int64_t{1} << 40;
  struct Row {
    Dims dims;
    DataType type;
    int64_t bytes;
  };
  const Row rows[] = {
      {{}, DataType::kFp64, 8},
      {{2, 3}, DataType::kFp32, 24},
      {{2, 3}, DataType::kBytes, 0},
      {{0, 3}, DataType::kFp32, 0},
      {{-1, 3}, DataType::kFp32, -1},
      {{-1, 0}, DataType::kFp32, -1},
      {{kMaxTensorBytes}, DataType::kInt8, kMaxTensorBytes},
      {{kMaxTensorBytes}, DataType::kInt16, -1},
      {{kMaxTensorBytes + 1}, DataType::kBytes, -1},
      {{kTwoTo40, kTwoTo40}, DataType::kInt8, -1},
      {{0, kTwoTo40, kTwoTo40}, DataType::kInt8, -1},  // Its strides overflow, though it holds nothing.
      {{INT64_MAX, INT64_MAX, INT64_MAX}, DataType::kFp64, -1},
  };
  for (const Row& row : rows) EXPECT_EQ(RunBytes(row.dims, row.type), row.bytes) << ToString(row.dims);
}

}  // namespace
}  // namespace maas
