// SPDX-License-Identifier: Apache-2.0
// Ray's urls: "{base}?offset=N&size=N" names the record at [offset, offset + size) of the file
// `base`. Pure functions: no I/O, callable from any thread, for any bytes.
//
// They read what Ray's parse_url_with_offset reads, which is Python's urllib.parse: blanks and
// control characters before the url and every tab, CR and LF are dropped, the scheme becomes lower
// case, what follows a '#' is not part of the query, the query's fields come in any order and may
// be percent-encoded. tests/ray/url_vectors.py compares the two. Not followed: numbers that are
// negative, over 64 bits or in other than ASCII digits, and the look at a host's Unicode.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/result.h"

namespace spillfs::storage::external {

struct ObjectUrl {
  std::string base;
  std::uint64_t offset = 0;  // bytes from the file's start
  std::uint64_t size = 0;    // bytes of the whole record

  friend bool operator==(const ObjectUrl&, const ObjectUrl&) = default;
};

std::string create_url_with_offset(std::string_view base, std::uint64_t offset, std::uint64_t size);
// EINVAL "Failed to parse URL: …".
Result<ObjectUrl> parse_url_with_offset(std::string_view url);
// Whether urls made from `base` are parsed to `base`: not with a '?', '#' or tab in it.
bool survives_parsing(std::string_view base);

// "%41" is "A"; a '%' without two hexadecimal digits stays.
std::string percent_decoded(std::string_view text);

}  // namespace spillfs::storage::external
