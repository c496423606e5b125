#include "maas/front/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "maas/base/clock.h"
#include "maas/wire/predict_encoder.h"

namespace maas {
namespace {

// One connection's share of a round: so many reads, and so many writes.
constexpr int kReadsPerRound = 4;
constexpr int kWritesPerRound = 4;
// So much waits in front of a full socket. Until it leaves, nothing is read of a peer who reads nothing.
constexpr size_t kMostProduced = 256 << 10;
// Enough for sixteen full frames of large bodies.
constexpr size_t kReadPieces = 34;
constexpr size_t kWritePieces = 64;
// How long the last words may take.
constexpr int64_t kFarewellNs = 2'000'000'000;
// How long a peer may take to see that no more calls are taken, until it is told which was the last.
constexpr int64_t kGoAwayNs = 20'000'000'000;

EndReason ReasonOf(Abuse abuse) {
  switch (abuse) {
    case Abuse::kNone:
      return EndReason::kInOrder;
    case Abuse::kProtocol:
      return EndReason::kProtocol;
    case Abuse::kRapidReset:
      return EndReason::kRapidReset;
    case Abuse::kFlood:
      return EndReason::kFlood;
    case Abuse::kPings:
      return EndReason::kPings;
    case Abuse::kHeaders:
      return EndReason::kHeaders;
  }
  return EndReason::kProtocol;
}

size_t SizeOf(std::span<const iovec> pieces) {
  size_t size = 0;
  for (const iovec& piece : pieces) size += piece.iov_len;
  return size;
}

}  // namespace

Connection::Connection(const ConnectionContext* context, std::unique_ptr<Transport> transport, int64_t age_ns,
                       Over over)
    : context_(context),
      loop_(context->loop),
      transport_(std::move(transport)),
      over_(std::move(over)),
      handshake_at_(InstantAfter(loop_->Now(), context->options->handshake_timeout_ns)),
      age_at_(InstantAfter(loop_->Now(), age_ns)),
      timer_([this] { OnTime(); }),
      unread_(context->budget),
      stall_(context->options->stall_timeout_ns) {}

Connection::~Connection() {
  CloseSession();
  // Calls that end may have deferred it.
  loop_->Forget(this);
  if (watched_) loop_->Unwatch(transport_->fd());
}

bool Connection::Start() {
  watching_ = transport_->events(true);
  if (!loop_->Watch(transport_->fd(), watching_, this).ok()) return false;
  watched_ = true;
  Arm(std::min(handshake_at_, age_at_));
  if (transport_->established()) Open();
  return true;
}

void Connection::Open() {
  phase_ = Phase::kServing;
  const FrontOptions& options = *context_->options;
  ServerConnection::Options made;
  made.http2.max_concurrent_streams = options.max_concurrent_streams;
  made.http2.min_ping_interval_ns = options.min_ping_interval_ns;
  made.max_message_bytes = options.max_message_bytes;
  made.tenant_key = options.tenant_key;
  made.budget = context_->budget;
  made.encode_details = &EncodeStatus;
  made.on_unsent = [this] { loop_->Defer(this); };
  Fallback* const fallback = this;
  server_ = std::make_unique<ServerConnection>(made, context_->clock, &transport_->peer(), context_->methods,
                                               fallback);
  loop_->Defer(this);
}

void Connection::Shutdown(int64_t grace_ns) {
  if (phase_ == Phase::kHandshake) return Finish(EndReason::kInOrder);
  if (!serving()) return;
  server_->StopStreams();
  BeginShutdown(grace_ns);
}

void Connection::BeginShutdown(int64_t grace_ns) {
  session().BeginShutdown();
  age_at_ = kNever;
  go_away_at_ = InstantAfter(loop_->Now(), kGoAwayNs);
  end_at_ = std::min(end_at_, InstantAfter(loop_->Now(), grace_ns));
  Arm(std::min(go_away_at_, end_at_));
  loop_->Defer(this);
}

PassThrough& Connection::behind() {
  if (!behind_) {
    PassThrough::Options made;
    made.socket_path = context_->options->socket_path;
    made.budget = context_->budget;
    made.scratch = context_->scratch;
    behind_ = std::make_unique<PassThrough>(made, loop_, context_->clock, &transport_->peer(),
                                            [this] { loop_->Defer(this); });
  }
  return *behind_;
}

Http2Stream* Connection::OnRequest(Http2Session* session, int32_t stream, Headers headers, bool end) {
  return behind().OnRequest(session, stream, headers, end);
}

Http2Stream* Connection::OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                                   std::span<const std::byte> message) {
  return behind().OnRequest(session, call, headers, message);
}

