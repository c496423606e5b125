#include "maas/rpc/server_call.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/rpc/errors.h"
#include "maas/rpc/metadata.h"
#include "maas/rpc/server_connection.h"

namespace maas {
namespace {

constexpr HeaderField kStatus{":status", "200"};
constexpr HeaderField kContentType{"content-type", "application/grpc"};
constexpr std::array<HeaderField, 3> kInitial{kStatus, kContentType,
                                              HeaderField{"grpc-accept-encoding", kAcceptedEncodings}};
constexpr std::array<HeaderField, 1> kOkTrailers{HeaderField{"grpc-status", "0"}};

// Clients take 8 KiB of header fields by default; encoded, both together stay below.
constexpr size_t kMostMessage = 2048;
constexpr size_t kMostDetails = 5120;
// Header fields of less are not worth the budget's attention.
constexpr size_t kFreeHeaders = 1024;
constexpr size_t kLeastHeld = 4096;
// Of RFC 9113, section 7: nothing was done, and the client may try again.
constexpr uint32_t kRefusedStream = 0x7;

void WritePrefix(Chunk* message) {
  assert(message->size() >= kMessagePrefix);
  const size_t length = message->size() - kMessagePrefix;
  message->data()[0] = std::byte{0};
  for (size_t i = 1; i < kMessagePrefix; ++i) {
    message->data()[i] = static_cast<std::byte>(length >> 8 * (kMessagePrefix - 1 - i));
  }
}

}  // namespace

ServerCall::ServerCall(ServerConnection* connection, const Method& method, RequestHead&& head,
                       int64_t deadline_ns)
    : Member(deadline_ns),
      connection_(connection),
      method_(method),
      tenant_(std::move(head.tenant)),
      reader_({.max_message_bytes = connection->options_.max_message_bytes,
               .budget = connection->options_.budget},
              head.encoding) {
  count_kept();
  connection->Add(this);
}

ServerCall::~ServerCall() {
  if (taken_ > 0) connection_->options_.budget->Give(taken_);
  connection_->Remove(this);
}

const Peer& ServerCall::peer() const { return *connection_->peer_; }

bool ServerCall::Keep(Headers headers) {
  headers_ = EncodeFields(headers);
  MemoryBudget* const budget = connection_->options_.budget;
  if (budget == nullptr || headers_.capacity() <= kFreeHeaders) return true;
  if (!budget->Take(headers_.capacity())) return false;
  taken_ += headers_.capacity();
  return true;
}

void ServerCall::StartStream(Headers metadata) {
  hold_window();
  handler_ = method_.stream->Start(this, metadata);
  assert(handler_ != nullptr || ended_);
}

// What a caller says.

// Trailers of a request mean nothing to gRPC.
void ServerCall::OnHeaders(Headers /*headers*/, bool /*end*/) {}

std::span<std::byte> ServerCall::BodyRoom() {
  if (ended_ || requested_ || paused_ || !held_.empty()) return {};
  return reader_.Room();
}

void ServerCall::OnBody(std::span<const std::byte> bytes) {
  if (!streaming()) {
    // More than one message is more than a unary call reads.
    if (!ended_ && !requested_) ReadRequest(bytes);
    return;
  }
  if (ended_) {
    connection_->session_.Consumed(this, bytes.size());
    return;
  }
  const size_t taken = paused_ || !held_.empty() ? 0 : ReadStream(bytes);
  if (taken > 0) connection_->session_.Consumed(this, taken);
  const std::span<const std::byte> rest = bytes.subspan(taken);
  if (rest.empty()) return;
  if (ended_) {
    connection_->session_.Consumed(this, rest.size());
  } else if (!Hold(rest)) {
    Abort(OutOfMemory());
  }
}

void ServerCall::OnEnd() {
  half_closed_ = true;
  if (ended_) return;
  if (streaming()) {
    TellHalfClosed();
  } else if (!requested_) {
    Abort(reader_.inside() ? Status(Code::kInternal, "", "The request ends within its message")
                           : Status(Code::kUnimplemented, "", "The request has no message"));
  }
}

void ServerCall::OnRoom() {
  if (!ended_ && streaming()) handler_->OnRoom();
}

void ServerCall::OnClosed(uint32_t /*error*/) {
  const std::unique_ptr<ServerCall> self(this);
  if (!std::exchange(ended_, true)) TellCancelled();
}

void ServerCall::ReadRequest(std::span<const std::byte> bytes) {
  Chunk request;
  bool complete = false;
  const Status status = reader_.Feed(&bytes, &request, &complete);
  if (!status.ok()) {
    Abort(status);
  } else if (complete) {
    requested_ = true;
    method_.unary->OnRequest(this, std::move(request));  // Afterwards it may be handed over, and gone.
  }
}

size_t ServerCall::ReadStream(std::span<const std::byte> bytes) {
  const size_t size = bytes.size();
  reading_ = true;
  while (!bytes.empty() && !paused_ && !ended_) {
    Chunk message;
    bool complete = false;
    const Status status = reader_.Feed(&bytes, &message, &complete);
    if (!status.ok()) {
      Abort(status);
    } else if (complete) {
      handler_->OnMessage(std::move(message));
    }
  }
  reading_ = false;
  return size - bytes.size();
}

bool ServerCall::Hold(std::span<const std::byte> bytes) {
  MemoryBudget* const budget = connection_->options_.budget;
  if (held_.room().size() < bytes.size() && held_from_ >= held_.capacity() / 2 && held_from_ > 0) {
    const size_t left = held().size();
    std::memmove(held_.data(), held().data(), left);
    held_.set_size(left);
    held_from_ = 0;
  }
  if (held_.room().size() < bytes.size()) {
    const size_t capacity = std::max({kLeastHeld, held_.capacity() * 2, held_.size() + bytes.size()});
    const size_t more = capacity - held_.capacity();
    if (budget != nullptr && !budget->Take(more)) return false;
    if (budget != nullptr) taken_ += more;
    if (!held_.Reserve(capacity)) return false;
  }
  std::memcpy(held_.data() + held_.size(), bytes.data(), bytes.size());
  held_.set_size(held_.size() + bytes.size());
  return true;
}

void ServerCall::DropHeld() {
  if (MemoryBudget* const budget = connection_->options_.budget; budget != nullptr) {
    budget->Give(held_.capacity());
    taken_ -= held_.capacity();
  }
  held_ = Chunk();
  held_from_ = 0;
}

void ServerCall::ResumeReading() {
  paused_ = false;
  // Called by the handler within OnMessage(), reading just goes on.
  if (reading_ || ended_ || !streaming()) return;
  if (!held_.empty()) {
    const size_t taken = ReadStream(held());
    held_from_ += taken;
    if (held_from_ == held_.size()) DropHeld();
    if (taken > 0) connection_->session_.Consumed(this, taken);
    connection_->Unsent();  // The window.
  }
  TellHalfClosed();
}

void ServerCall::TellHalfClosed() {
  if (!half_closed_ || told_half_closed_ || ended_ || paused_ || !held_.empty()) return;
  told_half_closed_ = true;
  handler_->OnHalfClosed();
}

// What it is answered.

void ServerCall::Answer(Chunk answer) {
  Send(std::move(answer));
  Finish();
}

void ServerCall::Send(Chunk message) {
  if (ended_) return;
  WritePrefix(&message);
  SendInitial();
  connection_->session_.SendBody(this, std::move(message));
  connection_->Unsent();
}

void ServerCall::Finish() {
  if (std::exchange(ended_, true)) return;
  SendInitial();
  connection_->session_.SendTrailers(this, kOkTrailers);
  connection_->Unsent();
}

void ServerCall::Fail(const Status& status) {
  if (!std::exchange(ended_, true)) SendStatus(status);
}

void ServerCall::HandOver(Chunk request) {
  if (ended_) return;
  assert(requested_ && method_.unary->hands_over());
  std::vector<HeaderField> fields;
  for (std::string_view left = headers_; !left.empty();) fields.push_back(TakeField(&left));
  Fallback* const fallback = connection_->fallback_;
  if (fallback != nullptr && fallback->refuses()) {
    ended_ = true;
    connection_->session_.Reset(this, kRefusedStream);
    connection_->Unsent();
    return;
  }
  if (fallback == nullptr ||
      fallback->OnRequest(&connection_->session_, this, fields, request.bytes()) == nullptr) {
    Fail(ServerConnection::NoFallback());
    return;
  }
  ++connection_->passed_on_;
  const std::unique_ptr<ServerCall> self(this);
}

void ServerCall::Abort(const Status& status) {
  if (std::exchange(ended_, true)) return;
  SendStatus(status);
  TellCancelled();
}

void ServerCall::TellCancelled() {
  if (handler_ != nullptr) {
    handler_->OnCancelled();
  } else if (requested_) {
    method_.unary->OnCancelled(this);
  }
}

void ServerCall::SendInitial() {
  if (!std::exchange(started_, true)) connection_->session_.SendHeaders(this, kInitial);
}

void ServerCall::SendStatus(const Status& status) {
  std::array<char, 4> code;
  const auto end = std::to_chars(code.data(), code.data() + code.size(), static_cast<int>(status.code())).ptr;
  const std::string message = PercentEncode(status.message(), kMostMessage);
  std::string details;
  if (connection_->options_.encode_details != nullptr && !status.reason().empty()) {
    details = Base64Encode(connection_->options_.encode_details(status));
    if (details.size() > kMostDetails) details.clear();
  }
  std::array<HeaderField, 5> fields;
  size_t count = 0;
  if (!started_) {
    fields[count++] = kStatus;
    fields[count++] = kContentType;
  }
  fields[count++] = {"grpc-status", {code.data(), static_cast<size_t>(end - code.data())}};
  fields[count++] = {"grpc-message", message};
  if (!details.empty()) fields[count++] = {"grpc-status-details-bin", details};
  const Headers headers(fields.data(), count);
  if (std::exchange(started_, true)) {
    connection_->session_.SendTrailers(this, headers);
  } else {
    connection_->session_.SendHeadersAndEnd(this, headers);
  }
  connection_->Unsent();
}

}  // namespace maas
