#include "maas/rpc/server_connection.h"

#include <memory>
#include <utility>

#include "maas/base/clock.h"
#include "maas/rpc/errors.h"
#include "maas/rpc/request_head.h"

namespace maas {
namespace {

// Calls cost memory before they bring a message: on a connection that has more of them than usual, they are
// taken from the budget, some at a time, for it is shared by all threads.
constexpr size_t kCallsAtOnce = 64;
constexpr size_t kBytesPerCall = 2048;

Status DeadlineExceeded() { return Status(Code::kDeadlineExceeded, "", "Deadline Exceeded"); }

int64_t DeadlineAfter(int64_t timeout_ns, const Clock& clock) {
  return timeout_ns == kNever ? kNever : InstantAfter(clock.Now(), timeout_ns);
}

}  // namespace

ServerConnection::ServerConnection(const Options& options, const Clock* clock, const Peer* peer,
                                   const MethodTable* methods, Fallback* fallback)
    : options_(options),
      clock_(clock),
      peer_(peer),
      methods_(methods),
      fallback_(fallback),
      session_(Http2Session::Role::kServer, options.http2, clock, this) {}

ServerConnection::~ServerConnection() = default;

void ServerConnection::StopStreams() {
  stopping_ = true;
  for (ServerCall *call = first_, *next = nullptr; call != nullptr; call = next) {
    next = call->next_;
    TellStopping(call);
  }
}

void ServerConnection::TellStopping(ServerCall* call) {
  if (!call->ended_ && call->handler_ != nullptr) call->handler_->OnStopping();
}

void ServerConnection::Expire(int64_t now) {
  while (DeadlineHeap::Member* const due = deadlines_.TakeDue(now)) {
    static_cast<ServerCall*>(due)->Abort(DeadlineExceeded());
  }
}

Http2Stream* ServerConnection::OnRequest(int32_t stream, Headers headers, bool end) {
  RequestHead head = ReadRequestHead(headers, options_.tenant_key);
  const Method method = methods_->Find(head.path);
  if (method.unary == nullptr && method.stream == nullptr) {
    return PassOn(stream, headers, end, Status(Code::kUnimplemented, "", "Method not found!"));
  }
  if (head.odd) return PassOn(stream, headers, end, Status(Code::kInternal, "", "Not a request of gRPC"));
  if (!head.error.ok()) return Refuse(stream, head.error);
  if (head.timeout_ns <= 0) return Refuse(stream, DeadlineExceeded());
  if (!Admit()) return nullptr;
  const int64_t deadline_ns = DeadlineAfter(head.timeout_ns, *clock_);
  ServerCall* const call =
      std::make_unique<ServerCall>(this, method, std::move(head), deadline_ns).release();  // It owns itself.
  session_.Attach(stream, call);
  ++served_;
  if (method.stream != nullptr) {
    call->StartStream(headers);
    if (stopping_) TellStopping(call);
  } else if (method.unary->hands_over() && !call->Keep(headers)) {
    call->Fail(OutOfMemory());
  }
  return call;
}

Http2Stream* ServerConnection::OnTooManyHeaders(int32_t stream) {
  return Refuse(stream, Status(Code::kResourceExhausted, "",
                               "received metadata size exceeds hard limit (" +
                                   std::to_string(options_.http2.max_header_bytes) + ")"));
}

Http2Stream* ServerConnection::Refuse(int32_t stream, const Status& status) {
  if (!Admit()) return nullptr;
  ServerCall* const call = std::make_unique<ServerCall>(this, Method{}, RequestHead{}, kNever).release();
  session_.Attach(stream, call);
  call->Fail(status);
  return call;
}

Http2Stream* ServerConnection::PassOn(int32_t stream, Headers headers, bool end,
                                      const Status& without_fallback) {
  if (fallback_ == nullptr) return Refuse(stream, without_fallback);
  if (fallback_->refuses()) return nullptr;
  Http2Stream* const passed = fallback_->OnRequest(&session_, stream, headers, end);
  if (passed == nullptr) return Refuse(stream, NoFallback());
  ++passed_on_;
  return passed;
}

Status ServerConnection::NoFallback() {
  return Status(Code::kUnavailable, "", "The server behind this one cannot be reached");
}

bool ServerConnection::Admit() {
  if (options_.budget == nullptr || (listed_ + 1) % kCallsAtOnce != 0) return true;
  constexpr size_t kBytes = kCallsAtOnce * kBytesPerCall;
  if (taken_ / kBytes >= (listed_ + 1) / kCallsAtOnce) return true;
  if (!options_.budget->Take(kBytes)) return false;
  taken_ += kBytes;
  return true;
}

void ServerConnection::Add(ServerCall* call) {
  call->next_ = first_;
  if (first_ != nullptr) first_->previous_ = call;
  first_ = call;
  deadlines_.Add(call);
  ++listed_;
}

void ServerConnection::Remove(ServerCall* call) {
  (call->previous_ != nullptr ? call->previous_->next_ : first_) = call->next_;
  if (call->next_ != nullptr) call->next_->previous_ = call->previous_;
  deadlines_.Remove(call);
  --listed_;
  // All at once, so that a number that goes up and down costs nothing.
  if (listed_ == 0 && taken_ > 0) options_.budget->Give(std::exchange(taken_, 0));
}

}  // namespace maas