bool Connection::refuses() const { return behind_ && behind_->refuses(); }

// -------------------------------------------------------------------------------------------------- reading

void Connection::OnReady(uint32_t events) {
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  switch (phase_) {
    case Phase::kHandshake:
      ReadHandshake();
      break;
    case Phase::kServing:
      if (full_ && (broken || (events & transport_->events(false)) != 0)) full_ = false;
      if (broken || (events & transport_->events(true)) != 0) Read();
      break;
    case Phase::kFlushing:
      if (broken) return Finish(why_);
      full_ = false;
      break;
    case Phase::kLingering:
      Discard();
      break;
    case Phase::kOver:
      break;
  }
  loop_->Defer(this);
}

void Connection::ReadHandshake() {
  const iovec to{context_->scratch.data(), context_->scratch.size()};
  const IoResult result = transport_->Read({&to, 1});
  if (transport_->established()) Open();
  switch (result.state) {
    case IoState::kOk:
      context_->tally->received_bytes.Add(result.bytes);
      if (!session().Received(context_->scratch.first(result.bytes))) return EndSession();
      return Read();
    case IoState::kAgain:
      read_more_ = serving() && transport_->has_buffered();
      return;
    case IoState::kClosed:
      return Finish(EndReason::kInOrder);
    case IoState::kFailed:
      return Finish(serving() ? EndReason::kReset : EndReason::kTls);
  }
}

bool Connection::reading() { return serving() && (!full_ || out().size() < kMostProduced); }

void Connection::Read() {
  std::array<iovec, kReadPieces> pieces;
  size_t received = 0;
  for (int i = 0; i < kReadsPerRound; ++i) {
    const size_t count = session().ReadInto(context_->scratch, pieces);
    const std::span<const iovec> to(pieces.data(), count);
    const IoResult result = transport_->Read(to);
    if (result.state == IoState::kAgain) break;
    if (result.state == IoState::kClosed) return Finish(EndReason::kInOrder);
    if (result.state == IoState::kFailed) return Finish(EndReason::kReset);
    received += result.bytes;
    context_->tally->received_bytes.Add(result.bytes);
    if (!session().Received(result.bytes)) return EndSession();
    // A socket that gave less than was asked for has no more.
    if (result.bytes < SizeOf(to) && !transport_->has_buffered()) break;
  }
  context_->pacing->OnRead(this, received);
  read_more_ = transport_->has_buffered();
}

void Connection::Discard() {
  const iovec to{context_->scratch.data(), context_->scratch.size()};
  for (int i = 0; i < kReadsPerRound; ++i) {
    const IoResult result = transport_->Read({&to, 1});
    if (result.state == IoState::kAgain) return;
    if (result.state != IoState::kOk) return Finish(why_);
  }
}

// -------------------------------------------------------------------------------------------------- writing

void Connection::OnRoundEnd() {
  if (read_more_ && reading()) Read();
  if (serving() || phase_ == Phase::kFlushing) Write();
  if (phase_ == Phase::kOver) {
    const Over over = over_;  // It destroys this.
    return over(this, why_);
  }
  if (read_more_ && reading()) loop_->Defer(this);
  UpdateEvents();
}

