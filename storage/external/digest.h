// SPDX-License-Identifier: Apache-2.0
// The digests that S3 requests carry.
#pragma once

#include <string>
#include <string_view>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs::storage::external {

// Lower-case hexadecimal digits, two a byte.
std::string hex(std::string_view bytes);

// 32 raw bytes.
std::string sha256(Bytes bytes);
std::string hmac_sha256(std::string_view key, std::string_view text);

// RFC 1864's Content-MD5. ENOTSUP where the system's policy forbids MD5 (FIPS).
Result<std::string> md5_base64(Bytes bytes);

}  // namespace spillfs::storage::external
