// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "storage/external/external_config.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::storage::external {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

StorageConfig parsed(const std::string& config, const std::string& session = "s") {
  auto result = parse_storage_config(config, session);
  EXPECT_TRUE(result) << describe(result.error());
  return result.value_or(StorageConfig{});
}

std::string refused(const std::string& config, const std::string& session = "s") {
  const auto result = parse_storage_config(config, session);
  if (result) return "accepted";
  EXPECT_EQ(result.error().code, EINVAL);
  return result.error().context;
}

std::string with_params(const std::string& type, const std::string& params) {
  return R"({"type":")" + type + R"(","params":)" + params + "}";
}

TEST(ExternalConfig, EmptyMeansNoStorage) {
  for (const char* config : {"", " \n", "null", "{}", R"({"type":"null"})"}) {
    EXPECT_THAT(parsed(config).places, IsEmpty()) << config;
  }
}

TEST(ExternalConfig, NamesWhatIsWrong) {
  EXPECT_EQ(refused(R"({"type":"floppy"})"), "Unknown external storage type: floppy");
  EXPECT_EQ(refused("[]"), "The object spilling config is not a JSON object.");
  EXPECT_EQ(refused("{\"type\""), "The object spilling config is not a JSON object.");
  EXPECT_EQ(refused(R"({"type":1})"), "The object spilling config's type must be a string.");
  EXPECT_EQ(refused(R"({"params":{}})"), "The object spilling config's type must be a string.");
  EXPECT_EQ(refused(with_params("filesystem", "3")), "params must be an object.");
  EXPECT_EQ(refused(with_params("filesystem", "{}")),
            "directory_path should be provided to use object spilling.");
  EXPECT_EQ(refused(with_params("filesystem", R"({"directory_path":[]})")),
            "filesystem: directory_path is an empty list.");
  for (const char* mistyped : {"1", "{}", "[\"/a\",1]"}) {
    EXPECT_EQ(
        refused(with_params("filesystem", std::string(R"({"directory_path":)") + mistyped + "}")),
        "Directory_path must be either a single string or a list of strings");
  }
  EXPECT_EQ(refused(with_params("filesystem", R"({"directory_path":"/a","buffer_size":"1"})")),
            "filesystem: buffer_size must be an integer.");
  EXPECT_EQ(refused(with_params("filesystem", R"({"directory_path":"/a","buffer_size":1.5})")),
            "filesystem: buffer_size must be an integer.");
  EXPECT_EQ(refused(with_params("filesystem", R"({"directory_path":"/a","x":1,"y":2})")),
            "filesystem: unknown param x, y.");
  EXPECT_EQ(refused(with_params("null", R"({"x":1})")), "null: unknown param x.");
  EXPECT_EQ(refused(with_params("smart_open", "{}")),
            "uri should be provided to use object spilling.");
  EXPECT_EQ(refused(with_params("smart_open", R"({"uri":7})")),
            "uri must be a single string or list of strings.");
  EXPECT_EQ(refused(with_params("smart_open", R"({"uri":["s3://any/b","/c"]})")),
            "all uri's must be s3 or none can be s3.");
}

TEST(ExternalConfig, RefusesPathsThatUrlsLose) {
  for (const char* path : {"/a?b", "/a#b", "/tab\\t", " /a"}) {
    EXPECT_THAT(
        refused(with_params("filesystem", std::string(R"({"directory_path":")") + path + "\"}")),
        HasSubstr("can't stand in an object's url"));
  }
}

TEST(ExternalConfig, Filesystem) {
  const auto one = parsed(with_params("filesystem", R"({"directory_path":"/mnt/a"})"));
  ASSERT_EQ(one.places.size(), 1U);
  EXPECT_EQ(one.places[0].uri, "/mnt/a");
  EXPECT_EQ(one.places[0].key_prefix, "ray_spilled_objects/");
  EXPECT_EQ(one.places[0].url_prefix, "/mnt/a/ray_spilled_objects/");
  EXPECT_EQ(one.s3.buffer_size, kMiB);
  const auto two =
      parsed(with_params("filesystem", R"({"directory_path":["/mnt/a/","b"],"buffer_size":1000})"));
  EXPECT_EQ(two.places[0].url_prefix, "/mnt/a/ray_spilled_objects/");
  EXPECT_EQ(two.places[1].url_prefix, "b/ray_spilled_objects/");
  ASSERT_THAT(two.folders, testing::SizeIs(2));
  EXPECT_EQ(two.folders[0].root + " " + two.folders[0].name, "/mnt/a/ ray_spilled_objects");
  EXPECT_EQ(two.folders[1].root + " " + two.folders[1].name, "b ray_spilled_objects");
  EXPECT_EQ(two.s3.buffer_size, 1000U);
}

TEST(ExternalConfig, BufferSizeAsRayWritesIt) {
  // Ray's documentation has it beside the params; Python has -1 and None for the default.
  EXPECT_EQ(
      parsed(R"({"type":"smart_open","params":{"uri":"/a"},"buffer_size":7,"x":1})").s3.buffer_size,
      7U);
  for (const char* fallback : {"-1", "null"}) {
    EXPECT_EQ(
        parsed(with_params("filesystem", std::string(R"({"directory_path":"/a","buffer_size":)") +
                                             fallback + "}"))
            .s3.buffer_size,
        kMiB);
  }
}

TEST(ExternalConfig, SmartOpen) {
  const auto local = parsed(with_params("smart_open", R"({"uri":"/mnt/a/"})"));
  EXPECT_EQ(local.places[0].url_prefix, "/mnt/a//ray_spilled_objects-");
  EXPECT_THAT(local.folders, IsEmpty());
  const auto s3 = parsed(with_params("smart_open",
                                     R"({"uri":["s3://bucket/p/","s3://other"],"prefix":"mine",
      "buffer_size":5,"override_transport_params":{"endpoint_url":"http://h:1","region_name":"r",
      "aws_access_key_id":"k","aws_secret_access_key":"s","aws_session_token":"t","verify":"/ca",
      "addressing_style":"virtual","buffer_size":6,"retries":0,"timeout":1.5}})"));
  EXPECT_EQ(s3.places[0].uri, "s3://bucket/p");
  EXPECT_EQ(s3.places[0].url_prefix, "s3://bucket/p/mine-");
  EXPECT_EQ(s3.places[1].url_prefix, "s3://other/mine-");
  EXPECT_EQ(s3.places[1].key_prefix, "mine-");
  EXPECT_EQ(s3.s3.endpoint + s3.s3.region + s3.s3.access_key + s3.s3.secret_key +
                s3.s3.session_token + s3.s3.ca_file,
            "http://h:1rkst/ca");
  EXPECT_TRUE(s3.s3.virtual_host);
  EXPECT_EQ(s3.s3.buffer_size, 6U);
  EXPECT_EQ(s3.s3.retries, 0U);
  EXPECT_EQ(s3.s3.timeout, std::chrono::milliseconds(1500));
}

TEST(ExternalConfig, AnS3UriHasABucket) {
  const auto refused_with = [](const std::string& uri) {
    return refused(with_params("smart_open", R"({"uri":")" + uri + R"("})"));
  };
  for (const char* uri : {"s3:", "s3://", "s3:///prefix"}) {
    EXPECT_THAT(refused_with(uri), HasSubstr("names no bucket; an S3 uri is s3://bucket")) << uri;
  }
  EXPECT_THAT(refused_with("s3://ab/x"), HasSubstr("'ab' is no bucket's name"));
}

TEST(ExternalConfig, TransportParamsAreChecked) {
  const auto refused_with = [](const std::string& params) {
    return refused(with_params(
        "smart_open", R"({"uri":"s3://bucket","override_transport_params":)" + params + "}"));
  };
  EXPECT_EQ(refused_with("[]"), "smart_open: override_transport_params must be an object.");
  EXPECT_EQ(refused_with(R"({"client":1})"), "override_transport_params: unknown param client.");
  EXPECT_EQ(refused_with(R"({"aws_secret_access_key":1})"),
            "override_transport_params: aws_secret_access_key must be a string.");
  EXPECT_EQ(refused_with(R"({"verify":0})"), "override_transport_params: verify must be a string.");
  EXPECT_THAT(refused_with(R"({"verify":false})"),
              AllOf(HasSubstr("verify can't be false"), HasSubstr("the file (PEM)")));
  EXPECT_EQ(parsed(with_params("smart_open", R"({"uri":"s3://bucket",
      "override_transport_params":{"verify":true}})"))
                .s3.ca_file,
            "");
  EXPECT_THAT(refused_with(R"({"addressing_style":"x"})"), HasSubstr("path or virtual"));
  EXPECT_THAT(refused_with(R"({"retries":-1})"), HasSubstr("from 0 to 100"));
  EXPECT_THAT(refused_with(R"({"timeout":0})"), HasSubstr("up to 3600"));
}

TEST(ExternalConfig, RayStorage) {
  const auto local = parsed(with_params("ray_storage", R"({"storage":"file:///mnt/a"})"), "sess");
  EXPECT_EQ(local.places[0].key_prefix, "spilled_objects/sess/");
  EXPECT_EQ(local.places[0].url_prefix, "/mnt/a/spilled_objects/sess/");
  EXPECT_EQ(local.scheme, "");
  const auto s3 =
      parsed(with_params(
                 "ray_storage",
                 R"({"storage":"s3://k:s%2Ft@b/p/?region=r&scheme=http&endpoint_override=h%3A1"})"),
             "sess");
  EXPECT_EQ(s3.places[0].uri, "s3://b/p");
  EXPECT_EQ(s3.places[0].url_prefix, "b/p/spilled_objects/sess/");
  EXPECT_EQ(s3.scheme, "s3://");
  EXPECT_EQ(s3.s3.access_key + " " + s3.s3.secret_key, "k s/t");
  EXPECT_EQ(s3.s3.endpoint + " " + s3.s3.region, "http://h:1 r");
  EXPECT_THAT(refused(with_params("ray_storage", R"({"storage":"s3://b?color=red"})")),
              HasSubstr("unknown option color"));
}

TEST(ExternalConfig, RayStorageFromTheEnvironment) {
  const char* config = R"({"type":"ray_storage"})";
  ::unsetenv("RAY_STORAGE");
  EXPECT_THAT(refused(config), HasSubstr("RAY_STORAGE"));
  ::setenv("RAY_STORAGE", "/mnt/env", 1);
  EXPECT_EQ(parsed(config).places[0].uri, "/mnt/env");
  ::unsetenv("RAY_STORAGE");
}

TEST(ExternalConfig, SessionsAreNames) {
  const std::string config = with_params("ray_storage", R"({"storage":"/a"})");
  for (const char* session : {"", ".", "..", "a/b"}) {
    EXPECT_THAT(refused(config, session), HasSubstr("can't be a session's name"));
  }
}

TEST(ExternalConfig, TestStorages) {
  const auto unstable = parsed(with_params("unstable_fs", R"({"directory_path":"/a"})"));
  EXPECT_EQ(unstable.unstable->failure_rate, 0.1);
  EXPECT_EQ(unstable.unstable->partial_failure_ratio, 0.2);
  EXPECT_FALSE(unstable.unstable->seed);
  const auto seeded =
      parsed(with_params("unstable_fs", R"({"directory_path":"/a","failure_rate":1,"seed":5})"));
  EXPECT_EQ(seeded.unstable->failure_rate, 1);
  EXPECT_EQ(seeded.unstable->seed, 5U);
  EXPECT_THAT(refused(with_params("unstable_fs", R"({"directory_path":"/a","failure_rate":2})")),
              HasSubstr("from 0 to 1"));
  const auto slow = parsed(with_params("slow_fs", R"({"directory_path":"/a"})"));
  EXPECT_EQ(slow.slow->min_delay.count(), 1);
  EXPECT_EQ(slow.slow->max_delay.count(), 2);
  EXPECT_THAT(refused(with_params("slow_fs", R"({"directory_path":"/a","min_delay":3})")),
              HasSubstr("min_delay <= max_delay"));
}

}  // namespace
}  // namespace spillfs::storage::external
