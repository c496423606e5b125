#include "maas/front/predict_methods.h"

#include "maas/front/infer_stream.h"
#include "maas/front/predict_stream.h"
#include "maas/front/unary_predict.h"

namespace maas {

struct PredictMethods::Methods {
  explicit Methods(LoopSink* sink)
      : predict(sink), model_infer(sink), tensorflow(sink), predict_stream(sink), infer_stream(sink) {}

  PredictMethod predict;
  ModelInferMethod model_infer;
  TensorFlowPredictMethod tensorflow;
  PredictStreamMethod predict_stream;
  InferStreamMethod infer_stream;
};

PredictMethods::PredictMethods(LoopSink* sink) : methods_(std::make_unique<Methods>(sink)) {}

PredictMethods::~PredictMethods() = default;

void PredictMethods::AddTo(MethodTable* table) {
  table->Add("/maas.v1.PredictService/Predict", {&methods_->predict, nullptr});
  table->Add("/maas.v1.PredictService/PredictStream", {nullptr, &methods_->predict_stream});
  table->Add("/inference.GRPCInferenceService/ModelInfer", {&methods_->model_infer, nullptr});
  table->Add("/inference.GRPCInferenceService/ModelStreamInfer", {nullptr, &methods_->infer_stream});
  table->Add("/tensorflow.serving.PredictionService/Predict", {&methods_->tensorflow, nullptr});
}

}  // namespace maas
