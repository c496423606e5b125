// What nghttp2 tells: frames and fields that came, frames that are to leave, streams that closed.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "maas/http2/field_list.h"
#include "maas/http2/session.h"
#include "maas/http2/session_state.h"

namespace maas {

namespace {

std::string_view Text(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

// A block that costs so many times the limit is no mistake.
constexpr size_t kAbsurd = 8;

}  // namespace

const nghttp2_session_callbacks* Http2Session::Callbacks::Get() {
  struct Delete {
    void operator()(nghttp2_session_callbacks* callbacks) const { nghttp2_session_callbacks_del(callbacks); }
  };
  static const std::unique_ptr<nghttp2_session_callbacks, Delete> all = [] {
    nghttp2_session_callbacks* made = nullptr;
    if (nghttp2_session_callbacks_new(&made) != 0)
      return std::unique_ptr<nghttp2_session_callbacks, Delete>();
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback2(made, OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnDataChunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrame);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, OnFrameSent);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
    nghttp2_session_callbacks_set_send_data_callback(made, SendData);
    nghttp2_session_callbacks_set_error_callback2(made, OnError);
    return std::unique_ptr<nghttp2_session_callbacks, Delete>(made);
  }();
  return all.get();
}

int Http2Session::Callbacks::OnBeginHeaders(nghttp2_session* /*session*/, const nghttp2_frame* /*frame*/,
                                            void* user_data) {
  State& state = *static_cast<Http2Session*>(user_data)->state_;
  state.ForgetFields();
  state.header_bytes = 0;
  return 0;
}

int Http2Session::Callbacks::OnHeader(nghttp2_session* /*session*/, const nghttp2_frame* /*frame*/,
                                      nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t /*flags*/,
                                      void* user_data) {
  auto* const self = static_cast<Http2Session*>(user_data);
  State& state = *self->state_;
  const HeaderField field{Text(name), Text(value)};
  state.header_bytes += field.name.size() + field.value.size() + 32;
  const size_t limit = state.options.max_header_bytes;
  if (state.header_bytes > limit) {
    if (state.header_bytes / kAbsurd <= limit) return 0;
    self->End(Abuse::kHeaders, NGHTTP2_ENHANCE_YOUR_CALM, "header fields without end");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  nghttp2_rcbuf_incref(name);
  state.texts.push_back(name);
  nghttp2_rcbuf_incref(value);
  state.texts.push_back(value);
  state.fields.push_back(field);
  return 0;
}

int Http2Session::Callbacks::OnDataChunk(nghttp2_session* session, uint8_t /*flags*/, int32_t stream_id,
                                         const uint8_t* data, size_t size, void* user_data) {
  State& state = *static_cast<Http2Session*>(user_data)->state_;
  // Only streams hold their peer back: one that is slow may not stop the others.
  if (nghttp2_session_consume_connection(session, size) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
  Http2Stream* const stream = state.Find(stream_id);
  if (stream == nullptr || stream->reset_) return 0;
  // The call may replace the stream.
  const bool holds_window = stream->holds_window_;
  stream->OnBody({reinterpret_cast<const std::byte*>(data), size});
  if (!holds_window) nghttp2_session_consume_stream(session, stream_id, size);
  return 0;
}

int Http2Session::Callbacks::OnFrame(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                                     void* user_data) {
  auto* const self = static_cast<Http2Session*>(user_data);
  State& state = *self->state_;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      OnHeaderBlock(self, frame);
      state.ForgetFields();
      if (self->ended_) return NGHTTP2_ERR_CALLBACK_FAILURE;
      [[fallthrough]];
    case NGHTTP2_DATA:
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        Http2Stream* const stream = state.Find(frame->hd.stream_id);
        if (stream != nullptr && !stream->reset_) stream->OnEnd();
      }
      return 0;
    case NGHTTP2_SETTINGS:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) self->established_ = true;
      return 0;
    case NGHTTP2_PING:
      return OnPing(self, frame);
    case NGHTTP2_GOAWAY:
      state.owner->OnGoAway(frame->goaway.last_stream_id, frame->goaway.error_code);
      return 0;
    default:
      return 0;
  }
}

void Http2Session::Callbacks::OnHeaderBlock(Http2Session* self, const nghttp2_frame* frame) {
  State& state = *self->state_;
  const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const bool too_large = state.header_bytes > state.options.max_header_bytes;
  if (too_large && !state.large_blocks.Take()) {
    self->End(Abuse::kHeaders, NGHTTP2_ENHANCE_YOUR_CALM, "too many header fields");
    return;
  }
  const int32_t id = frame->hd.stream_id;
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    OnRequest(self, id, too_large, end);
    return;
  }
  Http2Stream* const stream = state.Find(id);
  if (stream == nullptr || stream->reset_) return;
  if (too_large) {
    self->Reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
    return;
  }
  // Answers that come before the answer, such as 100.
  const bool informational = !state.fields.empty() && state.fields.front().name == ":status" &&
                             state.fields.front().value.starts_with('1');
  if (!informational) stream->OnHeaders(state.fields, end);
}

