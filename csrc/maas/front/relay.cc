#include "maas/front/relay.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

namespace maas {
namespace {

// Of RFC 9113, section 7.
constexpr uint32_t kInternalError = 0x2;
constexpr uint32_t kCancel = 0x8;
constexpr uint32_t kEnhanceYourCalm = 0xb;

// Bytes for the server go in pieces no smaller than this while others wait: a peer that sends them one by one
// would make each cost a hundred.
constexpr size_t kSmallPiece = 4096;
// What both streams cost without any body, about.
constexpr size_t kStreamBytes = 2048;
// Bodies are gathered into pieces of at most this.
constexpr size_t kPiece = 64 << 10;

// Appends to the last chunk, and more of them where it becomes too large.
bool Append(std::vector<Chunk>* chunks, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (chunks->empty() || chunks->back().size() >= kPiece) chunks->emplace_back();
    Chunk& last = chunks->back();
    const size_t more = std::min(bytes.size(), kPiece - last.size());
    const size_t size = last.size() + more;
    if (size > last.capacity()) {
      // One that is small may stay alone; where there is much, more comes.
      const size_t room = more < kSmallPiece ? std::min(2 * last.capacity(), kPiece) : kPiece;
      if (!last.Reserve(std::max(size, room))) return false;
    }
    std::memcpy(last.data() + last.size(), bytes.data(), more);
    last.set_size(size);
    bytes = bytes.subspan(more);
  }
  return true;
}

}  // namespace

Relay::Relay(Http2Session* client, Http2Session* server, MemoryBudget* budget, Owner* owner)
    : budget_(budget), owner_(owner), client_(this, client, true), server_(this, server, false) {}

Relay::~Relay() {
  if (budget_ != nullptr) budget_->Give(taken_ + client_.counted_ + server_.counted_);
}

bool Relay::Open(Headers fields, bool end) {
  if (budget_ != nullptr && !budget_->Take(kStreamBytes)) return false;
  taken_ = kStreamBytes;
  grpc_ = FindHeader(fields, "content-type").starts_with("application/grpc");
  if (!server_.session_->Open(&server_, fields, end)) return false;
  server_.started_ = true;
  server_.ended_ = end;
  owner_->OnQueued(false);
  return true;
}

bool Relay::Open(Headers fields, Chunk body, Http2Stream* from) {
  if (budget_ != nullptr && !budget_->Take(body.size())) return false;
  client_.counted_ = body.size();  // Given back when this goes, if not before.
  if (!Open(fields, false)) return false;
  server_.session_->SendBody(&server_, std::move(body));
  server_.session_->SendEnd(&server_);
  server_.ended_ = true;
  client_.session_->Replace(from, &client_);
  return true;
}

bool Relay::Flush() {
  MoveSome(&server_);
  if (server_.unsent() == 0 || client_.held_bytes_ >= kSmallPiece) MoveSome(&client_);
  Settle(&client_);
  Settle(&server_);
  told_ = client_.held_bytes_ > 0;
  return told_;
}

void Relay::Break() { broken_ = true; }

bool Relay::Hold(End* from, std::span<const std::byte> bytes) {
  if (budget_ != nullptr) {
    if (!budget_->Take(bytes.size())) return false;
    from->counted_ += bytes.size();
  }
  from->held_bytes_ += bytes.size();
  return Append(&from->held_, bytes);
}

void Relay::MoveSome(End* from) { Move(from, Http2Session::kLowWater); }

void Relay::MoveAll(End* from) { Move(from, SIZE_MAX); }

void Relay::Move(End* from, size_t most_unsent) {
  End& to = Other(*from);
  const bool wanted = !to.ended_ && !to.closed_;
  size_t moved = 0;
  auto next = from->held_.begin();
  for (; next != from->held_.end() && to.unsent() < most_unsent; ++next) {
    moved += next->size();
    if (wanted) to.session_->SendBody(&to, std::move(*next));
  }
  if (moved == 0) return;
  from->held_.erase(from->held_.begin(), next);
  from->held_bytes_ -= moved;
  from->session_->Consumed(from, moved);
  Settle(from);
  owner_->OnQueued(true);  // One has bytes, the other a window to tell of.
  owner_->OnQueued(false);
}

