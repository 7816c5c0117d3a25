// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "fs/cli/doctor/doctor.h"
#include "fs/cli/shared/external.h"
#include "fs/system/child_call.h"
#include "fs/system/mount_table.h"
#include "storage/base/result.h"

namespace spillfs::fs {
namespace {

using Level = Finding::Level;
using Json = nlohmann::json;

struct Source {
  std::string name;
  std::optional<UserIds> user;  // whose word it is, where that is another than root and us
};
// Where Ray was found to spill to, by whom that says so.
using Directories = std::map<std::string, Source>;

constexpr std::string_view kConfigVariable = "RAY_object_spilling_config=";
constexpr std::string_view kDirectoryVariable = "RAY_object_spilling_directory=";
constexpr std::string_view kSystemArgument = "--config_list=";  // of the head's gcs_server
constexpr std::string_view kConfigArgument = "--object-spilling-config=";
constexpr std::string_view kDirectoryArgument = "--object-spilling-directory=";

void add_directories(const Json& paths, const Source& from, Directories& out) {
  for (const Json& path : paths.is_array() ? paths : Json::array({paths})) {
    if (path.is_string()) out.try_emplace(path.get<std::string>(), from);
  }
}

// False when it is not such a configuration.
bool add_config(const std::string& text, const Source& from, Directories& out) {
  const Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !config.contains("type")) return false;
  const auto params = config.find("params");
  if (config["type"] != "filesystem" || params == config.end() || !params->is_object()) return true;
  if (params->contains("directory_path")) add_directories(params->at("directory_path"), from, out);
  return true;
}

// Empty where it is not base64.
std::string decode_base64(std::string_view text) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char letter : text.substr(0, text.find('='))) {
    const std::size_t value = kLetters.find(letter);
    if (value == std::string_view::npos) return {};
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> static_cast<unsigned>(count) & 0xFFU));
  }
  return out;
}

// Of Ray's system configuration, as its head's processes are given it.
void add_system_config(const std::string& text, const Source& from, Directories& out) {
  const Json config = Json::parse(decode_base64(text), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return;
  const auto said = [&](const char* key) {
    const auto found = config.find(key);
    return found != config.end() && found->is_string() ? found->get<std::string>() : "";
  };
  add_config(said("object_spilling_config"), from, out);
  const std::string directory = said("object_spilling_directory");
  if (!directory.empty()) out.try_emplace(directory, from);
}

// The words of a file of /proc that ends each with a zero byte.
std::vector<std::string> words_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(std::move(word));
  return words;
}

std::optional<std::string> after(const std::string& word, std::string_view prefix) {
  if (!word.starts_with(prefix)) return std::nullopt;
  return word.substr(prefix.size());
}

void look_at_process(const std::filesystem::path& process, const Source& from, Directories& out) {
  const auto arguments = words_of(process / "cmdline");
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (const auto value = after(arguments[i], kConfigArgument); value && !value->empty()) {
      if (!add_config(*value, from, out)) add_config(decode_base64(*value), from, out);
    }
    if (const auto value = after(arguments[i], kSystemArgument)) {
      add_system_config(*value, from, out);
    }
    if (const auto value = after(arguments[i], kDirectoryArgument)) out.try_emplace(*value, from);
    if (arguments[i] + "=" == kDirectoryArgument && i + 1 < arguments.size()) {
      out.try_emplace(arguments[i + 1], from);
    }
  }
  for (const std::string& variable : words_of(process / "environ")) {
    if (const auto value = after(variable, kConfigVariable)) add_config(*value, from, out);
    if (const auto value = after(variable, kDirectoryVariable)) out.try_emplace(*value, from);
  }
}

// Ray's own processes say so in their first words: "raylet", "ray::SpillWorker", ".../ray start".
bool is_rays(const std::filesystem::path& process) {
  const auto words = words_of(process / "cmdline");
  return std::any_of(words.begin(), words.begin() + std::min<std::ptrdiff_t>(3, std::ssize(words)),
                     [](const std::string& word) {
                       const std::string name = word.substr(word.rfind('/') + 1);
                       return name == "raylet" || name == "gcs_server" || name == "ray" ||
                              name == "default_worker.py" || word.starts_with("ray::");
                     });
}

// None where we may as well look by ourselves, or can't be the user.
std::optional<UserIds> owner_of(const std::filesystem::path& process) {
  struct stat found {};
  if (::geteuid() != 0 || ::stat(process.c_str(), &found) != 0 || found.st_uid == 0) return {};
  return UserIds{.uid = found.st_uid, .gid = found.st_gid};
}

Directories running_ray() {
  Directories out;
  look_at_process("/proc/self", {.name = "the environment", .user = {}}, out);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    const bool process =
        std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (process && is_rays(entry.path())) {
      look_at_process(entry.path(),
                      {.name = "Ray's process " + name, .user = owner_of(entry.path())}, out);
    }
  }
  return out;
}

// Users name directories: one may lie on a mount of theirs that does not answer.
void examine_directory(const std::string& directory, const Source& from, Findings& findings) {
  bool writable = true;
  const auto found = call_in_child(from.user, [&]() -> Result<std::string> {
    std::error_code error;
    std::string real = std::filesystem::weakly_canonical(directory, error).string();
    if (error) return fail(error.value(), error.message());
    const bool refused =
        std::filesystem::exists(real, error) && !error && ::access(real.c_str(), W_OK | X_OK) != 0;
    return (refused ? "-" : "+") + real;
  });
  if (found) writable = found->starts_with('+');
  const auto mount = mount_of(found ? found->substr(1) : directory);
  const bool ours = found && mount && mount->type == kSpillfsType;
  findings.push_back(
      {ours ? Level::kOk : Level::kFail, "ray",
       fmt::format("{} has Ray spill to {}, which lies {} spillfs", from.name, directory,
                   ours ? "on" : "not on a"),
       ours ? "" : "give Ray the mountpoint: object_spilling_directory, before Ray starts"});
  // A directory that is not there yet Ray makes.
  if (ours && !writable) {
    findings.push_back(
        {Level::kFail, "ray",
         fmt::format("{} may not write to {}", from.user ? "its user" : "this user", directory),
         "change its owner or mode, or mount with allow_other"});
  }
}

}  // namespace

void examine_ray(const std::string& config, Findings& findings) {
  Directories directories;
  if (config.empty()) {
    directories = running_ray();
  } else {
    const auto text = text_given(config);
    if (!text || !add_config(*text, {.name = "the configuration given", .user = {}}, directories)) {
      findings.push_back(
          {Level::kFail, "ray",
           text ? "what --ray-config has is not Ray's object_spilling_config"
                : text.error().context,
           R"(it looks like {"type":"filesystem","params":{"directory_path":"DIR"}})"});
      return;
    }
    if (directories.empty()) {
      findings.push_back({Level::kWarn, "ray", "the configuration given names no directory",
                          R"(spilling to a mount needs "type":"filesystem" and directory_path)"});
    }
  }
  for (const auto& [directory, from] : directories) examine_directory(directory, from, findings);
}

}  // namespace spillfs::fs
