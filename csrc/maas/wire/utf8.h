// UTF-8 as protobuf demands it of text: no overlong forms, no surrogates, nothing beyond U+10FFFF.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace maas {

bool IsUtf8(std::string_view text);

// `text` with every byte that is not part of a valid sequence replaced by U+FFFD.
std::string ToUtf8(std::string_view text);

}  // namespace maas
