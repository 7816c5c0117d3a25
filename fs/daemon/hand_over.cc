// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/hand_over.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "fs/config/older_options.h"
#include "fs/fuse/fuse_kernel.h"

namespace spillfs::fs {
namespace {

constexpr int kVersion = 2;          // 1: `init` is what the kernel offered, not what was agreed
constexpr std::size_t kMost = kMiB;  // bytes

nlohmann::json to_json(const HandOver& what) {
  std::vector<std::string> options;
  std::vector<std::string> origins;
  for (const auto& [text, origin] : what.options) {
    options.push_back(text);
    origins.push_back(origin);
  }
  return {{"version", kVersion},
          {"store", what.store},
          {"mountpoint", what.mountpoint},
          {"config_file", what.config_file},
          {"options", options},
          {"origins", origins},
          {"background", what.background},
          {"program", what.program},
          {"init", what.init},
          {"boot", what.boot.id},
          {"boot_certain", what.boot.certain},
          {"mount", {what.mount.id, what.mount.device, what.mount.unique}},
          {"supervisor", what.supervisor},
          {"worker", what.worker},
          {"fuse", what.fuse},
          {"staging", what.staging},
          {"open_files", what.open_files},
          {"counts", what.counts},
          {"lock", what.lock},
          {"ready", what.ready}};
}

// Earlier programs tell no origins: theirs are all from the command line.
std::vector<GivenOption> options_of(const nlohmann::json& json) {
  std::vector<GivenOption> options;
  const auto origins = json.value("origins", nlohmann::json::array());
  for (const auto& text : json.at("options")) {
    const std::size_t at = options.size();
    options.push_back({.text = older_options(text.get<std::string>()),
                       .origin = at < origins.size() ? origins[at].get<std::string>()
                                                     : std::string(kFromCommandLine)});
  }
  return options;
}

// Earlier programs tell none.
MountNumbers numbers_of(const nlohmann::json& json) {
  if (!json.contains("mount")) return {};
  const auto& numbers = json.at("mount");
  return {.id = numbers.at(0), .device = numbers.at(1), .unique = numbers.at(2)};
}

std::vector<std::byte> init_of(const nlohmann::json& json) {
  auto init = json.at("init").get<std::vector<std::byte>>();
  if (json.at("version") == 1) leave_what_version_1_agreed(init);
  return init;
}

HandOver from_json(const nlohmann::json& json) {
  return {.store = json.at("store"),
          .mountpoint = json.at("mountpoint"),
          .config_file = json.value("config_file", ""),
          .options = options_of(json),
          .background = json.at("background"),
          .program = json.at("program"),
          .init = init_of(json),
          .boot = {.id = json.value("boot", ""), .certain = json.value("boot_certain", false)},
          .mount = numbers_of(json),
          .supervisor = json.at("supervisor"),
          .worker = json.at("worker"),
          .fuse = json.at("fuse"),
          .staging = json.at("staging"),
          .open_files = json.at("open_files"),
          .counts = json.at("counts"),
          .lock = json.at("lock"),
          .ready = json.at("ready")};
}

}  // namespace

Result<Fd> write_hand_over(const HandOver& what) {
  std::string text;
  try {
    text = to_json(what).dump();
  } catch (const nlohmann::json::type_error&) {
    return fail(EILSEQ, "a path is not UTF-8: unmount and mount to change to another program");
  }
  // What libraries have open, such as the log, stays here.
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  Fd file(::memfd_create("spillfs-hand-over", 0));
  if (!file) return fail_errno(errno, "make the memory for a hand-over");
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno(errno, "write a hand-over");
  }
  return file;
}

Result<HandOver> read_hand_over(int file) {
  std::string text(kMost, '\0');
  const ssize_t got = ::pread(file, text.data(), text.size(), 0);
  if (got < 0) return fail_errno(errno, "read the hand-over");
  text.resize(static_cast<std::size_t>(got));
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("version") != kVersion && json.at("version") != 1) {
      return fail(EPROTO,
                  "the mount is served by a spillfs that hands over in another way; "
                  "unmount and mount to change to this one");
    }
    return from_json(json);
  } catch (const nlohmann::json::exception& problem) {
    return fail(EPROTO, fmt::format("the hand-over does not parse: {}", problem.what()));
  }
}

Result<> set_across_exec(const HandOver& what, Across across) {
  for (int file : {what.fuse, what.staging, what.open_files, what.counts, what.lock, what.ready}) {
    if (file < 0) continue;
    if (::fcntl(file, F_SETFD, across == Across::kClose ? FD_CLOEXEC : 0) != 0) {
      return fail_errno(errno, "hand over a descriptor");
    }
  }
  return {};
}

}  // namespace spillfs::fs
