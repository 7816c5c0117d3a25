// SPDX-License-Identifier: Apache-2.0
#include "storage/external/external_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "storage/external/config_params.h"
#include "storage/external/object_url.h"
#include "storage/external/s3_object_store.h"
#include "storage/external/transport_params.h"

namespace spillfs::storage::external {
namespace {

using nlohmann::json;

constexpr const char* kObjectPrefix = "ray_spilled_objects";  // Ray's DEFAULT_OBJECT_PREFIX

bool is_s3(const std::string& uri) { return uri.starts_with("s3://"); }

// Python's os.path.join of two parts.
std::string join_path(const std::string& folder, const std::string& name) {
  return folder.empty() || folder.ends_with('/') ? folder + name : folder + "/" + name;
}

std::string stripped(std::string text) {
  text.erase(0, std::min(text.find_first_not_of('/'), text.size()));
  text.erase(text.find_last_not_of('/') + 1);
  return text;
}

Result<> take_buffer_size(Params& params, S3Parameters& s3) {
  const auto size = SPILLFS_TRY(params.integer("buffer_size"));
  // A negative one is the default, as for Python's open().
  if (size && *size >= 0) s3.buffer_size = static_cast<std::uint64_t>(*size);
  return {};
}

Result<> check_urls(const StorageConfig& config) {
  for (const PlaceConfig& place : config.places) {
    if (survives_parsing(place.url_prefix + "x")) continue;
    return fail(EINVAL, fmt::format("{} can't stand in an object's url: no '?', '#', control "
                                    "characters, nor a scheme in capital letters.",
                                    place.url_prefix));
  }
  return {};
}

Result<> read_filesystem(Params& params, const std::string&, StorageConfig& config) {
  const auto folders = SPILLFS_TRY(
      params.texts("directory_path", "directory_path should be provided to use object spilling.",
                   "Directory_path must be either a single string or a list of strings"));
  SPILLFS_TRY(take_buffer_size(params, config.s3));
  for (const std::string& folder : folders) {
    const std::string full = join_path(folder, kObjectPrefix);
    const std::string root = folder.empty() ? "." : folder;
    config.folders.push_back({.root = root, .name = kObjectPrefix});
    config.places.push_back({.uri = root,
                             .key_prefix = std::string(kObjectPrefix) + "/",
                             .url_prefix = full + "/",
                             .also = {std::string(kObjectPrefix) + "_"}});
  }
  return {};
}

Result<> read_unstable(Params& params, const std::string& session, StorageConfig& config) {
  UnstableOptions options;
  const auto rate = SPILLFS_TRY(params.number("failure_rate"));
  const auto ratio = SPILLFS_TRY(params.number("partial_failure_ratio"));
  const auto seed = SPILLFS_TRY(params.integer("seed"));
  options.failure_rate = rate.value_or(options.failure_rate);
  options.partial_failure_ratio = ratio.value_or(options.partial_failure_ratio);
  if (seed) options.seed = static_cast<std::uint64_t>(*seed);
  for (const double chance : {options.failure_rate, options.partial_failure_ratio}) {
    if (chance >= 0 && chance <= 1) continue;
    return fail(EINVAL, "unstable_fs: failure_rate and partial_failure_ratio are from 0 to 1.");
  }
  config.unstable = options;
  return read_filesystem(params, session, config);
}

Result<> read_slow(Params& params, const std::string& session, StorageConfig& config) {
  using Seconds = std::chrono::duration<double>;
  constexpr Seconds kLongest{3600};
  SlowOptions options;
  const auto least = SPILLFS_TRY(params.number("min_delay"));
  const auto most = SPILLFS_TRY(params.number("max_delay"));
  if (least) options.min_delay = Seconds(*least);
  if (most) options.max_delay = Seconds(*most);
  if (!(options.min_delay >= Seconds(0) && options.min_delay <= options.max_delay &&
        options.max_delay <= kLongest)) {
    return fail(EINVAL, "slow_fs: 0 <= min_delay <= max_delay <= 3600 seconds.");
  }
  config.slow = options;
  return read_filesystem(params, session, config);
}

Result<> read_smart_open(Params& params, const std::string&, StorageConfig& config) {
  auto uris = SPILLFS_TRY(params.texts("uri", "uri should be provided to use object spilling.",
                                       "uri must be a single string or list of strings."));
  const std::string name = SPILLFS_TRY(params.text("prefix")).value_or(kObjectPrefix);
  const std::string prefix = name + "-";
  SPILLFS_TRY(take_buffer_size(params, config.s3));
  SPILLFS_TRY(read_transport_params(params, config.s3));
  const auto count = std::count_if(uris.begin(), uris.end(), is_s3);
  if (count != 0 && static_cast<std::size_t>(count) != uris.size()) {
    return fail(EINVAL, "all uri's must be s3 or none can be s3.");
  }
  for (std::string& uri : uris) {
    SPILLFS_TRY(parse_s3_uri(uri));
    if (count != 0) uri = stripped(std::move(uri));
    config.places.push_back({.uri = uri,
                             .key_prefix = prefix,
                             .url_prefix = fmt::format("{}/{}", uri, prefix),
                             .also = {name + "_"}});
  }
  return {};
}

Result<> check_session(const std::string& session) {
  const bool is_name = !session.empty() && session != "." && session != ".." &&
                       session.find_first_of(std::string("/\0", 2)) == std::string::npos;
  if (is_name) return {};
  return fail(EINVAL, fmt::format("ray_storage: '{}' can't be a session's name.", session));
}

Result<> read_ray_storage(Params& params, const std::string& session, StorageConfig& config) {
  auto uri = SPILLFS_TRY(params.text("storage"));
  const char* environment = std::getenv("RAY_STORAGE");
  if (!uri && environment != nullptr && *environment != '\0') uri = environment;
  if (!uri) return fail(EINVAL, "ray_storage: no storage, nor RAY_STORAGE in the environment.");
  SPILLFS_TRY(take_buffer_size(params, config.s3));
  SPILLFS_TRY(read_transport_params(params, config.s3));
  SPILLFS_TRY(check_session(session));
  const std::string key_prefix = fmt::format("spilled_objects/{}/", session);
  std::string path = *uri;  // as in pyarrow's urls, without the scheme
  if (is_s3(*uri)) {
    SPILLFS_TRY(take_arrow_options(*uri, config.s3));
    *uri = "s3://" + stripped(uri->substr(5));
    path = uri->substr(5);
    config.scheme = "s3://";
  } else {
    if (path.starts_with("file://")) path.erase(0, 7);
    config.folders.push_back({.root = path.empty() ? "." : path, .name = key_prefix});
  }
  config.places.push_back({.uri = *uri,
                           .key_prefix = key_prefix,
                           .url_prefix = join_path(path, key_prefix),
                           .also = {"spilled_objects/"}});
  return {};
}

using Read = Result<> (*)(Params&, const std::string& session, StorageConfig&);

const std::map<std::string, Read, std::less<>>& readers() {
  static const std::map<std::string, Read, std::less<>> table = {
      {"filesystem", read_filesystem},   {"mock_distributed_fs", read_filesystem},
      {"ray_storage", read_ray_storage}, {"smart_open", read_smart_open},
      {"unstable_fs", read_unstable},    {"slow_fs", read_slow},
  };
  return table;
}

// The "params" of `root`. Ray's documentation writes buffer_size beside them.
Result<json> params_of(const json& root) {
  json params = root.value("params", json::object());
  if (params.is_null()) params = json::object();
  if (!params.is_object()) return fail(EINVAL, "params must be an object.");
  if (root.contains("buffer_size") && !params.contains("buffer_size")) {
    params["buffer_size"] = root["buffer_size"];
  }
  return params;
}

}  // namespace

Result<StorageConfig> parse_storage_config(std::string_view config, const std::string& session) {
  StorageConfig parsed;
  if (config.find_first_not_of(" \t\r\n") == std::string_view::npos) return parsed;
  const json root = json::parse(config, nullptr, /*allow_exceptions=*/false);
  if (root.is_null()) return parsed;
  if (!root.is_object()) return fail(EINVAL, "The object spilling config is not a JSON object.");
  if (root.empty()) return parsed;
  const auto type = root.find("type");
  if (type == root.end() || !type->is_string()) {
    return fail(EINVAL, "The object spilling config's type must be a string.");
  }
  const auto name = type->get<std::string>();
  Params params(name, SPILLFS_TRY(params_of(root)));
  if (name != "null") {
    const auto read = readers().find(name);
    if (read == readers().end()) {
      return fail(EINVAL, fmt::format("Unknown external storage type: {}", name));
    }
    SPILLFS_TRY(read->second(params, session, parsed));
  }
  SPILLFS_TRY(params.end());
  SPILLFS_TRY(check_urls(parsed));
  return parsed;
}

}  // namespace spillfs::storage::external
