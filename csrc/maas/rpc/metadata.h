// What gRPC writes into header fields: timeouts, statuses, binary values. Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace maas {

// The value of grpc-timeout: digits and a unit of H M S m u n, with spaces around each as C-core takes them.
// Unit of *ns: nanoseconds; more than eight digits, and what does not fit, are INT64_MAX. False: it is none.
bool ParseTimeout(std::string_view value, int64_t* ns);

// grpc-message: UTF-8, percent-encoded but for printable ASCII; no more than `most` bytes of it, cut between
// characters.
std::string PercentEncode(std::string_view text, size_t most);

// Values of fields whose names end in -bin. Encoded without padding, as C-core does; read with or without.
std::string Base64Encode(std::string_view bytes);
bool IsBase64(std::string_view text);
// False: !IsBase64(text), and *bytes is unspecified.
bool Base64Decode(std::string_view text, std::string* bytes);

}  // namespace maas
