// SPDX-License-Identifier: Apache-2.0
#include "storage/base/escaped.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

namespace spillfs {
namespace {

enum class Backslash : std::uint8_t { kStays, kDoubles };

// The character that `text` begins with; no bytes where it is not UTF-8.
struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;
};

Character first_character(std::string_view text) {
  constexpr std::uint32_t kSurrogates = 0xd800, kAfterSurrogates = 0xe000, kEnd = 0x110000;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {.code = first, .bytes = 1};
  const std::size_t bytes = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (bytes == 0 || first > 0xf4 || text.size() < bytes) return {};
  std::uint32_t code = first & (0xffU >> (bytes + 1));
  for (const char c : text.substr(1, bytes - 1)) {
    const auto next = static_cast<unsigned char>(c);
    if ((next & 0xc0U) != 0x80) return {};
    code = code << 6 | (next & 0x3fU);
  }
  const bool too_long = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  if (too_long || code >= kEnd || (code >= kSurrogates && code < kAfterSurrogates)) return {};
  return {.code = code, .bytes = bytes};
}

bool between(std::uint32_t code, std::uint32_t first, std::uint32_t last) {
  return first <= code && code <= last;
}

bool shows_itself(std::uint32_t code) {
  if (code < 0x20 || between(code, 0x7f, 0x9f)) return false;
  const bool ends_a_line = between(code, 0x2028, 0x2029);
  const bool turns = code == 0x061c || between(code, 0x200e, 0x200f) ||
                     between(code, 0x202a, 0x202e) || between(code, 0x2066, 0x2069);
  return !ends_a_line && !turns;
}

void append_byte(std::string& out, char byte) {
  constexpr std::string_view kControls = "\a\b\t\n\v\f\r";
  constexpr std::string_view kLetters = "abtnvfr";
  const std::size_t letter = kControls.find(byte);
  if (letter != std::string_view::npos) {
    out += '\\';
    out += kLetters[letter];
    return;
  }
  fmt::format_to(std::back_inserter(out), "\\{:03o}", static_cast<unsigned char>(byte));
}

std::string escape(std::string_view text, Backslash backslash) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_character(text);
    const std::string_view bytes = text.substr(0, character.bytes == 0 ? 1 : character.bytes);
    text.remove_prefix(bytes.size());
    if (character.bytes == 0 || !shows_itself(character.code)) {
      for (const char byte : bytes) append_byte(out, byte);
      continue;
    }
    if (character.code == '\\' && backslash == Backslash::kDoubles) out += '\\';
    out += bytes;
  }
  return out;
}

}  // namespace

std::string escaped(std::string_view name) { return escape(name, Backslash::kDoubles); }

std::string one_line(std::string_view line) { return escape(line, Backslash::kStays); }

std::string clean_lines(std::string_view text) {
  std::string out;
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
    out += one_line(text.substr(0, end)) + '\n';
    text.remove_prefix(end + 1);
  }
  return out + one_line(text);
}

}  // namespace spillfs
