// SPDX-License-Identifier: Apache-2.0
// Tests against the servers that tests/support/minio.py starts; skipped where there are none.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "storage/external/s3_client.h"
#include "storage/external/s3_object_store.h"
#include "storage/external/s3_uploads.h"

namespace spillfs::tests {

using storage::external::HttpClient;
using storage::external::HttpReply;
using storage::external::HttpRequest;
using storage::external::ObjectStore;
using storage::external::ObjectWriter;
using storage::external::S3Client;
using storage::external::S3Parameters;
using storage::external::S3Request;

inline constexpr const char* kTestBucket = "spillfs-test";

inline std::string variable(const std::string& name) {
  const char* value = std::getenv(("SPILLFS_TEST_S3_" + name).c_str());
  return value == nullptr ? "" : value;
}

inline std::vector<std::byte> random_bytes(std::size_t size, unsigned seed = 1) {
  std::vector<std::byte> bytes(size);
  std::mt19937_64 random(seed);
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min(sizeof(word), size - at));
  }
  return bytes;
}

// Each test has a prefix of its own in the bucket.
class S3Test : public ::testing::Test {
 protected:
  void SetUp() override {
    if (variable("ENDPOINT").empty()) GTEST_SKIP() << "no S3 service; tests/s3/minio_test.py";
    parameters_ = {.endpoint = variable("ENDPOINT"),
                   .region = variable("REGION"),
                   .access_key = variable("ACCESS_KEY"),
                   .secret_key = variable("SECRET_KEY"),
                   .retries = 4,
                   .timeout = std::chrono::milliseconds(10000)};
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    prefix_ = std::string("t/") + info->test_suite_name() + "." + info->name();
    make_bucket(parameters_);
    store_ = open(parameters_);
    ASSERT_TRUE(store_->remove_all(""));
  }

  static void make_bucket(const S3Parameters& parameters) {
    const auto made = client(parameters)->call({.method = "PUT"});
    ASSERT_TRUE(made.end == storage::external::S3End::kDone ||
                made.is("BucketAlreadyOwnedByYou", 409))
        << made.http.body << made.http.problem;
  }

  static std::unique_ptr<S3Client> client(const S3Parameters& parameters) {
    return std::make_unique<S3Client>(
        storage::external::resolve_settings(kTestBucket, parameters,
                                            storage::external::process_environment())
            .value());
  }

  std::unique_ptr<ObjectStore> open(const S3Parameters& parameters) {
    return storage::external::open_s3_store(kTestBucket, prefix_, parameters).value();
  }

  static Result<> write(ObjectStore& store, const std::string& key, Bytes bytes) {
    const auto writer = SPILLFS_TRY(store.create(key));
    SPILLFS_TRY(writer->write(bytes));
    return writer->finish();
  }

  // The object from `offset` on, at most `size` bytes.
  static Result<std::vector<std::byte>> read(ObjectStore& store, const std::string& key,
                                             std::size_t size, std::uint64_t offset = 0) {
    std::vector<std::byte> bytes(size);
    bytes.resize(SPILLFS_TRY(store.read(key, bytes, offset)));
    return bytes;
  }

  // Unfinished uploads of one key: MinIO lists no others by prefix.
  std::size_t uploads_of(const std::string& key) {
    const auto direct = client(parameters_);
    return storage::external::S3Uploads(*direct).list(prefix_ + "/" + key).value().size();
  }

  S3Parameters parameters_;
  std::string prefix_;
  std::unique_ptr<ObjectStore> store_;  // without the proxy
};

// With tests/support/fault_proxy.py between; it says what faults there are.
class S3FaultTest : public S3Test {
 protected:
  void SetUp() override {
    S3Test::SetUp();
    if (IsSkipped()) return;
    set_faults("[]");
    proxied_parameters_ = parameters_;
    proxied_parameters_.endpoint = variable("PROXY");
    proxied_ = open(proxied_parameters_);
  }
  void TearDown() override {
    if (!IsSkipped()) set_faults("[]");
  }

  void set_faults(const std::string& json) { control("PUT", "/-/faults", json); }

  // "PUT /bucket/key?query 200" of each request since set_faults() whose text contains `part`.
  std::vector<std::string> requests(const std::string& part = "") {
    std::vector<std::string> found;
    for (const auto& seen : nlohmann::json::parse(control("GET", "/-/requests", ""))) {
      std::string text =
          seen["request"].get<std::string>() + " " + std::to_string(seen["status"].get<int>());
      if (text.find(part) != std::string::npos) found.push_back(std::move(text));
    }
    return found;
  }

  S3Parameters proxied_parameters_;
  std::unique_ptr<ObjectStore> proxied_;

 private:
  std::string control(const std::string& method, const std::string& path, const std::string& body) {
    const HttpReply reply = http_.perform({.method = method,
                                           .url = variable("PROXY") + path,
                                           .body = as_bytes(body),
                                           .limit = std::chrono::seconds(10)});
    EXPECT_EQ(reply.status, 200) << reply.problem;
    return reply.body;
  }

  HttpClient http_{{}};
};

}  // namespace spillfs::tests
