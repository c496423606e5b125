#include "maas/wire/utf8.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace maas {
namespace {

// How many leading bytes of `text` are ASCII, rounded down to whole words.
size_t AsciiWords(std::string_view text) {
  size_t n = 0;
  while (text.size() - n >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, text.data() + n, sizeof(word));
    if ((word & 0x8080808080808080) != 0) break;
    n += sizeof(word);
  }
  return n;
}

// The length of the valid sequence that `text` starts with; 0 if there is none. REQUIRES: !text.empty().
size_t SequenceLength(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // 0x80..0xbf continue a sequence, 0xc0 and 0xc1 start overlong ones, 0xf5.. lie beyond U+10FFFF.
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;   // Overlong.
  if (lead == 0xed && byte(1) >= 0xa0) return 0;  // Surrogates.
  if (lead == 0xf0 && byte(1) < 0x90) return 0;   // Overlong.
  if (lead == 0xf4 && byte(1) >= 0x90) return 0;  // Beyond U+10FFFF.
  return length;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  text.remove_prefix(AsciiWords(text));
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string ToUtf8(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace maas
