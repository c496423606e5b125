#include "maas/rpc/metadata.h"

#include <algorithm>
#include <array>
#include <limits>

namespace maas {
namespace {

// Of grpc-timeout; C-core takes what is more for no timeout at all.
constexpr int64_t kMostTimeout = 100'000'000;

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 64;

constexpr std::array<uint8_t, 256> MakeBase64Values() {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (size_t i = 0; i < kBase64.size(); ++i)
    values[static_cast<uint8_t>(kBase64[i])] = static_cast<uint8_t>(i);
  return values;
}
constexpr std::array<uint8_t, 256> kBase64Values = MakeBase64Values();

uint8_t Base64Value(char digit) { return kBase64Values[static_cast<uint8_t>(digit)]; }

// Without the padding.
std::string_view Base64Digits(std::string_view text) {
  if (text.size() % 4 != 0) return text;
  if (text.ends_with("==")) return text.substr(0, text.size() - 2);
  return text.ends_with('=') ? text.substr(0, text.size() - 1) : text;
}

std::string_view SkipSpaces(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

// Nanoseconds; 0: there is no such unit.
int64_t UnitOf(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

bool IsPlain(char byte) { return byte >= ' ' && byte <= '~' && byte != '%'; }

}  // namespace

bool ParseTimeout(std::string_view value, int64_t* ns) {
  value = SkipSpaces(value);
  int64_t count = 0;
  size_t digits = 0;
  for (; digits < value.size() && value[digits] >= '0' && value[digits] <= '9'; ++digits) {
    if (count <= kMostTimeout) count = count * 10 + (value[digits] - '0');
  }
  if (digits == 0) return false;
  value = SkipSpaces(value.substr(digits));
  const int64_t unit = value.empty() ? 0 : UnitOf(value[0]);
  if (unit == 0 || !SkipSpaces(value.substr(1)).empty()) return false;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  *ns = count > kMostTimeout || count > kMost / unit ? kMost : count * unit;
  return true;
}

std::string PercentEncode(std::string_view text, size_t most) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(std::min(text.size(), most));
  size_t whole = 0;  // Bytes of `out` that are whole characters.
  for (const char byte : text) {
    if (!IsContinuation(byte)) whole = out.size();
    if (out.size() + (IsPlain(byte) ? 1 : 3) > most) {
      out.resize(whole);
      return out;
    }
    if (IsPlain(byte)) {
      out += byte;
    } else {
      out += '%';
      out += kHex[static_cast<uint8_t>(byte) >> 4];
      out += kHex[static_cast<uint8_t>(byte) & 15];
    }
  }
  return out;
}

std::string Base64Encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  uint32_t bits = 0;
  int held = 0;  // Of `bits`, not yet written.
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(byte);
    for (held += 8; held >= 6; held -= 6) out += kBase64[bits >> (held - 6) & 63];
  }
  if (held > 0) out += kBase64[bits << (6 - held) & 63];
  return out;
}

bool IsBase64(std::string_view text) {
  const std::string_view digits = Base64Digits(text);
  if (digits.size() % 4 == 1) return false;
  for (const char digit : digits) {
    if (Base64Value(digit) == kNoDigit) return false;
  }
  return true;
}

bool Base64Decode(std::string_view text, std::string* bytes) {
  bytes->clear();
  if (!IsBase64(text)) return false;
  uint32_t bits = 0;
  int held = 0;
  for (const char digit : Base64Digits(text)) {
    bits = bits << 6 | Base64Value(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    *bytes += static_cast<char>(bits >> held & 255);
  }
  return true;
}

}  // namespace maas
