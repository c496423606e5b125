// nghttp2 under the names that its newer versions gave to what older ones have as well. Included by the
// session's own sources only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>

namespace maas {

#if NGHTTP2_VERSION_NUM >= 0x013c00
using NghttpSize = nghttp2_ssize;
using NghttpDataProvider = nghttp2_data_provider2;
inline constexpr auto& MemRecv = nghttp2_session_mem_recv2;
inline constexpr auto& MemSend = nghttp2_session_mem_send2;
inline constexpr auto& SubmitResponse = nghttp2_submit_response2;
inline constexpr auto& SubmitRequest = nghttp2_submit_request2;
#else
using NghttpSize = ssize_t;
using NghttpDataProvider = nghttp2_data_provider;
inline constexpr auto& MemRecv = nghttp2_session_mem_recv;
inline constexpr auto& MemSend = nghttp2_session_mem_send;
inline constexpr auto& SubmitResponse = nghttp2_submit_response;
inline constexpr auto& SubmitRequest = nghttp2_submit_request;
#endif

// NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, which older versions lack.
inline constexpr int kTooManyContinuations = -905;

// Turns nghttp2's own limit of resets off where it has one: distributions have carried it back to versions
// that their numbers do not tell apart, so the function is looked up when the template is used.
template <typename Option>
auto DisableResetLimit(Option* option, int)
    -> decltype(nghttp2_option_set_stream_reset_rate_limit(option, 1, 1), void()) {
  nghttp2_option_set_stream_reset_rate_limit(option, uint64_t{1} << 40, uint64_t{1} << 40);
}
template <typename Option>
void DisableResetLimit(Option* /*option*/, long) {}

}  // namespace maas
