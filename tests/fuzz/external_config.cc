// SPDX-License-Identifier: Apache-2.0
// Ray's object_spilling_config. A session may stand before the config, with a newline behind it.
#include "storage/external/external_config.h"

#include "storage/external/object_url.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using storage::external::PlaceConfig;
using storage::external::S3Parameters;
using storage::external::StorageConfig;

void check_limits(const StorageConfig& config) {
  const S3Parameters& s3 = config.s3;
  if (s3.retries > 100) broken("up to 100 retries");
  if (s3.timeout.count() < 0 || s3.timeout > std::chrono::hours(1)) broken("a time-out of an hour");
  if (config.slow) {
    const auto [least, most] = *config.slow;
    if (!(least.count() >= 0 && least <= most && most.count() <= 3600))
      broken("delays are ordered");
  }
  if (config.unstable) {
    const double rate = config.unstable->failure_rate;
    if (!(rate >= 0 && rate <= 1)) broken("a rate is from 0 to 1");
  }
}

void check(std::string_view config, const std::string& session) {
  const auto parsed = storage::external::parse_storage_config(config, session);
  if (!accepted(parsed, EINVAL)) return;
  for (const PlaceConfig& place : parsed->places) {
    if (!storage::external::survives_parsing(place.url_prefix + "name")) {
      broken("urls of a place can be parsed");
    }
    if (place.key_prefix.empty()) broken("keys have a prefix");
  }
  check_limits(*parsed);
}

}  // namespace

std::vector<std::string> seeds() {
  return {R"(s
{"type":"filesystem","params":{"directory_path":["/a","b/"],"buffer_size":1000}})",
          R"(s
{"type":"smart_open","params":{"uri":["s3://b/p/","s3://c"],"prefix":"mine","buffer_size":5,
"override_transport_params":{"endpoint_url":"http://h:1","region_name":"r","aws_access_key_id":"k",
"aws_secret_access_key":"s","aws_session_token":"t","verify":"/ca","addressing_style":"virtual",
"buffer_size":6,"retries":0,"timeout":1.5}}})",
          R"(session
{"type":"ray_storage","params":{"storage":
"s3://k:s%2Ft@b/p/?region=r&scheme=http&endpoint_override=h%3A1"}})",
          R"(s
{"type":"ray_storage","params":{"storage":"file:///mnt/a"}})",
          R"(s
{"type":"unstable_fs","params":{"directory_path":"/a","failure_rate":1,"seed":5,
"partial_failure_ratio":1e-3}})",
          R"(s
{"type":"slow_fs","params":{"directory_path":"/a","min_delay":0.5,"max_delay":2}})",
          "\n{\"type\":\"null\",\"params\":null,\"buffer_size\":-1}"};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto [session, config] = spillfs::fuzz::split(spillfs::fuzz::text_of(data, size), '\n');
  spillfs::fuzz::check(config, std::string(session));
  return 0;
}
