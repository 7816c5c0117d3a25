// SPDX-License-Identifier: Apache-2.0
// An S3-compatible service and a network on bad days, at every stage of a write, read and removal.
#include "tests/s3/s3_fixture.h"

namespace spillfs::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using S3Faults = S3FaultTest;

constexpr std::size_t kTwoParts = 6 * kMiB;

const char* const kInternalError =
    R"("body": "<Error><Code>InternalError</Code><Message>try again</Message></Error>")";

TEST_F(S3Faults, SmallWritesSurviveThem) {
  const std::string faults[] = {
      R"([{"method": "PUT", "action": "reset"}])",
      R"([{"method": "PUT", "action": "reset", "bytes": 50000, "times": 2}])",
      R"([{"method": "PUT", "action": "drop"}])",
      R"([{"method": "PUT", "action": "drop", "times": 3}])",
      R"([{"method": "PUT", "action": "reply", "status": 503, "times": 3,
           "body": "<Error><Code>SlowDown</Code><Message>slower</Message></Error>"}])",
      R"([{"method": "PUT", "action": "reply", "status": 429}])",
      R"([{"method": "PUT", "action": "reply", "status": 502, "body": "<html>Bad</html>"}])",
      R"([{"method": "PUT", "action": "reply", "status": 400,
           "body": "<Error><Code>RequestTimeout</Code></Error>"}])",
      R"([{"method": "PUT", "action": "drop"}, {"method": "HEAD", "action": "reset"}])"};
  const auto bytes = random_bytes(100000);
  int number = 0;
  for (const std::string& fault : faults) {
    const std::string key = "small/" + std::to_string(number++);
    set_faults(fault);
    const auto written = write(*proxied_, key, bytes);
    ASSERT_TRUE(written) << fault << describe(written.error());
    EXPECT_GE(requests("PUT").size(), 2U) << fault;
    EXPECT_EQ(read(*store_, key, bytes.size()).value(), bytes) << fault;
  }
  ASSERT_TRUE(store_->remove_all("small/"));
}

TEST_F(S3Faults, LargeWritesSurviveThemAtEveryStage) {
  const std::string faults[] = {
      R"([{"method": "HEAD", "action": "reply", "status": 500}])",
      R"([{"match": "uploads=", "action": "reset"}])",
      R"([{"match": "uploads=", "action": "drop"}])",
      R"([{"match": "uploads=", "method": "POST", "action": "cut", "bytes": 20}])",
      R"([{"match": "partNumber=1", "action": "reset", "bytes": 3000000}])",
      R"([{"match": "partNumber=2", "action": "drop"}])",
      R"([{"match": "partNumber=2", "action": "reply", "status": 500}])",
      R"([{"method": "POST", "match": "uploadId=", "action": "reset"}])",
      R"([{"method": "POST", "match": "uploadId=", "action": "drop"}])",
      R"([{"method": "POST", "match": "uploadId=", "action": "cut", "bytes": 20}])",
      std::string(
          R"([{"method": "POST", "match": "uploadId=", "action": "reply", "status": 200,)") +
          kInternalError + "}]"};
  const auto bytes = random_bytes(kTwoParts);
  int number = 0;
  for (const std::string& fault : faults) {
    const std::string key = "large/" + std::to_string(number++);
    set_faults(fault);
    const auto written = write(*proxied_, key, bytes);
    ASSERT_TRUE(written) << fault << describe(written.error());
    EXPECT_EQ(read(*store_, key, bytes.size()).value(), bytes) << fault;
    EXPECT_EQ(uploads_of(key), 0U) << fault;
  }
  ASSERT_TRUE(store_->remove_all("large/"));
}

