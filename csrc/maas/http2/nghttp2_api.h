// nghttp2 under the names that its newer versions gave to what older ones have as well.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

namespace maas {

#if NGHTTP2_VERSION_NUM >= 0x013c00
using NghttpSize = nghttp2_ssize;
using NghttpDataProvider = nghttp2_data_provider2;
inline NghttpSize MemRecv(nghttp2_session* session, const uint8_t* bytes, size_t size) {
  return nghttp2_session_mem_recv2(session, bytes, size);
}
inline NghttpSize MemSend(nghttp2_session* session, const uint8_t** bytes) {
  return nghttp2_session_mem_send2(session, bytes);
}
inline int SubmitResponse(nghttp2_session* session, int32_t stream, const nghttp2_nv* fields, size_t count,
                          const NghttpDataProvider* body) {
  return nghttp2_submit_response2(session, stream, fields, count, body);
}
inline int32_t SubmitRequest(nghttp2_session* session, const nghttp2_nv* fields, size_t count,
                             const NghttpDataProvider* body, void* stream) {
  return nghttp2_submit_request2(session, nullptr, fields, count, body, stream);
}
#else
using NghttpSize = ssize_t;
using NghttpDataProvider = nghttp2_data_provider;
inline NghttpSize MemRecv(nghttp2_session* session, const uint8_t* bytes, size_t size) {
  return nghttp2_session_mem_recv(session, bytes, size);
}
inline NghttpSize MemSend(nghttp2_session* session, const uint8_t** bytes) {
  return nghttp2_session_mem_send(session, bytes);
}
inline int SubmitResponse(nghttp2_session* session, int32_t stream, const nghttp2_nv* fields, size_t count,
                          const NghttpDataProvider* body) {
  return nghttp2_submit_response(session, stream, fields, count, body);
}
inline int32_t SubmitRequest(nghttp2_session* session, const nghttp2_nv* fields, size_t count,
                             const NghttpDataProvider* body, void* stream) {
  return nghttp2_submit_request(session, nullptr, fields, count, body, stream);
}
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
