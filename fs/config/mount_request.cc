// SPDX-License-Identifier: Apache-2.0
#include "fs/config/mount_request.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <utility>

#include "fs/config/config_file.h"
#include "fs/config/helper_options.h"
#include "fs/config/ray_config.h"
#include "storage/base/bytes.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {
namespace {

constexpr const char* kCommandLine = "command line";
constexpr const char* kDefault = "default";
constexpr std::size_t kLargestRayConfig = kMiB;

// Ray's configuration that stands for a store; empty where `text` is a directory's name.
Result<std::string> ray_text(const std::string& text) {
  if (text.starts_with('{')) return text;
  if (!text.starts_with('@')) return std::string();
  const std::string path = text.substr(1);
  const Fd file = SPILLFS_TRY(open_trusted_file(path, Trust::of_caller()));
  return read_all(file, kLargestRayConfig, path);
}

Result<> take_store(const std::string& text, MountRequest& request) {
  request.store_origin = kCommandLine;
  const std::string ray = SPILLFS_TRY(ray_text(text));
  request.store = text;
  if (ray.empty() && !text.starts_with('@')) return {};
  RayStore found = SPILLFS_TRY(parse_ray_config(ray));
  request.store = std::move(found.store);
  if (found.data.empty()) return {};
  request.options.push_back(
      {.text = option_text("data", join_list(found.data)), .origin = kCommandLine});
  return {};
}

Result<> take_file(const std::string& path, MountRequest& request) {
  ConfigFile file = SPILLFS_TRY(read_config_file(path));
  request = {.config_file = std::move(file.path),
             .store = std::move(file.store),
             .mountpoint = std::move(file.mountpoint),
             .options = std::move(file.options),
             .store_origin = std::move(file.store_origin),
             .mountpoint_origin = std::move(file.mountpoint_origin)};
  return {};
}

// The option with the value it has in `now`.
GivenOption as_in(const MountOptions& now, const OptionSpec& spec) {
  const auto found = now.origins.find(spec.name);
  const std::string value = spec.show(now);
  std::string text = option_text(spec.name, value);
  if (spec.kind == OptionKind::kSwitch) {
    text = fmt::format("{}{}", value == "yes" ? "" : "no_", spec.name);
  }
  return {.text = std::move(text), .origin = found == now.origins.end() ? kDefault : found->second};
}

MountOptions resolved(const MountOptions& options) {
  MountOptions out = options;
  out.allow_other = others_may_use(options);
  return out;
}

}  // namespace

Result<MountRequest> gather(const MountCommand& command) {
  MountRequest request;
  std::string store = command.store;
  std::string mountpoint = command.mountpoint;
  const auto words = SPILLFS_TRY(take_apart(command.options, Sloppy::kNo));
  if (words.remount) {
    return fail(EINVAL,
                "option 'remount' is for mount(8); other options than ro and rw change in the "
                "configuration file, then by 'spillfs upgrade MOUNTPOINT'");
  }
  const std::string& config = command.config.empty() ? words.config : command.config;
  if (!config.empty()) {
    SPILLFS_TRY(take_file(config, request));
    if (mountpoint.empty()) std::swap(store, mountpoint);
  }
  if (!store.empty()) SPILLFS_TRY(take_store(store, request));
  if (!mountpoint.empty()) {
    request.mountpoint = mountpoint;
    request.mountpoint_origin = kCommandLine;
  }
  request.kernel_flags = command.kernel_flags;
  request.kernel_flags.insert(request.kernel_flags.end(), words.kernel.begin(), words.kernel.end());
  for (const std::string& text : words.own) {
    request.options.push_back({.text = text, .origin = std::string(kFromCommandLine)});
  }
  return request;
}

Result<NamedStore> store_of(const std::string& text) {
  MountRequest request;
  if (!is_config_file(text)) {
    SPILLFS_TRY(take_store(text, request));
    return NamedStore{.path = request.store};
  }
  SPILLFS_TRY(take_file(text, request));
  if (request.store.empty()) return fail(EINVAL, text + " names no store");
  const MountOptions options = SPILLFS_TRY(parse_options(request.options));
  return NamedStore{.path = request.store, .foreign = options.foreign_store};
}

bool is_config_file(const std::string& text) {
  std::error_code error;
  return text.ends_with(".toml") && std::filesystem::is_regular_file(text, error);
}

Result<std::vector<GivenOption>> read_again(const std::string& config_file,
                                            const std::vector<GivenOption>& now) {
  std::vector<GivenOption> options = SPILLFS_TRY(read_config_file(config_file)).options;
  for (const GivenOption& option : now) {
    if (option.origin == kFromCommandLine || option.origin == kCommandLine) {
      options.push_back(option);
    }
  }
  const MountOptions old = SPILLFS_TRY(parse_options(now));
  SPILLFS_TRY(keep_what_stays(old, options));
  return options;
}

Result<> keep_what_stays(const MountOptions& now, std::vector<GivenOption>& wanted) {
  const MountOptions before = resolved(now);
  const MountOptions asked = SPILLFS_TRY(parse_options(wanted));
  const MountOptions after = resolved(asked);
  for (const OptionSpec& spec : option_table()) {
    if (!spec.show || spec.change == OptionChange::kAtReload) continue;
    if (spec.show(before) == spec.show(after)) continue;
    spdlog::warn("{} stays {}: it can't change while the mount is in use", spec.name,
                 spec.show(before));
    wanted.push_back(as_in(before, spec));
  }
  return {};
}

}  // namespace spillfs::fs