// What cannot succeed gives an error and leaves neither object nor upload.
TEST_F(S3Faults, FailedWritesLeaveNothing) {
  const std::string faults[] = {
      R"([{"match": "partNumber=1", "action": "reply", "status": 503, "times": 99}])",
      R"([{"match": "partNumber=2", "action": "reset", "bytes": 1000, "times": 99}])",
      R"([{"match": "partNumber=1", "action": "drop", "times": 99}])",
      R"([{"match": "partNumber=2", "action": "reply", "status": 400,
           "body": "<Error><Code>BadDigest</Code></Error>"}])",
      // The abort has to be tried again too.
      R"([{"match": "partNumber=2", "action": "reply", "status": 400},
          {"method": "DELETE", "action": "reset", "times": 2}])",
      R"([{"match": "uploads=", "method": "POST", "action": "drop", "times": 99}])",
      std::string(R"([{"method": "POST", "match": "uploadId=", "action": "reply", "status": 200,
                       "times": 99,)") +
          kInternalError + "}]",
      R"([{"method": "POST", "match": "uploadId=", "action": "reply", "status": 400,
           "body": "<Error><Code>InvalidPart</Code></Error>"}])",
      // Carried out, but nobody can know.
      R"([{"method": "POST", "match": "uploadId=", "action": "drop"},
          {"method": "POST", "match": "uploadId=", "action": "reply", "status": 500,
           "times": 99}])"};
  proxied_parameters_.retries = 2;
  const auto store = open(proxied_parameters_);
  const auto bytes = random_bytes(kTwoParts);
  for (const std::string& fault : faults) {
    set_faults(fault);
    const auto written = write(*store, "failing", bytes);
    ASSERT_FALSE(written) << fault;
    EXPECT_TRUE(written.error().code == ETIMEDOUT || written.error().code == EIO) << fault;
    EXPECT_THAT(written.error().context, HasSubstr("/failing")) << fault;
    EXPECT_EQ(uploads_of("failing"), 0U) << fault;
    EXPECT_EQ(read(*store_, "failing", 1).error().code, ENOENT) << fault;
  }
}

TEST_F(S3Faults, AFailedSmallWriteIsTakenBack) {
  proxied_parameters_.retries = 1;
  const auto store = open(proxied_parameters_);
  set_faults(R"([{"method": "PUT", "action": "drop"},
                 {"method": "PUT", "action": "reply", "status": 503, "times": 9}])");
  const auto written = write(*store, "unknown", as_bytes("bytes"));
  EXPECT_EQ(written.error().code, ETIMEDOUT);
  EXPECT_THAT(written.error().context, HasSubstr("after 2 tries"));
  EXPECT_EQ(read(*store_, "unknown", 1).error().code, ENOENT);
}

TEST_F(S3Faults, ALostReplyDoesNotHideThatTheKeyWasTaken) {
  ASSERT_TRUE(write(*store_, "taken", as_bytes("first")));
  set_faults(R"([{"method": "PUT", "action": "drop"}])");
  EXPECT_EQ(write(*proxied_, "taken", as_bytes("second")).error().code, EEXIST);
  EXPECT_EQ(as_text(read(*store_, "taken", 10).value()), "first");
}

TEST_F(S3Faults, ReadsGoOnFromWhereTheyStopped) {
  const auto bytes = random_bytes(3 * kMiB);
  ASSERT_TRUE(write(*store_, "object", bytes));
  const std::string faults[] = {
      R"([{"method": "GET", "action": "cut", "bytes": 1000000}])",
      R"([{"method": "GET", "action": "cut", "bytes": 300000, "reset": true}])",
      // More often than it would be tried without progress.
      R"([{"method": "GET", "action": "cut", "bytes": 300000, "times": 8}])",
      R"([{"method": "GET", "action": "reply", "status": 503, "times": 3}])",
      R"([{"method": "GET", "action": "drop"}])"};
  for (const std::string& fault : faults) {
    set_faults(fault);
    const auto got = read(*proxied_, "object", bytes.size() - 1000, 1000);
    ASSERT_TRUE(got) << fault << describe(got.error());
    EXPECT_TRUE(std::equal(got->begin(), got->end(), bytes.begin() + 1000, bytes.end())) << fault;
    EXPECT_GE(requests("GET").size(), 2U) << fault;
  }
}

TEST_F(S3Faults, AReadDoesNotMixTwoObjects) {
  ASSERT_TRUE(write(*store_, "object", random_bytes(kMiB)));
  set_faults(R"([{"method": "GET", "action": "cut", "bytes": 1000,
                  "headers": {"etag": "\"of another object\""}}])");
  const auto got = read(*proxied_, "object", kMiB);
  EXPECT_EQ(got.error().code, EIO);
  EXPECT_THAT(got.error().context, HasSubstr("replaced"));
}

