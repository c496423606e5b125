// The life of a session and of its streams; session_read.cc and session_write.cc have the bytes.
#include "maas/http2/session.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "maas/http2/session_state.h"

namespace maas {

namespace {

struct DeleteOption {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

// One set for all sessions.
const nghttp2_option* NghttpOptions() {
  static const std::unique_ptr<nghttp2_option, DeleteOption> options = [] {
    nghttp2_option* made = nullptr;
    if (nghttp2_option_new(&made) != 0) return std::unique_ptr<nghttp2_option, DeleteOption>();
    nghttp2_option_set_no_auto_window_update(made, 1);
    nghttp2_option_set_no_closed_streams(made, 1);  // They serve priorities, which nobody uses here.
    // Values with blanks around them are taken as C-core takes them.
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(made, 1);
    DisableResetLimit(made, 0);  // Ours looks at what a reset costs.
    return std::unique_ptr<nghttp2_option, DeleteOption>(made);
  }();
  return options.get();
}

// Of frames that we take; most clients send 16 KiB all the same.
constexpr uint32_t kMaxFrameSize = 1U << 20;
constexpr uint32_t kMaxWindow = (1U << 31) - 1;

}  // namespace

Http2Session::Http2Session(Role role, const Options& options, const Clock* clock, Owner* owner)
    : state_(std::make_unique<State>(role, options, clock, owner)) {
  nghttp2_session* made = nullptr;
  const auto* const callbacks = Callbacks::Get();
  const auto* const option = NghttpOptions();
  const bool ready =
      callbacks != nullptr && option != nullptr &&
      (role == Role::kServer ? nghttp2_session_server_new2(&made, callbacks, this, option)
                             : nghttp2_session_client_new2(&made, callbacks, this, option)) == 0;
  state_->session.reset(made);
  if (!ready || !SubmitSettings()) End(Abuse::kNone, NGHTTP2_INTERNAL_ERROR, "no memory");
}

bool Http2Session::SubmitSettings() {
  const Options& options = state_->options;
  nghttp2_session* const session = state_->session.get();
  std::array<nghttp2_settings_entry, kMaxSettings> entries;
  size_t count = 0;
  const auto set = [&](int32_t id, size_t value) {
    entries[count++] = {id, static_cast<uint32_t>(std::min<size_t>(value, UINT32_MAX))};
  };
  set(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, std::min(options.stream_window, kMaxWindow));
  set(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrameSize);
  set(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.max_header_bytes);
  if (state_->role == Role::kClient) {
    set(NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
  } else {
    // Streams are served in turn, which is cheaper than the tree of priorities that nobody builds any more.
    set(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
    if (options.max_concurrent_streams > 0) set(kStreamLimit, options.max_concurrent_streams);
  }
  const auto window = static_cast<int32_t>(std::min(options.connection_window, kMaxWindow));
  return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries.data(), count) == 0 &&
         nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, window) == 0;
}

Http2Session::~Http2Session() {
  while (state_->first != nullptr) Close(state_->first, NGHTTP2_CANCEL);
}

void Http2Session::Link(int32_t id, Http2Stream* stream) {
  stream->id_ = id;
  stream->open_ = true;
  stream->previous_ = nullptr;
  stream->next_ = state_->first;
  if (stream->next_ != nullptr) stream->next_->previous_ = stream;
  state_->first = stream;
  ++streams_;
}

void Http2Session::Unlink(Http2Stream* stream) {
  (stream->previous_ != nullptr ? stream->previous_->next_ : state_->first) = stream->next_;
  if (stream->next_ != nullptr) stream->next_->previous_ = stream->previous_;
  stream->open_ = false;
  --streams_;
}

void Http2Session::Close(Http2Stream* stream, uint32_t error) {
  // nghttp2 may look once more at a stream that it closes.
  nghttp2_session_set_stream_user_data(state_->session.get(), stream->id_, nullptr);
  Unlink(stream);
  DropBody(stream);
  stream->OnClosed(error);
}

bool Http2Session::over() const {
  if (ended_) return true;
  nghttp2_session* const session = state_->session.get();
  return nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0;
}

void Http2Session::BeginShutdown() {
  State& state = *state_;
  if (ended_ || state.shutdown_begun) return;
  state.shutdown_begun = true;
  if (state.role == Role::kClient) {
    SendFinalGoAway();
    return;
  }
  nghttp2_submit_shutdown_notice(state.session.get());
  nghttp2_submit_ping(state.session.get(), NGHTTP2_FLAG_NONE, kShutdownPing.data());
}

void Http2Session::SendFinalGoAway() {
  if (std::exchange(shutting_down_, true)) return;
  nghttp2_session* const session = state_->session.get();
  nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

void Http2Session::GoAway(uint32_t error, std::string_view text) {
  if (ended_) return;
  nghttp2_session* const session = state_->session.get();
  shutting_down_ = true;
  state_->own_goaway = true;
  nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session), error,
                        reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

void Http2Session::Ping() {
  if (ended_) return;
  nghttp2_submit_ping(state_->session.get(), NGHTTP2_FLAG_NONE, nullptr);
}

// Not through nghttp2, which may be in the middle of a call or out of memory, and would send what waits
// first.
void Http2Session::End(Abuse abuse, uint32_t error, std::string_view text) {
  if (std::exchange(ended_, true)) return;
  abuse_ = abuse;
  error_ = text;
  nghttp2_session* const session = state_->session.get();
  const int32_t last = session == nullptr ? 0 : nghttp2_session_get_last_proc_stream_id(session);
  std::string frame;
  const auto put = [&frame](uint32_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
      frame.push_back(static_cast<char>(value >> shift));
  };
  put(static_cast<uint32_t>(8 + text.size()), 3);
  put(NGHTTP2_GOAWAY, 1);
  put(0, 1);
  put(0, 4);
  put(static_cast<uint32_t>(last), 4);
  put(error, 4);
  frame.append(text);
  // Without memory for it the peer sees the connection close.
  static_cast<void>(out_.Append(std::as_bytes(std::span(frame))));
}

}  // namespace maas