void Http2Session::Callbacks::OnRequest(Http2Session* self, int32_t id, bool too_large, bool end) {
  State& state = *self->state_;
  const size_t limit = state.options.max_concurrent_streams;
  if (limit > 0 && self->streams_ >= limit) {
    nghttp2_submit_rst_stream(state.session.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    if (!state.resets.Take()) self->End(Abuse::kRapidReset, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams");
    return;
  }
  Http2Stream* const stream =
      too_large ? state.owner->OnTooManyHeaders(id) : state.owner->OnRequest(id, state.fields, end);
  if (stream != nullptr) {
    if (!stream->open_) self->Attach(id, stream);
    return;
  }
  if (!too_large) {
    nghttp2_submit_rst_stream(state.session.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return;
  }
  const HeaderField status{":status", "431"};
  const FieldList fields(std::span(&status, 1));
  SubmitResponse(state.session.get(), id, fields.data(), fields.size(), nullptr);
}

int Http2Session::Callbacks::OnPing(Http2Session* self, const nghttp2_frame* frame) {
  State& state = *self->state_;
  if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
    if (state.options.min_ping_interval_ns == 0 || state.pings.OnPing(state.clock->Now())) return 0;
    self->End(Abuse::kPings, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (std::memcmp(frame->ping.opaque_data, kShutdownPing.data(), kShutdownPing.size()) == 0) {
    if (state.shutdown_begun) self->SendFinalGoAway();
  } else {
    state.owner->OnPingAnswered();
  }
  return 0;
}

int Http2Session::Callbacks::OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame,
                                         void* user_data) {
  auto* const self = static_cast<Http2Session*>(user_data);
  State& state = *self->state_;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
      state.pings.OnSent();
      state.flood.OnSent();
      // An answer that ended before its request.
      if (state.role == Role::kServer && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
          nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
      }
      return 0;
    case NGHTTP2_GOAWAY:
      // nghttp2's own, about what the peer sent.
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !state.own_goaway) {
        self->ended_ = true;
        self->abuse_ =
            frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM ? Abuse::kFlood : Abuse::kProtocol;
        self->error_ =
            state.last_error.empty() ? nghttp2_http2_strerror(frame->goaway.error_code) : state.last_error;
      }
      return 0;
    default:
      return 0;
  }
}

int Http2Session::Callbacks::OnStreamClose(nghttp2_session* /*session*/, int32_t stream_id, uint32_t error,
                                           void* user_data) {
  auto* const self = static_cast<Http2Session*>(user_data);
  State& state = *self->state_;
  Http2Stream* const stream = state.Find(stream_id);
  if (stream == nullptr) return 0;
  // By the peer, or by what it sent, before it was answered.
  const bool in_vain =
      state.role == Role::kServer && error != NGHTTP2_NO_ERROR && !stream->reset_ && !stream->ending_;
  self->Close(stream, error);
  if (in_vain && !state.resets.Take()) {
    self->End(Abuse::kRapidReset, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams reset");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

NghttpSize Http2Session::Callbacks::ReadBody(nghttp2_session* session, int32_t stream_id, uint8_t* /*buffer*/,
                                             size_t length, uint32_t* flags, nghttp2_data_source* /*source*/,
                                             void* user_data) {
  auto* const self = static_cast<Http2Session*>(user_data);
  State& state = *self->state_;
  if (self->out_.size() >= state.enough) return NGHTTP2_ERR_PAUSE;
  Http2Stream* const stream = state.Find(stream_id);
  if (stream == nullptr || stream->reset_) return NGHTTP2_ERR_DEFERRED;
  const size_t size = std::min(length, stream->body_.bytes());
  if (size == 0 && !stream->ending_) {
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream->ending_ && size == stream->body_.bytes()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->has_trailers_) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const FieldList fields(stream->trailers_);
      const int rc = nghttp2_submit_trailer(session, stream_id, fields.data(), fields.size());
      if (rc != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }
  return static_cast<NghttpSize>(size);
}

int Http2Session::Callbacks::SendData(nghttp2_session* /*session*/, nghttp2_frame* frame, const uint8_t* head,
                                      size_t length, nghttp2_data_source* /*source*/, void* user_data) {
  auto* const self = static_cast<Http2Session*>(user_data);
  State& state = *self->state_;
  Http2Stream* const stream = state.Find(frame->hd.stream_id);
  if (stream == nullptr) return NGHTTP2_ERR_CALLBACK_FAILURE;
  const size_t kept = stream->body_.kept();
  if (!self->out_.Append({reinterpret_cast<const std::byte*>(head), FrameHead::kBytes}) ||
      !stream->body_.Move(length, &self->out_)) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  self->unsent_ -= length;
  if (stream->counts_kept_) self->kept_ -= kept - stream->body_.kept();
  self->body_bytes_sent_ += length;
  if (stream->above_low_water_ && stream->body_.bytes() < kLowWater) {
    stream->above_low_water_ = false;
    state.below.push_back(stream->id_);
  }
  return 0;
}

int Http2Session::Callbacks::OnError(nghttp2_session* /*session*/, int /*code*/, const char* text,
                                     size_t size, void* user_data) {
  State& state = *static_cast<Http2Session*>(user_data)->state_;
  state.last_error.assign(text, std::min<size_t>(size, 200));
  // It quotes the peer.
  std::ranges::replace_if(
      state.last_error, [](char c) { return c < ' ' || c > '~'; }, '?');
  return 0;
}

}  // namespace maas
