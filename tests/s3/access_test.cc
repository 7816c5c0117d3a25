// SPDX-License-Identifier: Apache-2.0
// What the service refuses, what is said about it, and what is not.
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "tests/s3/s3_fixture.h"

namespace spillfs::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

using S3Access = S3FaultTest;

TEST_F(S3Access, WrongCredentialsAreRefusedAtOnce) {
  S3Parameters wrong_key = proxied_parameters_;
  wrong_key.access_key = "nobody-knows-me";
  S3Parameters wrong_secret = proxied_parameters_;
  wrong_secret.secret_key = "not-the-secret";
  S3Parameters wrong_token = proxied_parameters_;
  wrong_token.session_token = "not-a-token";
  const auto bytes = random_bytes(6 * kMiB);
  for (const S3Parameters& parameters : {wrong_key, wrong_secret, wrong_token}) {
    const auto store = open(parameters);
    set_faults("[]");
    const auto read_it = read(*store, "object", 1);
    EXPECT_EQ(read_it.error().code, EACCES);
    EXPECT_THAT(requests(), SizeIs(1));
    EXPECT_EQ(write(*store, "object", as_bytes("x")).error().code, EACCES);
    EXPECT_EQ(write(*store, "object", bytes).error().code, EACCES);
    const auto removed = store->remove(std::vector<std::string>{"a", "b"});
    EXPECT_EQ(removed.error().code, EACCES) << describe(removed.error());
    EXPECT_EQ(store->remove_all("").error().code, EACCES);
  }
}

TEST_F(S3Access, AMissingBucketIsNoMissingObject) {
  const auto store =
      storage::external::open_s3_store("spillfs-no-such", "p", proxied_parameters_).value();
  const auto bytes = random_bytes(6 * kMiB);
  for (const Result<>& result :
       {Result<>(read(*store, "object", 1).map([](const auto&) {})),
        write(*store, "object", as_bytes("x")), write(*store, "object", bytes),
        store->remove(std::vector<std::string>{"a", "b"}),
        store->remove(std::vector<std::string>{"a"}), store->remove_all("")}) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, EIO);
    EXPECT_THAT(result.error().context, HasSubstr("there is no bucket spillfs-no-such"));
  }
}

TEST_F(S3Access, AWrongRegionIsSaid) {
  S3Parameters parameters = parameters_;
  parameters.region = "us-west-9";
  const auto got = read(*open(parameters), "object", 1);
  EXPECT_EQ(got.error().code, EIO);
  EXPECT_THAT(got.error().context,
              HasSubstr("the bucket is in region " + parameters_.region + ", not in us-west-9"));
  // AWS says it in a header, and redirects.
  set_faults(R"([{"method": "HEAD", "action": "reply", "status": 301,
                  "headers": {"x-amz-bucket-region": "eu-far-2", "content-length": "0"}}])");
  const auto writer = proxied_->create("object").value();
  const auto written = writer->write(random_bytes(6 * kMiB));
  EXPECT_THAT(written.error().context, HasSubstr("the bucket is in region eu-far-2"));
}

TEST_F(S3Access, AWrongClockIsSaid) {
  set_faults(R"([{"method": "GET", "action": "reply", "status": 403, "times": 9,
      "headers": {"date": "Fri, 24 May 2013 00:00:00 GMT"},
      "body": "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference</Message></Error>"}])");
  const auto got = read(*proxied_, "object", 1);
  EXPECT_EQ(got.error().code, EACCES);
  EXPECT_THAT(got.error().context, HasSubstr("this machine's clock differs by "));
  EXPECT_THAT(got.error().context, HasSubstr("RequestTimeTooSkewed"));
}

TEST_F(S3Access, AFullServiceIsSaid) {
  set_faults(R"([{"method": "PUT", "action": "reply", "status": 507, "times": 9,
                  "body": "<Error><Code>XMinioStorageFull</Code></Error>"}])");
  EXPECT_EQ(write(*proxied_, "object", as_bytes("x")).error().code, ENOSPC);
}

TEST_F(S3Access, ACertificateHasToBeTrusted) {
  S3Parameters parameters = parameters_;
  parameters.endpoint = variable("TLS_ENDPOINT");
  const auto refused = read(*open(parameters), "object", 1);
  EXPECT_EQ(refused.error().code, EIO);
  EXPECT_THAT(refused.error().context, HasSubstr("certificate"));

  parameters.ca_file = variable("CA_FILE");
  make_bucket(parameters);
  const auto store = open(parameters);
  const auto bytes = random_bytes(6 * kMiB);
  ASSERT_TRUE(store->remove_all(""));
  ASSERT_TRUE(write(*store, "object", bytes));
  EXPECT_EQ(read(*store, "object", bytes.size()).value(), bytes);

  S3Parameters unreadable = parameters;
  unreadable.ca_file = "/does/not/exist.pem";
  EXPECT_EQ(storage::external::open_s3_store(kTestBucket, "", unreadable).error().code, EACCES);
  // A certificate for another host is none.
  parameters.ca_file = variable("CA_FILE");
  parameters.endpoint.replace(parameters.endpoint.find("127.0.0.1"), 9, "127.0.0.2");
  EXPECT_FALSE(read(*open(parameters), "object", 1));
}

// Everything that is said or logged, while everything goes wrong.
TEST_F(S3Access, CredentialsAreNeverSaid) {
  std::ostringstream log;
  const auto previous = spdlog::default_logger();
  const auto logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
  logger->set_level(spdlog::level::trace);
  spdlog::set_default_logger(logger);
  S3Parameters wrong = proxied_parameters_;
  wrong.access_key = "hidden-access-key";
  wrong.secret_key = "hidden-secret-key";
  wrong.session_token = "hidden-session-token";
  wrong.retries = 0;
  const auto store = open(wrong);
  std::string said;
  const std::string faults[] = {
      "[]", R"([{"action": "drop", "times": 99}])",
      R"([{"action": "reply", "times": 99, "status": 403, "body": "<Error><Code>AccessDenied</Code>
           <Message>hidden-access-key hidden-secret-key hidden-session-token</Message></Error>"}])",
      R"([{"action": "reply", "times": 99, "status": 503}])"};
  for (std::string fault : faults) {
    std::replace(fault.begin(), fault.end(), '\n', ' ');
    set_faults(fault);
    said += describe(read(*store, "object", 1).error());
    said += describe(write(*store, "object", as_bytes("x")).error());
    said += describe(write(*store, "object", random_bytes(6 * kMiB)).error());
    said += describe(store->remove_all("").error());
  }
  spdlog::set_default_logger(previous);
  said += log.str();
  EXPECT_THAT(said, HasSubstr("an unfinished object may be left"));
  EXPECT_THAT(said, AllOf(Not(HasSubstr("hidden")), Not(HasSubstr("Signature=")),
                          Not(HasSubstr("AWS4-HMAC"))));
}

}  // namespace
}  // namespace spillfs::tests