TEST_F(S3Faults, AReadTakesOnlyTheRangeItAskedFor) {
  ASSERT_TRUE(write(*store_, "object", random_bytes(1000)));
  for (
      const char* fault :
      {R"([{"method": "GET", "action": "rewrite", "headers": {"content-range": "bytes 0-99/1000"}}])",
       R"([{"method": "GET", "action": "rewrite", "headers": {"content-range": ""}}])",
       R"([{"method": "GET", "action": "reply", "status": 200, "body": "everything"}])",
       R"([{"method": "GET", "action": "reply", "status": 206, "body": "no range"}])"}) {
    set_faults(fault);
    EXPECT_EQ(read(*proxied_, "object", 100, 100).error().code, EIO) << fault;
  }
  // Less than there is.
  set_faults(R"([{"method": "GET", "action": "rewrite",
                  "headers": {"content-range": "bytes 900-999/2000"}}])");
  EXPECT_EQ(read(*proxied_, "object", 200, 900).error().code, EIO);
}

TEST_F(S3Faults, NothingHangsForEver) {
  proxied_parameters_.retries = 1;
  proxied_parameters_.timeout = std::chrono::milliseconds(1000);
  const auto store = open(proxied_parameters_);
  ASSERT_TRUE(write(*store_, "object", random_bytes(1000)));
  for (const char* fault :
       {R"([{"method": "GET", "action": "stall", "bytes": 0, "seconds": 30, "times": 9}])",
        R"([{"method": "GET", "action": "stall", "bytes": 500, "seconds": 30, "times": 9}])",
        R"([{"method": "GET", "action": "trickle", "seconds": 0.2, "times": 9}])"}) {
    set_faults(fault);
    EXPECT_EQ(read(*store, "object", 1000).error().code, ETIMEDOUT) << fault;
  }
}

TEST_F(S3Faults, AnUnreachableServiceIsGivenUp) {
  proxied_parameters_.retries = 1;
  proxied_parameters_.endpoint = "http://127.0.0.1:1";
  const auto store = open(proxied_parameters_);
  EXPECT_EQ(write(*store, "object", as_bytes("x")).error().code, ETIMEDOUT);
  EXPECT_EQ(store->remove_all("").error().code, ETIMEDOUT);
  EXPECT_EQ(read(*store, "object", 1).error().code, ETIMEDOUT);
}

TEST_F(S3Faults, RetryAfterIsHonoured) {
  set_faults(R"([{"method": "GET", "action": "reply", "status": 503,
                  "headers": {"retry-after": "2"}}])");
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(read(*proxied_, "missing", 1).error().code, ENOENT);
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
}

TEST_F(S3Faults, WhatIsRefusedIsNotTriedAgain) {
  set_faults(R"([{"method": "GET", "action": "reply", "status": 400, "times": 9,
                  "body": "<Error><Code>Odd</Code><Message>line\nbreak</Message></Error>"}])");
  const auto got = read(*proxied_, "object", 1);
  EXPECT_EQ(got.error().code, EIO);
  EXPECT_THAT(got.error().context, HasSubstr("line break (Odd, HTTP 400)"));
  EXPECT_THAT(requests("GET"), SizeIs(1));
}

TEST_F(S3Faults, ADenialByMinioIsTriedAgainThreeTimes) {
  const auto denials = [](const char* server, const char* times) {
    return std::string(R"([{"method": "PUT", "action": "reply", "status": 403, "headers":)") +
           R"({"server": ")" + server + R"("}, "times": )" + times +
           R"(, "body": "<Error><Code>AccessDenied</Code></Error>"}])";
  };
  set_faults(denials("MinIO", "3"));
  EXPECT_TRUE(write(*proxied_, "object", as_bytes("x")));
  set_faults(denials("MinIO", "99"));
  EXPECT_EQ(write(*proxied_, "other", as_bytes("x")).error().code, EACCES);
  EXPECT_THAT(requests("PUT"), SizeIs(4));
  set_faults(denials("AmazonS3", "99"));
  EXPECT_EQ(write(*proxied_, "other", as_bytes("x")).error().code, EACCES);
  EXPECT_THAT(requests("PUT"), SizeIs(1));
}

