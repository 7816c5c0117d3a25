// SPDX-License-Identifier: Apache-2.0
#include "fs/store/store_use.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <system_error>

#include "fs/system/namespaces.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kLongest = std::size_t{64} << 10;

}  // namespace

std::string format_store_use(const StoreUse& use) {
  const nlohmann::json json{
      {"process", use.process},  {"worker", use.worker}, {"pid_namespace", use.pid_namespace},
      {"mount", use.mountpoint}, {"device", use.device}, {"doing", use.doing},
      {"done", use.done}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::optional<StoreUse> parse_store_use(std::string_view text) {
  const auto json = nlohmann::json::parse(text.substr(0, text.find('\n')), nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  try {
    return StoreUse{.process = json.at("process").get<std::int64_t>(),
                    .worker = json.at("worker").get<std::int64_t>(),
                    .pid_namespace = json.at("pid_namespace").get<std::uint64_t>(),
                    .mountpoint = json.at("mount").get<std::string>(),
                    .device = json.at("device").get<std::string>(),
                    .doing = json.at("doing").get<std::string>(),
                    .done = json.at("done").get<std::uint64_t>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

// First the line, then the length: a reader stops at the line's end.
void publish_use(int lock, const StoreUse& use) {
  const std::string line = format_store_use(use);
  const auto size = static_cast<ssize_t>(line.size());
  if (::pwrite(lock, line.data(), line.size(), 0) == size && ::ftruncate(lock, size) == 0) return;
  spdlog::debug("the lock file does not say who uses the store: {}",
                std::generic_category().message(errno));
}

std::optional<StoreUse> published_use(int lock) {
  std::string text(kLongest, '\0');
  const ssize_t got = ::pread(lock, text.data(), text.size(), 0);
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  return parse_store_use(text);
}

StoreUse own_use() { return {.process = ::getpid(), .pid_namespace = own_namespaces().pids}; }

}  // namespace spillfs::fs