void Relay::Settle(End* from) {
  if (budget_ == nullptr) return;
  const End& to = Other(*from);
  const size_t kept = std::min(from->counted_, from->held_bytes_ + (to.closed_ ? 0 : to.unsent()));
  budget_->Give(from->counted_ - kept);
  from->counted_ = kept;
}

void Relay::Start(Headers fields) {
  client_.session_->SendHeaders(&client_, fields);
  client_.started_ = true;
}

void Relay::End::OnHeaders(Headers headers, bool end) {
  End& to = relay_->Other(*this);
  if (to.ended_ || to.closed_) return;
  relay_->MoveAll(this);
  if (to.started_) {
    to.session_->SendTrailers(&to, headers);
    to.ended_ = true;
  } else if (end) {
    to.session_->SendHeadersAndEnd(&to, headers);
    to.started_ = to.ended_ = true;
  } else if (!FindHeader(headers, ":status").starts_with('1')) {  // Interim responses end here.
    relay_->Start(headers);
  }
  relay_->owner_->OnQueued(to.client_);
}

void Relay::End::OnBody(std::span<const std::byte> bytes) {
  End& to = relay_->Other(*this);
  if (to.ended_ || to.closed_) {  // Nobody waits for them.
    session_->Consumed(this, bytes.size());
    relay_->owner_->OnQueued(client_);
    return;
  }
  if (!relay_->Hold(this, bytes)) {
    Owner* const owner = relay_->owner_;
    Http2Session* const client = relay_->client_.session_;
    // Its closing resets the other, and may be the end of both.
    client->Reset(&relay_->client_, kEnhanceYourCalm);
    owner->OnQueued(true);
    return;
  }
  if (held_bytes_ >= kPiece) relay_->MoveSome(this);
  if (held_bytes_ > 0 && !relay_->told_) {
    relay_->told_ = true;
    relay_->owner_->OnHeld(relay_);
  }
}

void Relay::End::OnEnd() {
  End& to = relay_->Other(*this);
  if (to.ended_ || to.closed_) return;
  relay_->MoveAll(this);
  to.session_->SendEnd(&to);
  to.ended_ = true;
  relay_->owner_->OnQueued(to.client_);
}

void Relay::End::OnRoom() {
  relay_->MoveSome(&relay_->Other(*this));
  relay_->Settle(&relay_->Other(*this));
}

void Relay::End::OnClosed(uint32_t error) {
  Relay* const relay = relay_;
  Owner* const owner = relay->owner_;
  closed_ = true;
  held_.clear();
  held_bytes_ = 0;
  End& to = relay->Other(*this);
  if (!to.closed_) relay->MoveAll(&to);  // Which drops it, now that this is closed.
  relay->Settle(this);
  relay->Settle(&to);
  if (to.closed_) {
    owner->OnOver(relay);
  } else if (client_) {
    // In order, too: what the server has not read or sent by now is for nobody.
    to.session_->Reset(&to, error == 0 ? kCancel : error);
    owner->OnQueued(false);
  } else if (!to.ended_) {
    relay->ServerClosed(error);
    owner->OnQueued(true);
  }
}

void Relay::ServerClosed(uint32_t error) {
  if (broken_) {
    AnswerUnavailable();
  } else {
    client_.session_->Reset(&client_, error);
  }
}

void Relay::AnswerUnavailable() {
  if (!grpc_) {
    constexpr std::array<HeaderField, 1> kBadGateway{{{":status", "502"}}};
    if (client_.started_) {
      client_.session_->Reset(&client_, kInternalError);
    } else {
      client_.session_->SendHeadersAndEnd(&client_, kBadGateway);
    }
  } else {
    constexpr std::array<HeaderField, 4> kUnavailable{{{":status", "200"},
                                                       {"content-type", "application/grpc"},
                                                       {"grpc-status", "14"},
                                                       {"grpc-message", "the server ended the connection"}}};
    if (client_.started_) {
      client_.session_->SendTrailers(&client_, Headers(kUnavailable).subspan(2));
    } else {
      client_.session_->SendHeadersAndEnd(&client_, kUnavailable);
    }
  }
  client_.started_ = client_.ended_ = true;
}

}  // namespace maas
