// SPDX-License-Identifier: Apache-2.0
// What the tests of the external storage have in common: objects, a runtime's object store, an S3
// service where the environment names one.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "storage/external/external_storage.h"
#include "storage/external/object_uri.h"

namespace spillfs::tests {

namespace ext = storage::external;

inline std::string some_bytes(std::size_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
  return bytes;
}

// 28 bytes, as Ray's.
inline std::string new_ref() {
  std::random_device random;
  std::string ref;
  while (ref.size() < 56) ref += "0123456789abcdef"[random() % 16];
  return ref;
}

// What `bytes` points to lives as long as the object is used.
inline ext::SpillObject object_of(std::string_view bytes, std::string owner = "owner",
                                  std::string metadata = "META") {
  return {.ref = new_ref(),
          .owner_address = std::move(owner),
          .metadata = std::move(metadata),
          .buffer = as_bytes(bytes)};
}

inline std::vector<std::string> refs_of(const std::vector<ext::SpillObject>& objects) {
  std::vector<std::string> refs;
  for (const auto& object : objects) refs.push_back(object.ref);
  return refs;
}

// Keeps what comes back. Reads in pieces of `piece` bytes.
class KeepingSink final : public ext::ObjectSink {
 public:
  struct Kept {
    ext::RestoredObject object;
    std::string bytes;
  };

  explicit KeepingSink(std::size_t piece = 3 * kMiB) : piece_(piece) {}

  Result<> put(const ext::RestoredObject& object, ext::BufferReader& buffer) override {
    std::string bytes(object.length, '\0');
    const MutableBytes all = std::as_writable_bytes(std::span(bytes));
    std::size_t done = 0;
    for (;;) {
      const std::size_t count = std::min(piece_, all.size() - done);
      done += SPILLFS_TRY(buffer.read(all.subspan(done, count)));
      if (done == all.size()) break;
      if (count == 0) return fail(EIO, "the buffer ended early");
    }
    std::byte more{};
    if (SPILLFS_TRY(buffer.read({&more, 1})) != 0) return fail(EIO, "the buffer goes on");
    kept.push_back({object, std::move(bytes)});
    return {};
  }

  std::vector<Kept> kept;

 private:
  const std::size_t piece_;
};

// An S3 service for tests: SPILLFS_TEST_S3_ENDPOINT, _REGION, _ACCESS_KEY, _SECRET_KEY; it has the
// bucket kTestBucketUri. Nothing where the environment names none.
inline constexpr const char* kTestBucketUri = "s3://spillfs-test";
inline constexpr const char* kNoTestS3 = "no S3 service: SPILLFS_TEST_S3_ENDPOINT is not set";

inline std::optional<ext::S3Parameters> test_s3() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (variable("SPILLFS_TEST_S3_ENDPOINT").empty()) return std::nullopt;
  return ext::S3Parameters{.endpoint = variable("SPILLFS_TEST_S3_ENDPOINT"),
                           .region = variable("SPILLFS_TEST_S3_REGION"),
                           .access_key = variable("SPILLFS_TEST_S3_ACCESS_KEY"),
                           .secret_key = variable("SPILLFS_TEST_S3_SECRET_KEY"),
                           .retries = 4,
                           .timeout = std::chrono::milliseconds(10000)};
}

}  // namespace spillfs::tests
