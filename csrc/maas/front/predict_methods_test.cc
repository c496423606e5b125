#include "maas/front/predict_methods.h"

#include <gtest/gtest.h>

#include "maas/front/served_calls_testing.h"

namespace maas {
namespace {

TEST(PredictMethodsTest, EveryMethodThatRunsAModelIsThere) {
  ServedModel model;
  PredictMethods methods(&model.sink);
  MethodTable table;
  methods.AddTo(&table);
  for (const std::string_view path : {kPredict, kModelInfer, kTensorFlowPredict}) {
    ASSERT_NE(table.Find(path).unary, nullptr) << path;
    EXPECT_EQ(table.Find(path).stream, nullptr);
    EXPECT_EQ(table.Find(path).unary->hands_over(), path == kTensorFlowPredict);
  }
  for (const std::string_view path : {kPredictStream, kModelStreamInfer}) {
    EXPECT_NE(table.Find(path).stream, nullptr) << path;
    EXPECT_EQ(table.Find(path).unary, nullptr);
  }
  EXPECT_EQ(table.Find("/tensorflow.serving.PredictionService/Classify").unary, nullptr);
}

}  // namespace
}  // namespace maas
