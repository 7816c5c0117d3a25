// SPDX-License-Identifier: Apache-2.0
#include "fs/escaped.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace spillfs::fs {
namespace {

constexpr std::size_t kNotUtf8 = 0;
constexpr std::string_view kShort = "\a\b\t\n\v\f\r\\";  // what C has a letter for
constexpr std::string_view kLetters = "abtnvfr\\";

std::uint8_t byte_of(char c) { return static_cast<std::uint8_t>(c); }

// The bytes of a sequence that begins with `first`.
std::size_t length_by(std::uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  if (first >= 0xF0 && first < 0xF5) return 4;
  return kNotUtf8;
}

// Neither longer than it has to be, nor half of a pair of UTF-16, nor beyond the last one.
bool is_second(std::uint8_t first, std::uint8_t second) {
  if (first == 0xE0) return second >= 0xA0;
  if (first == 0xED) return second < 0xA0;
  if (first == 0xF0) return second >= 0x90;
  if (first == 0xF4) return second < 0x90;
  return true;
}

// The bytes of the character that `text` begins with.
std::size_t character(std::string_view text) {
  const std::uint8_t first = byte_of(text.front());
  const std::size_t length = length_by(first);
  if (length < 2) return length;
  if (text.size() < length || !is_second(first, byte_of(text[1]))) return kNotUtf8;
  const auto goes_on = [](char c) { return (byte_of(c) & 0xC0) == 0x80; };
  return std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(length), goes_on)
             ? length
             : kNotUtf8;
}

bool is_control(std::string_view character) {
  const std::uint8_t first = byte_of(character.front());
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  return character.size() == 2 && first == 0xC2 && byte_of(character[1]) < 0xA0;  // C1
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character(text);
    const std::string_view next = text.substr(0, std::max(length, std::size_t{1}));
    const std::size_t letter = kShort.find(next.front());
    if (letter != std::string_view::npos) {
      out += {'\\', kLetters[letter]};
    } else if (length == kNotUtf8 || is_control(next)) {
      for (const char c : next) out += fmt::format("\\{:03o}", byte_of(c));
    } else {
      out += next;
    }
    text.remove_prefix(next.size());
  }
  return out;
}

}  // namespace spillfs::fs
