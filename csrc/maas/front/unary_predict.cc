#include "maas/front/unary_predict.h"

#include <utility>

#include "maas/wire/model_infer_error.h"

namespace maas {

void UnaryPredict::OnRequest(ServerCall* call, Chunk request) {
  LoopSink::Ticket* ticket = nullptr;
  const Status status =
      sink_->Submit({codec_, call->deadline_ns(), call->tenant(), 0, this, call}, &request, &ticket);
  call->state = ticket;
  if (!status.ok()) OnFailure(call, status, std::move(request));
}

void UnaryPredict::OnCancelled(ServerCall* call) {
  if (call->state == nullptr) return;
  sink_->Cancel(static_cast<LoopSink::Ticket*>(std::exchange(call->state, nullptr)));
}

void UnaryPredict::OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool /*more*/) {
  auto* call = static_cast<ServerCall*>(ticket->context);
  call->state = nullptr;
  if (status.ok()) {
    call->Answer(std::move(answer));
  } else {
    OnFailure(call, status, LoopSink::TakeRequest(ticket));
  }
}

void UnaryPredict::OnFailure(ServerCall* call, const Status& status, Chunk /*request*/) {
  call->Fail(status);
}

void ModelInferMethod::OnFailure(ServerCall* call, const Status& status, Chunk request) {
  if (!IsNotServing(status.reason())) return call->Fail(status);
  call->Fail(WithTritonPhrase(status, PeekModelInferNames(request.bytes())));
}

void TensorFlowPredictMethod::OnFailure(ServerCall* call, const Status& status, Chunk request) {
  if (!IsNotServing(status.reason())) return call->Fail(status);
  call->HandOver(std::move(request));
}

}  // namespace maas
