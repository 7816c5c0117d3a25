// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace spillfs::storage::external {
namespace {

constexpr std::string_view kUnreserved =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

std::string encode(std::string_view text, std::string_view also_kept) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char character : text) {
    if (kUnreserved.find(character) != std::string_view::npos ||
        also_kept.find(character) != std::string_view::npos) {
      encoded += character;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(character));
    }
  }
  return encoded;
}

}  // namespace

std::string encode_component(std::string_view text) { return encode(text, ""); }

std::string encode_path(std::string_view text) { return encode(text, "/"); }

std::string encode_query(const Query& query) {
  Query sorted;
  for (const auto& [name, value] : query) {
    sorted.emplace_back(encode_component(name), encode_component(value));
  }
  std::sort(sorted.begin(), sorted.end());
  std::string encoded;
  for (const auto& [name, value] : sorted) {
    if (!encoded.empty()) encoded += '&';
    encoded += fmt::format("{}={}", name, value);
  }
  return encoded;
}

std::string decode_listed(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* end = text.data() + i + 3;
      if (std::from_chars(text.data() + i + 1, end, byte, 16).ptr == end) {
        decoded += static_cast<char>(byte);
        i += 2;
        continue;
      }
    }
    decoded += text[i] == '+' ? ' ' : text[i];
  }
  return decoded;
}

}  // namespace spillfs::storage::external
