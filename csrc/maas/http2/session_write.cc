// What leaves: what streams want to send, and nghttp2's frames on their way to the queue.
#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "maas/http2/field_list.h"
#include "maas/http2/session.h"
#include "maas/http2/session_state.h"

namespace maas {

bool Http2Session::Produce(size_t enough) {
  State& state = *state_;
  state.enough = enough;
  while (!ended_ && out_.size() < enough) {
    const uint8_t* bytes = nullptr;
    const NghttpSize size = MemSend(state.session.get(), &bytes);
    if (size < 0) {
      End(Abuse::kNone, NGHTTP2_INTERNAL_ERROR, nghttp2_strerror(static_cast<int>(size)));
      break;
    }
    if (size > 0) {
      const std::span frame(reinterpret_cast<const std::byte*>(bytes), static_cast<size_t>(size));
      if (!(state.settings_sent ? out_.Append(frame) : SendSettings(frame))) {
        End(Abuse::kNone, NGHTTP2_INTERNAL_ERROR, "no memory");
      }
    } else if (!TellRoom()) {
      break;
    }
  }
  TellRoom();
  return !over();
}

// The first frame of a server's session. False: there is no memory.
bool Http2Session::SendSettings(std::span<const std::byte> first) {
  constexpr size_t kEntryBytes = 6;
  constexpr std::byte kHigh{kStreamLimit >> 8}, kLow{kStreamLimit & 0xff};
  State& state = *state_;
  std::array<std::byte, FrameHead::kBytes + kMaxSettings * kEntryBytes> frame{};
  assert(first.size() <= frame.size() && FrameHead::Parse(first.data()).type == NGHTTP2_SETTINGS);
  state.settings_sent = true;
  std::ranges::copy(first, frame.begin());
  for (size_t at = FrameHead::kBytes; at < first.size(); at += kEntryBytes) {
    if (frame[at] != kHigh || frame[at + 1] != kLow) continue;
    frame[at] = std::byte{0};
    frame[at + 1] = std::byte{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS};
  }
  return out_.Append(std::span(frame).first(first.size()));
}

// Not from within nghttp2: streams send what they held back. False: none had to be told.
bool Http2Session::TellRoom() {
  State& state = *state_;
  if (state.below.empty()) return false;
  for (const int32_t id : std::exchange(state.below, {})) {
    Http2Stream* const stream = state.Find(id);
    if (stream != nullptr && !stream->reset_) stream->OnRoom();
  }
  return true;
}

bool Http2Session::wants_write() const {
  return !ended_ && nghttp2_session_want_write(state_->session.get()) != 0;
}

bool Http2Session::Open(Http2Stream* stream, Headers headers, bool end) {
  State& state = *state_;
  assert(state.role == Role::kClient);
  if (ended_ || nghttp2_session_check_request_allowed(state.session.get()) == 0) return false;
  const FieldList fields(headers);
  const NghttpDataProvider body{{.ptr = nullptr}, Callbacks::ReadBody};
  const int32_t id = SubmitRequest(state.session.get(), nullptr, fields.data(), fields.size(),
                                   end ? nullptr : &body, stream);
  if (id < 0) return false;
  Link(id, stream);
  stream->ending_ = end;
  return true;
}

void Http2Session::Attach(int32_t stream_id, Http2Stream* handler) {
  nghttp2_session_set_stream_user_data(state_->session.get(), stream_id, handler);
  Link(stream_id, handler);
}

void Http2Session::SendHeaders(Http2Stream* stream, Headers headers) {
  if (!stream->open_ || stream->ending_) return;
  const FieldList fields(headers);
  const NghttpDataProvider body{{.ptr = nullptr}, Callbacks::ReadBody};
  SubmitResponse(state_->session.get(), stream->id_, fields.data(), fields.size(), &body);
}

void Http2Session::SendHeadersAndEnd(Http2Stream* stream, Headers headers) {
  if (!stream->open_ || stream->ending_) return;
  stream->ending_ = true;
  const FieldList fields(headers);
  SubmitResponse(state_->session.get(), stream->id_, fields.data(), fields.size(), nullptr);
}

void Http2Session::SendBody(Http2Stream* stream, Chunk bytes, size_t offset) {
  if (!stream->open_ || stream->ending_ || offset >= bytes.size()) return;
  const size_t kept = stream->body_.kept();
  unsent_ += bytes.size() - offset;
  stream->body_.Push(std::move(bytes), offset);
  if (stream->counts_kept_) kept_ += stream->body_.kept() - kept;
  if (stream->body_.bytes() >= kLowWater) stream->above_low_water_ = true;
  Resume(stream);
}

void Http2Session::SendTrailers(Http2Stream* stream, Headers trailers) {
  if (!stream->open_ || stream->ending_) return;
  stream->trailers_ = EncodeFields(trailers);
  stream->has_trailers_ = true;
  SendEnd(stream);
}

void Http2Session::SendEnd(Http2Stream* stream) {
  if (!stream->open_ || stream->ending_) return;
  stream->ending_ = true;
  Resume(stream);
}

void Http2Session::DropBody(Http2Stream* stream) {
  unsent_ -= stream->body_.bytes();
  if (stream->counts_kept_) kept_ -= stream->body_.kept();
  stream->body_.Clear();
}

void Http2Session::Resume(Http2Stream* stream) {
  if (!stream->deferred_) return;
  stream->deferred_ = false;
  nghttp2_session_resume_data(state_->session.get(), stream->id_);
}

void Http2Session::Reset(Http2Stream* stream, uint32_t error) {
  if (!stream->open_ || stream->reset_) return;
  stream->reset_ = true;
  stream->ending_ = true;
  DropBody(stream);
  nghttp2_submit_rst_stream(state_->session.get(), NGHTTP2_FLAG_NONE, stream->id_, error);
}

void Http2Session::Replace(Http2Stream* from, Http2Stream* to) {
  assert(from->open_);
  LeaveRoom(from);
  nghttp2_session_set_stream_user_data(state_->session.get(), from->id_, to);
  Link(from->id_, to);
  to->ending_ = from->ending_;
  to->reset_ = from->reset_;
  to->deferred_ = from->deferred_;
  to->above_low_water_ = from->above_low_water_;
  to->has_trailers_ = from->has_trailers_;
  to->trailers_ = std::move(from->trailers_);
  if (from->counts_kept_) kept_ -= from->body_.kept();
  if (to->counts_kept_) kept_ += from->body_.kept();
  to->body_ = std::exchange(from->body_, {});
  Unlink(from);
}

void Http2Session::Consumed(Http2Stream* stream, size_t bytes) {
  if (!stream->open_ || bytes == 0) return;
  nghttp2_session_consume_stream(state_->session.get(), stream->id_, bytes);
}

}  // namespace maas
