// What a session keeps that is nobody else's business: nghttp2's session, the header block that is coming in,
// the plan of the current read, the limits. Included by the session's own sources only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "maas/http2/limits.h"
#include "maas/http2/nghttp2_api.h"
#include "maas/http2/read_plan.h"
#include "maas/http2/session.h"

namespace maas {

// What a ping says that asks whether all that was sent before is here.
inline constexpr std::array<uint8_t, 8> kShutdownPing = {'s', 'h', 'u', 't', 'd', 'o', 'w', 'n'};

// The settings that we send, at most.
inline constexpr size_t kMaxSettings = 6;

// The name, one for experiments, under which nghttp2 hears of our limit of streams; on the wire it is
// SETTINGS_MAX_CONCURRENT_STREAMS. nghttp2 would end the connection of a peer that goes beyond it; RFC 9113
// (5.1.2) has the one stream refused, which is what OnRequest() does.
inline constexpr int32_t kStreamLimit = 0xf000;

// Called by nghttp2; its user data is the session.
struct Http2Session::Callbacks {
  // One set for all sessions, made on first use; null: no memory.
  static const nghttp2_session_callbacks* Get();
  static NghttpSize ReadBody(nghttp2_session* session, int32_t stream_id, uint8_t* buffer, size_t length,
                             uint32_t* flags, nghttp2_data_source* source, void* user_data);

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name, nghttp2_rcbuf* value,
                      uint8_t flags, void* user_data);
  static int OnDataChunk(nghttp2_session* session, uint8_t flags, int32_t stream_id, const uint8_t* data,
                         size_t size, void* user_data);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user_data);
  static int OnStreamClose(nghttp2_session*, int32_t stream_id, uint32_t error, void* user_data);
  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* head, size_t length,
                      nghttp2_data_source* source, void* user_data);
  static int OnError(nghttp2_session*, int code, const char* text, size_t size, void* user_data);

  static void OnHeaderBlock(Http2Session* self, const nghttp2_frame* frame);
  static void OnRequest(Http2Session* self, int32_t stream_id, bool too_large, bool end);
  static int OnPing(Http2Session* self, const nghttp2_frame* frame);
};

struct Http2Session::State {
  State(Role its_role, const Options& its_options, const Clock* its_clock, Owner* its_owner)
      : role(its_role),
        options(its_options),
        clock(its_clock),
        owner(its_owner),
        frames(its_role == Role::kServer ? NGHTTP2_CLIENT_MAGIC_LEN : 0),
        settings_sent(its_role == Role::kClient),
        resets(its_options.reset_burst, its_options.resets_per_second, its_clock),
        large_blocks(kLargeBlockBurst, kLargeBlocksPerSecond, its_clock),
        flood(its_clock),
        pings(its_options.min_ping_interval_ns) {}
  ~State() { ForgetFields(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Http2Stream* Find(int32_t stream_id) const {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session.get(), stream_id));
  }
  void ForgetFields() {
    for (nghttp2_rcbuf* text : texts) nghttp2_rcbuf_decref(text);
    // Idle connections keep no room for unusual ones.
    if (fields.capacity() > kUsualFields) {
      texts = {};
      fields = {};
    }
    texts.clear();
    fields.clear();
  }

  static constexpr size_t kUsualFields = 64;
  // Blocks of header fields beyond the limit.
  static constexpr uint32_t kLargeBlockBurst = 100;
  static constexpr uint32_t kLargeBlocksPerSecond = 10;

  const Role role;
  const Options options;
  const Clock* const clock;
  Owner* const owner;
  struct Delete {
    void operator()(nghttp2_session* gone) const { nghttp2_session_del(gone); }
  };
  std::unique_ptr<nghttp2_session, Delete> session;
  Http2Stream* first = nullptr;  // Of the open streams.

  // Of the read under way.
  FrameTracker frames;
  ReadPlan plan;
  size_t next_run = 0;

  // The header block that is coming in.
  std::vector<HeaderField> fields;
  std::vector<nghttp2_rcbuf*> texts;  // What the fields point into.
  size_t header_bytes = 0;

  bool settings_sent;          // A client names no limit in them.
  size_t enough = 0;           // Of the Produce() under way.
  std::vector<int32_t> below;  // Streams that have room again.
  std::string last_error;      // nghttp2's.
  bool shutdown_begun = false;
  bool own_goaway = false;  // The owner asked for a GOAWAY with an error.

  TokenBucket resets;
  TokenBucket large_blocks;
  FrameFlood flood;
  PingStrikes pings;
};

}  // namespace maas
