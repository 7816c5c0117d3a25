// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

namespace spillfs::storage::external {
namespace {

using ::testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

Environment environment_of(Variables variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

Result<S3Settings> resolve(const S3Parameters& parameters, const Variables& variables) {
  return resolve_settings("bucket", parameters, environment_of(variables));
}

const Variables kKeys{{"AWS_ACCESS_KEY_ID", "env-key"}, {"AWS_SECRET_ACCESS_KEY", "env-secret"}};

Variables keys_and(Variables more) {
  more.insert(kKeys.begin(), kKeys.end());
  return more;
}

class CredentialsFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = (std::filesystem::temp_directory_path() / "spillfs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    home_ = folder;
    std::filesystem::create_directory(home_ / ".aws");
    std::ofstream(home_ / ".aws/credentials") << "# a comment\n"
                                                 "[default]\n"
                                                 "aws_access_key_id = file-key\r\n"
                                                 "aws_secret_access_key=a=b+c/d==\n"
                                                 "\n"
                                                 "[ other ]\n"
                                                 "  aws_access_key_id= other-key\n"
                                                 "; aws_access_key_id = hidden\n"
                                                 "aws_secret_access_key = other-secret\n"
                                                 "aws_session_token = other-token\n"
                                                 "region = eu-file-1\n"
                                                 "[half]\n"
                                                 "aws_access_key_id = half-key";
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  Result<S3Settings> resolve_at_home(Variables variables, const S3Parameters& parameters = {}) {
    variables["HOME"] = home_;
    return resolve(parameters, variables);
  }

  std::filesystem::path home_;
};

TEST(S3Settings, TakeTheParametersFirst) {
  const auto settings =
      resolve({.region = "r1", .access_key = "given-key", .secret_key = "given-secret"},
              keys_and({{"AWS_REGION", "r2"}, {"AWS_SESSION_TOKEN", "env-token"}}))
          .value();
  EXPECT_EQ(settings.region, "r1");
  EXPECT_EQ(settings.credentials.access_key, "given-key");
  EXPECT_EQ(settings.credentials.secret_key, "given-secret");
  EXPECT_EQ(settings.credentials.session_token, "");
}

TEST(S3Settings, TakeTheEnvironmentThen) {
  const auto settings = resolve({}, keys_and({{"AWS_DEFAULT_REGION", "r3"},
                                              {"AWS_SESSION_TOKEN", "env-token"},
                                              {"AWS_ENDPOINT_URL", "http://a:1"}}))
                            .value();
  EXPECT_EQ(settings.region, "r3");
  EXPECT_EQ(settings.credentials.access_key, "env-key");
  EXPECT_EQ(settings.credentials.session_token, "env-token");
  EXPECT_EQ(settings.endpoint.authority, "a:1");
  const Variables both =
      keys_and({{"AWS_ENDPOINT_URL", "http://a:1"}, {"AWS_ENDPOINT_URL_S3", "http://b:2"}});
  EXPECT_EQ(resolve({}, both).value().endpoint.authority, "b:2");
}

TEST(S3Settings, NameACaFileThatCannotBeRead) {
  const auto refused = resolve({.ca_file = "/does/not/exist.pem"}, kKeys);
  EXPECT_EQ(refused.error().code, EACCES);
  EXPECT_THAT(refused.error().context, HasSubstr("/does/not/exist.pem"));
}

TEST_F(CredentialsFile, ComesLast) {
  const auto usual = resolve_at_home({}).value();
  EXPECT_EQ(usual.credentials.access_key, "file-key");
  EXPECT_EQ(usual.credentials.secret_key, "a=b+c/d==");
  EXPECT_EQ(usual.region, "us-east-1");
  const auto other = resolve_at_home({{"AWS_PROFILE", "other"}}).value();
  EXPECT_EQ(other.credentials.access_key, "other-key");
  EXPECT_EQ(other.credentials.session_token, "other-token");
  EXPECT_EQ(other.region, "eu-file-1");
  EXPECT_EQ(resolve_at_home(kKeys).value().credentials.access_key, "env-key");
}

TEST_F(CredentialsFile, MayBeElsewhere) {
  const Variables elsewhere{{"AWS_SHARED_CREDENTIALS_FILE", (home_ / ".aws/credentials").string()}};
  EXPECT_EQ(resolve({}, elsewhere).value().credentials.access_key, "file-key");
  const auto missing = resolve({}, {{"AWS_SHARED_CREDENTIALS_FILE", "/does/not/exist"}});
  EXPECT_EQ(missing.error().code, EACCES);
  EXPECT_THAT(missing.error().context, HasSubstr("/does/not/exist"));
}

TEST_F(CredentialsFile, HasToHaveThem) {
  EXPECT_EQ(resolve_at_home({{"AWS_PROFILE", "unknown"}}).error().code, EACCES);
  EXPECT_EQ(resolve_at_home({{"AWS_PROFILE", "half"}}).error().code, EINVAL);
  EXPECT_EQ(resolve({}, {}).error().code, EACCES);
  EXPECT_EQ(resolve({.access_key = "only"}, {}).error().code, EINVAL);
}

TEST(S3Settings, RefuseWhatCannotStandInAHeader) {
  EXPECT_EQ(resolve({.access_key = "a\r\nx: y", .secret_key = "s"}, {}).error().code, EINVAL);
  EXPECT_EQ(resolve({.region = "r 1"}, kKeys).error().code, EINVAL);
}

TEST(S3Settings, FindTheBucketAtAws) {
  EXPECT_EQ(resolve({}, kKeys).value().endpoint.authority, "bucket.s3.us-east-1.amazonaws.com");
  EXPECT_EQ(resolve({}, kKeys).value().endpoint.scheme, "https");
  EXPECT_EQ(resolve({.region = "cn-north-1"}, kKeys).value().endpoint.authority,
            "bucket.s3.cn-north-1.amazonaws.com.cn");
  const auto dotted = resolve_settings("my.bucket", {}, environment_of(kKeys)).value();
  EXPECT_EQ(dotted.endpoint.authority, "s3.us-east-1.amazonaws.com");
  EXPECT_EQ(dotted.endpoint.path, "/my.bucket");
}

TEST(S3Settings, FindTheBucketElsewhere) {
  const auto path = resolve({.endpoint = "http://h:9000/base"}, kKeys).value();
  EXPECT_EQ(path.endpoint.authority, "h:9000");
  EXPECT_EQ(path.endpoint.path, "/base/bucket");
  const auto host = resolve({.endpoint = "http://h:9000", .virtual_host = true}, kKeys).value();
  EXPECT_EQ(host.endpoint.authority, "bucket.h:9000");
  EXPECT_EQ(host.endpoint.path, "");
  EXPECT_EQ(resolve({.endpoint = "h:9000"}, kKeys).error().code, EINVAL);
}

}  // namespace
}  // namespace spillfs::storage::external
