// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace spillfs::storage::external {
namespace {

constexpr const char* kDefaultRegion = "us-east-1";

std::string first_of(const std::string& given, const Environment& environment,
                     const std::vector<const char*>& variables) {
  if (!given.empty()) return given;
  for (const char* variable : variables) {
    if (auto value = environment(variable)) return *value;
  }
  return {};
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// What can stand in a header.
bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

// The file is optional unless a variable names it.
Result<SharedProfile> load_profile(const Environment& environment) {
  const auto named = environment("AWS_SHARED_CREDENTIALS_FILE");
  const std::string path = named.value_or(environment("HOME").value_or("") + "/.aws/credentials");
  const auto profile = environment("AWS_PROFILE");
  std::ifstream file(path);
  if (!file) {
    if (named) return fail(EACCES, fmt::format("cannot read the credentials file {}", path));
    return SharedProfile{};
  }
  std::ostringstream text;
  text << file.rdbuf();
  return parse_profile(text.str(), profile.value_or("default"));
}

// A source has both keys or none: a key of one never goes with the secret of another.
Result<bool> complete(const Credentials& credentials, const char* source) {
  if (credentials.access_key.empty() != credentials.secret_key.empty()) {
    return fail(EINVAL, fmt::format("{} has one of access key and secret key only", source));
  }
  return !credentials.access_key.empty();
}

Result<Credentials> find_credentials(const S3Parameters& parameters, const SharedProfile& shared,
                                     const Environment& environment) {
  const Credentials given{.access_key = parameters.access_key,
                          .secret_key = parameters.secret_key,
                          .session_token = parameters.session_token};
  if (SPILLFS_TRY(complete(given, "the configuration"))) return given;
  const Credentials exported{.access_key = first_of("", environment, {"AWS_ACCESS_KEY_ID"}),
                             .secret_key = first_of("", environment, {"AWS_SECRET_ACCESS_KEY"}),
                             .session_token = first_of("", environment, {"AWS_SESSION_TOKEN"})};
  if (SPILLFS_TRY(complete(exported, "the environment"))) return exported;
  if (SPILLFS_TRY(complete(shared.credentials, "the credentials file"))) return shared.credentials;
  return fail(EACCES,
              "no S3 credentials: neither given, nor in AWS_ACCESS_KEY_ID and "
              "AWS_SECRET_ACCESS_KEY, nor in the shared credentials file's profile");
}

// AWS's own endpoint of a region. Its certificates do not cover a bucket with dots in the host.
HttpEndpoint aws_endpoint(const std::string& bucket, const std::string& region) {
  const std::string host =
      fmt::format("s3.{}.amazonaws.com{}", region, region.starts_with("cn-") ? ".cn" : "");
  if (bucket.find('.') != std::string::npos) {
    return {.scheme = "https", .authority = host, .path = "/" + bucket};
  }
  return {.scheme = "https", .authority = bucket + "." + host, .path = ""};
}

Result<HttpEndpoint> find_endpoint(const std::string& bucket, const std::string& given,
                                   const std::string& region, const S3Parameters& parameters) {
  if (given.empty()) return aws_endpoint(bucket, region);
  HttpEndpoint endpoint = SPILLFS_TRY(parse_endpoint(given));
  if (parameters.virtual_host) {
    endpoint.authority = bucket + "." + endpoint.authority;
  } else {
    endpoint.path += "/" + bucket;
  }
  return endpoint;
}

// Here, as libcurl would say so after each request, and not which file it is.
Result<> check_ca_file(const std::string& path) {
  if (path.empty() || std::ifstream(path)) return {};
  return fail(EACCES, fmt::format("cannot read {}, the file of CAs that verify names", path));
}

}  // namespace

Environment process_environment() {
  return [](const std::string& variable) -> std::optional<std::string> {
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

Result<S3Settings> resolve_settings(const std::string& bucket, const S3Parameters& parameters,
                                    const Environment& environment) {
  SharedProfile shared;
  if (parameters.access_key.empty() && !environment("AWS_ACCESS_KEY_ID")) {
    shared = SPILLFS_TRY(load_profile(environment));
  }
  std::string region =
      first_of(parameters.region, environment, {"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (region.empty()) region = shared.region.empty() ? kDefaultRegion : shared.region;
  const std::string endpoint =
      first_of(parameters.endpoint, environment, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  S3Settings settings{.bucket = bucket,
                      .region = region,
                      .own_service = !endpoint.empty(),
                      .retries = parameters.retries};
  settings.endpoint = SPILLFS_TRY(find_endpoint(bucket, endpoint, region, parameters));
  settings.credentials = SPILLFS_TRY(find_credentials(parameters, shared, environment));
  settings.http = {.idle_timeout = parameters.timeout, .ca_file = parameters.ca_file};
  SPILLFS_TRY(check_ca_file(parameters.ca_file));
  const Credentials& keys = settings.credentials;
  if (!printable(region + keys.access_key + keys.secret_key + keys.session_token)) {
    return fail(EINVAL, "region and credentials are printable characters without spaces");
  }
  return settings;
}

SharedProfile parse_profile(std::string_view text, std::string_view profile) {
  SharedProfile found;
  bool inside = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      inside = line.back() == ']' && trim(line.substr(1, line.size() - 2)) == profile;
      continue;
    }
    const std::size_t equals = line.find('=');
    if (!inside || equals == std::string_view::npos) continue;
    const std::string_view name = trim(line.substr(0, equals));
    const std::string value(trim(line.substr(equals + 1)));
    if (name == "aws_access_key_id") found.credentials.access_key = value;
    if (name == "aws_secret_access_key") found.credentials.secret_key = value;
    if (name == "aws_session_token") found.credentials.session_token = value;
    if (name == "region") found.region = value;
  }
  return found;
}

}  // namespace spillfs::storage::external
