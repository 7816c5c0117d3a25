// SPDX-License-Identifier: Apache-2.0
// Percent-encoding as Signature Version 4 wants it: everything but RFC 3986's unreserved
// characters, upper-case hexadecimal digits. What is signed is what is sent.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spillfs::storage::external {

using Query = std::vector<std::pair<std::string, std::string>>;

std::string encode_component(std::string_view text);
// As encode_component(), but '/' stays.
std::string encode_path(std::string_view text);
// "a=1&b=", sorted by encoded name, then value.
std::string encode_query(const Query& query);

// A key of a listing with encoding-type=url, where a space may be '+'. What is no escape stays.
std::string decode_listed(std::string_view text);

}  // namespace spillfs::storage::external