TEST_F(S3Faults, ErrorsInsideADeleteReplyAreErrors) {
  const std::vector<std::string> keys{"a", "b", "c"};
  for (const std::string& key : keys) ASSERT_TRUE(write(*store_, key, as_bytes("x")));
  const auto delete_error = [&](const std::string& error) {
    return R"([{"match": "delete=", "action": "reply", "status": 200, "body": "<DeleteResult>)" +
           std::string("<Error><Key>") + prefix_ + "/b</Key>" + error +
           R"(</Error></DeleteResult>"}])";
  };
  set_faults(delete_error("<Code>AccessDenied</Code><Message>locked</Message>"));
  const auto refused = proxied_->remove(keys);
  EXPECT_EQ(refused.error().code, EACCES);
  EXPECT_THAT(refused.error().context, HasSubstr("/b: locked (AccessDenied"));
  // One that may go better is tried again, by itself.
  set_faults(delete_error("<Code>SlowDown</Code>"));
  ASSERT_TRUE(proxied_->remove(keys));
  EXPECT_EQ(read(*store_, "b", 1).error().code, ENOENT);
  EXPECT_TRUE(read(*store_, "a", 1));
}

TEST_F(S3Faults, RemovalsSurviveThem) {
  const std::vector<std::string> keys{"r/a", "r/b", "r/c"};
  for (const char* fault : {R"([{"match": "delete=", "action": "drop"}])",
                            R"([{"match": "delete=", "action": "reply", "status": 503}])",
                            R"([{"match": "delete=", "action": "cut", "bytes": 10}])",
                            R"([{"match": "list-type=", "action": "cut", "bytes": 100},
                                {"match": "uploads=", "action": "reset"}])"}) {
    for (const std::string& key : keys) ASSERT_TRUE(write(*store_, key, as_bytes("x"))) << fault;
    set_faults(fault);
    ASSERT_TRUE(proxied_->remove_all("r/")) << fault;
    for (const std::string& key : keys) EXPECT_FALSE(read(*store_, key, 1)) << fault;
  }
}

TEST_F(S3Faults, AServiceWithoutBatchDeletesIsAskedOneByOne) {
  const std::vector<std::string> keys{"a", "b", "c"};
  for (const std::string& key : keys) ASSERT_TRUE(write(*store_, key, as_bytes("x")));
  set_faults(R"([{"match": "delete=", "action": "reply", "status": 501, "times": 9,
                  "body": "<Error><Code>NotImplemented</Code></Error>"}])");
  ASSERT_TRUE(proxied_->remove(keys));
  EXPECT_THAT(requests("DELETE"), SizeIs(3));
  for (const std::string& key : keys) EXPECT_FALSE(read(*store_, key, 1));
  ASSERT_TRUE(proxied_->remove(keys));
  EXPECT_THAT(requests("delete="), SizeIs(1));
}

TEST_F(S3Faults, AServiceWithoutConditionsIsAskedBeforehand) {
  const std::string no_conditions = R"([{"header": "if-none-match", "action": "reply", "times": 99,
      "status": 501, "body": "<Error><Code>NotImplemented</Code></Error>"}])";
  const auto bytes = random_bytes(kTwoParts);
  set_faults(no_conditions);
  ASSERT_TRUE(write(*proxied_, "small", as_bytes("x")));
  EXPECT_EQ(write(*proxied_, "small", as_bytes("y")).error().code, EEXIST);
  ASSERT_TRUE(write(*proxied_, "large", bytes));
  const auto fresh = open(proxied_parameters_);
  EXPECT_EQ(write(*fresh, "large", bytes).error().code, EEXIST);
  ASSERT_TRUE(write(*fresh, "large2", bytes));
  EXPECT_EQ(read(*store_, "large2", bytes.size()).value(), bytes);
  EXPECT_EQ(as_text(read(*store_, "small", 1).value()), "x");
}

}  // namespace
}  // namespace spillfs::tests
