#include "maas/front/infer_stream.h"

#include <algorithm>
#include <utility>

#include "maas/front/message.h"
#include "maas/wire/codec.h"
#include "maas/wire/model_infer_error.h"

namespace maas {
namespace {

bool AsksForStatus(Headers metadata) {
  return std::any_of(metadata.begin(), metadata.end(), [](const HeaderField& field) {
    return field.name == "triton_grpc_error" && field.value == "true";
  });
}

}  // namespace

InferStream::InferStream(LoopSink* sink, ServerCall* call, bool fails_by_status)
    : AnswerStream(call), sink_(sink), fails_by_status_(fails_by_status) {}

InferStream::~InferStream() { InferStream::CancelAll(); }

void InferStream::OnRequests(Chunk message) {
  Item* item = &items_.emplace_back();
  const size_t size = message.size();
  const Status status =
      sink_->Submit({&ModelStreamInferCodec(), call()->deadline_ns(), call()->tenant(), 0, this, item},
                    &message, &item->ticket);
  if (status.ok()) {
    pending_bytes_ += size;
  } else {
    Fail(item, status, message.bytes());
  }
  Advance();
}

void InferStream::CancelAll() {
  for (Item& item : items_) {
    if (item.ticket != nullptr) sink_->Cancel(std::exchange(item.ticket, nullptr));
  }
}

void InferStream::OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool /*more*/) {
  auto* item = static_cast<Item*>(ticket->context);
  item->ticket = nullptr;
  pending_bytes_ -= ticket->request.size();
  if (status.ok()) {
    Set(item, std::move(answer));
  } else {
    Fail(item, status, ticket->request);
  }
  Advance();
}

void InferStream::Set(Item* item, Chunk answer) {
  held_bytes_ += answer.size();
  item->answer = std::move(answer);
}

void InferStream::Fail(Item* item, const Status& status, std::span<const std::byte> request) {
  const ModelInferNames names = PeekModelInferNames(request);
  item->failure = WithTritonPhrase(status, names);
  Chunk answer;
  if (!MakeMessage(EncodeModelStreamInferError(item->failure, names), &answer)) return Break(NoMemory());
  Set(item, std::move(answer));
}

void InferStream::Advance() {
  while (!over() && !items_.empty() && !items_.front().answer.empty()) {
    Item& item = items_.front();
    if (fails_by_status_ && !item.failure.ok()) {
      Break(item.failure);
      break;
    }
    held_bytes_ -= item.answer.size();
    Send(std::move(item.answer));
    items_.pop_front();
  }
  Update();
}

std::unique_ptr<StreamHandler> InferStreamMethod::Start(ServerCall* call, Headers metadata) {
  return std::make_unique<InferStream>(sink_, call, AsksForStatus(metadata));
}

}  // namespace maas
