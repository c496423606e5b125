// Unary methods that run a model: the request goes to the core, the core's answer to the caller.
//
// Ownership: borrow the sink, which outlives them. Threads: its loop's.
#pragma once

#include "maas/front/loop_sink.h"
#include "maas/rpc/method.h"
#include "maas/rpc/server_call.h"
#include "maas/wire/codec.h"

namespace maas {

class UnaryPredict : public UnaryMethod, private LoopSink::Waiter {
 public:
  UnaryPredict(LoopSink* sink, const Codec* codec) : sink_(sink), codec_(codec) {}
  UnaryPredict(const UnaryPredict&) = delete;
  UnaryPredict& operator=(const UnaryPredict&) = delete;

  void OnRequest(ServerCall* call, Chunk request) override;
  void OnCancelled(ServerCall* call) override;

 protected:
  ~UnaryPredict() override = default;
  // Ends a call that the core refused, or could not answer. `status` is not ok.
  virtual void OnFailure(ServerCall* call, const Status& status, Chunk request);

 private:
  void OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool more) override;

  LoopSink* const sink_;
  const Codec* const codec_;
};

// maas.v1.PredictService.Predict
class PredictMethod final : public UnaryPredict {
 public:
  explicit PredictMethod(LoopSink* sink) : UnaryPredict(sink, &PredictCodec()) {}
};

// inference.GRPCInferenceService.ModelInfer: what does not serve is told in Triton's words.
class ModelInferMethod final : public UnaryPredict {
 public:
  explicit ModelInferMethod(LoopSink* sink) : UnaryPredict(sink, &ModelInferCodec()) {}

 private:
  void OnFailure(ServerCall* call, const Status& status, Chunk request) override;
};

// tensorflow.serving.PredictionService.Predict. How a model that does not serve is told depends on why it
// does not, which only the server behind knows: it gets the call.
class TensorFlowPredictMethod final : public UnaryPredict {
 public:
  explicit TensorFlowPredictMethod(LoopSink* sink) : UnaryPredict(sink, &TensorFlowPredictCodec()) {}
  bool hands_over() const override { return true; }

 private:
  void OnFailure(ServerCall* call, const Status& status, Chunk request) override;
};

}  // namespace maas
