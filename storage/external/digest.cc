// SPDX-License-Identifier: Apache-2.0
#include "storage/external/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <array>

namespace spillfs::storage::external {
namespace {

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

unsigned char* raw(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char character : bytes) {
    const auto byte = static_cast<unsigned char>(character);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha256(Bytes bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  ::SHA256(raw(as_text(bytes)), bytes.size(), raw(digest));
  return digest;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(text), text.size(),
         raw(digest), nullptr);
  return digest;
}

Result<std::string> md5_base64(Bytes bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  std::size_t size = 0;
  if (::EVP_Q_digest(nullptr, "MD5", nullptr, bytes.data(), bytes.size(), digest.data(), &size) !=
      1) {
    return fail(ENOTSUP, "OpenSSL refuses MD5 here");
  }
  std::string text(4 * ((size + 2) / 3) + 1, '\0');
  const int length = ::EVP_EncodeBlock(raw(text), digest.data(), static_cast<int>(size));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace spillfs::storage::external
