// What comes: where it should land, and how it gets from there to nghttp2.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "maas/http2/session.h"
#include "maas/http2/session_state.h"

namespace maas {

namespace {
// Frames that wait to be sent, besides those of streams that are open.
constexpr size_t kMaxQueued = 4096;
}  // namespace

size_t Http2Session::ReadInto(std::span<std::byte> scratch, std::span<iovec> most) {
  State& state = *state_;
  const auto room_of = [this](int32_t id) {
    Http2Stream* const stream = ended_ ? nullptr : state_->Find(id);
    return stream == nullptr || stream->reset_ ? std::span<std::byte>() : stream->BodyRoom();
  };
  return state.plan.Make(state.frames, room_of, scratch, most);
}

bool Http2Session::Received(size_t bytes) {
  State& state = *state_;
  const std::span<const ReadPlan::Run> runs = state.plan.Resolve(bytes);
  for (state.next_run = 0; state.next_run < runs.size() && !ended_;) {
    const ReadPlan::Run run = runs[state.next_run++];
    const Http2Stream* const stream = run.room_of == 0 ? nullptr : state.Find(run.room_of);
    if (run.room_of != 0 && (stream == nullptr || stream->reset_)) {
      FeedMissing(run.bytes.size());
    } else {
      Feed(run.bytes);
    }
  }
  state.plan.Clear();
  return !over();
}

bool Http2Session::Received(std::span<const std::byte> bytes) {
  if (!ended_) Feed(bytes);
  return !over();
}

void Http2Session::Feed(std::span<const std::byte> bytes) {
  State& state = *state_;
  // A client chose its server.
  const bool counts = state.role == Role::kServer;
  const bool bearable = state.frames.Feed(bytes, [&state, counts](const FrameHead& head) {
    return !counts || state.flood.OnFrame(head.type, head.flags, head.length);
  });
  if (!bearable) {
    End(Abuse::kFlood, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that carry nothing");
    return;
  }
  const NghttpSize fed =
      MemRecv(state.session.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (ended_) return;
  // What is to be told to a peer that does not read: nghttp2 bounds a part of it only.
  if (nghttp2_session_get_outbound_queue_size(state.session.get()) > kMaxQueued + 4 * streams_) {
    End(Abuse::kFlood, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames to answer");
    return;
  }
  if (fed >= 0) return;
  switch (fed) {
    case NGHTTP2_ERR_FLOODED:
    case kTooManyContinuations:
      End(Abuse::kFlood, NGHTTP2_ENHANCE_YOUR_CALM, nghttp2_strerror(static_cast<int>(fed)));
      return;
    case NGHTTP2_ERR_NOMEM:
    case NGHTTP2_ERR_CALLBACK_FAILURE:
      End(Abuse::kNone, NGHTTP2_INTERNAL_ERROR, nghttp2_strerror(static_cast<int>(fed)));
      return;
    default:
      End(Abuse::kProtocol, NGHTTP2_PROTOCOL_ERROR, nghttp2_strerror(static_cast<int>(fed)));
  }
}

// A stream that is gone took the payload of its frame along: nghttp2 drops it and only counts.
void Http2Session::FeedMissing(size_t bytes) {
  static constexpr std::array<std::byte, 4096> kNothing{};
  while (bytes > 0 && !ended_) {
    const size_t now = std::min(bytes, kNothing.size());
    Feed(std::span(kNothing).first(now));
    bytes -= now;
  }
}

void Http2Session::LeaveRoom(Http2Stream* stream) {
  if (stream->open_) state_->plan.LeaveRoom(stream->id_, state_->next_run);
}

}  // namespace maas