void Connection::Write() {
  if (serving()) Count();  // Before anybody hears of it.
  size_t written = 0;
  std::array<iovec, kWritePieces> pieces;
  for (int i = 0; i < kWritesPerRound; ++i) {
    if (serving() && !session().Produce(kMostProduced)) EndSession();
    if (out().empty() || full_) break;
    const size_t count = out().Gather(pieces);
    const IoResult result = transport_->Write({pieces.data(), count});
    if (result.state == IoState::kFailed) return Finish(serving() ? EndReason::kReset : why_);
    if (result.state != IoState::kOk) {
      full_ = true;
      break;
    }
    out().Pop(result.bytes);
    written += result.bytes;
  }
  context_->tally->sent_bytes.Add(written);
  // Others first.
  if (!full_ && (!out().empty() || (serving() && session().wants_write()))) loop_->Defer(this);
  if (serving() && out().empty() && session().over()) EndSession();
  if (phase_ == Phase::kFlushing && out().empty()) return Linger();
  if (!serving()) return;
  WatchStall(written);
  if (serving()) Arm(server_->next_deadline());
}

void Connection::WatchStall(size_t written) {
  // Where the budget is spent, who takes bytes as fast as they are written is not to blame.
  if (!unread_.Settle(session().kept(), out().empty()) && (full_ || !session().wants_write()))
    return Finish(EndReason::kUnread);
  stall_.Look(loop_->Now(), {.queued = out().size(),
                             .unsent = session().unsent(),
                             .bodies_sent = session().body_bytes_sent(),
                             .written = written});
  Arm(stall_.cut_at());
}

void Connection::UpdateEvents() {
  uint32_t events = 0;
  if (phase_ == Phase::kHandshake || phase_ == Phase::kLingering || reading())
    events |= transport_->events(true);
  if (full_ && phase_ != Phase::kLingering) events |= transport_->events(false);
  if (events == watching_) return;
  watching_ = events;
  loop_->Change(transport_->fd(), events);
}

void Connection::Count() {
  context_->tally->calls.Add(server_->served() - std::exchange(calls_, server_->served()));
  context_->tally->passed_through.Add(server_->passed_on() - std::exchange(passed_on_, server_->passed_on()));
}

// --------------------------------------------------------------------------------------------------- ending

void Connection::CloseSession() {
  if (behind_) behind_->Close();
  server_.reset();
  behind_.reset();
}

void Connection::EndSession() {
  why_ = ReasonOf(session().abuse());
  Count();
  out_ = std::move(session().out());
  CloseSession();
  phase_ = Phase::kFlushing;
  end_at_ = std::min(end_at_, InstantAfter(loop_->Now(), kFarewellNs));
  Arm(end_at_);
  loop_->Defer(this);
}

void Connection::Linger() {
  transport_->Shutdown();
  phase_ = Phase::kLingering;
}

void Connection::Finish(EndReason why) {
  if (phase_ == Phase::kOver) return;
  if (server_) Count();
  why_ = why;
  phase_ = Phase::kOver;
  timer_.Cancel();
  loop_->Defer(this);
}

void Connection::Arm(int64_t at_ns) {
  if (at_ns >= armed_at_) return;
  armed_at_ = at_ns;
  loop_->SetTimer(&timer_, at_ns);
}

void Connection::OnTime() {
  const int64_t now = loop_->Now();
  armed_at_ = kNever;
  if (now >= end_at_) return Finish(why_);
  if (phase_ == Phase::kHandshake || (serving() && !session().established())) {
    if (now >= handshake_at_) return Finish(EndReason::kHandshakeTimeout);
  } else {
    handshake_at_ = kNever;
  }
  if (serving()) {
    if (now >= stall_.cut_at()) return Finish(EndReason::kStalled);
    if (now >= age_at_) BeginShutdown(context_->options->max_connection_age_grace_ns);
    if (now >= go_away_at_) {
      go_away_at_ = kNever;
      if (!session().shutting_down()) session().GoAway(0, {});
    }
    server_->Expire(now);
    loop_->Defer(this);
    Arm(server_->next_deadline());
    Arm(std::min({stall_.cut_at(), age_at_, go_away_at_}));
  }
  Arm(std::min(handshake_at_, end_at_));
}

}  // namespace maas
