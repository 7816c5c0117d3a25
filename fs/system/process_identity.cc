// SPDX-License-Identifier: Apache-2.0
#include "fs/system/process_identity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fs/system/namespaces.h"
#include "fs/system/process_status.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING of linux/sched.h
constexpr int kSignalBits = 0x7f;        // of a wait status
constexpr std::uint64_t kKilled = std::uint64_t{1} << (SIGKILL - 1);

// Fields of /proc/PID/stat, counted as proc(5) does. Those that are not read are not kept.
enum Field : std::size_t {
  kState = 3,
  kParent = 4,
  kFlags = 9,
  kThreadCount = 20,
  kStart = 22,
  kPending = 31,
  kExitCode = 52,
};

class Stat {
 public:
  static std::optional<Stat> read(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text;
    if (!std::getline(file, text, '\0')) return std::nullopt;
    // The name may contain anything, parentheses as well.
    const std::size_t open = text.find('(');
    const std::size_t close = text.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close < open) {
      return std::nullopt;
    }
    Stat stat;
    stat.name_ = text.substr(open + 1, close - open - 1);
    std::istringstream rest(text.substr(close + 1));
    for (std::string word; rest >> word;) stat.words_.push_back(word);
    return stat;
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t number(Field field) const {
    const std::string text = word(field);
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  [[nodiscard]] std::string word(Field field) const {
    const std::size_t at = field - kState;
    return at < words_.size() ? words_[at] : std::string();
  }

 private:
  std::string name_;
  std::vector<std::string> words_;  // from the state on
};

nlohmann::json json_of(const Process& process) {
  return {{"pid", process.pid}, {"start", process.start}, {"name", process.name}};
}

}  // namespace

Machine this_machine(Boot boot) {
  const auto clock = boot_clock_offset();
  return {.boot = std::move(boot),
          .pid_namespace = proc_is_ours() && clock ? own_namespaces().pids : 0,
          .clock = clock.value_or(std::chrono::nanoseconds(0))};
}

std::optional<Creator> creator_of(pid_t thread, const Machine& machine) {
  Creator creator{.machine = machine, .processes = {}, .runtime = {}};
  pid_t pid = process_of(thread);
  while (pid > 0 && creator.processes.size() < Creator::kMost) {
    const auto stat = Stat::read(pid);
    if (!stat) break;
    creator.processes.push_back({.pid = pid, .start = stat->number(kStart), .name = stat->name()});
    pid = static_cast<pid_t>(stat->number(kParent));
    if (pid == 1) break;
  }
  if (creator.processes.empty()) return std::nullopt;
  return creator;
}

std::string to_text(const Creator& creator) {
  nlohmann::json processes = nlohmann::json::array();
  for (const Process& process : creator.processes) processes.push_back(json_of(process));
  const nlohmann::json json{{"boot", creator.machine.boot.id},
                            {"boot_certain", creator.machine.boot.certain},
                            {"pid_namespace", creator.machine.pid_namespace},
                            {"clock", creator.machine.clock.count()},
                            {"runtime", creator.runtime},
                            {"processes", std::move(processes)}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Creator> parse_creator(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    Creator creator{
        .machine = {.boot = {.id = json.at("boot").get<std::string>(),
                             .certain = json.at("boot_certain").get<bool>()},
                    .pid_namespace = json.at("pid_namespace").get<std::uint64_t>(),
                    .clock = std::chrono::nanoseconds(json.at("clock").get<std::int64_t>())},
        .processes = {},
        .runtime = json.at("runtime").get<std::string>()};
    for (const auto& process : json.at("processes")) {
      creator.processes.push_back({.pid = process.at("pid").get<pid_t>(),
                                   .start = process.at("start").get<std::uint64_t>(),
                                   .name = process.at("name").get<std::string>()});
    }
    return creator;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

bool is_gone(const Process& process) {
  const auto stat = Stat::read(process.pid);
  // /proc may hide the processes of others (hidepid); kill() does not.
  if (!stat) return ::kill(process.pid, 0) != 0 && errno == ESRCH;
  if (stat->number(kStart) != process.start) return true;
  // Its parent has not asked yet. A first thread that ended is a zombie, too, while others run.
  return (stat->word(kState) == "Z" || stat->word(kState) == "X") &&
         stat->number(kThreadCount) <= 1;
}

bool have_ended(const Creator& creator, std::size_t count, const Machine& here,
                const std::function<bool(const Process&)>& gone) {
  const Machine& there = creator.machine;
  if (there.boot.certain && here.boot.certain && there.boot != here.boot) return true;
  if (there != here || here.boot.id.empty() || here.pid_namespace == 0) return false;
  return std::all_of(creator.processes.begin(),
                     creator.processes.begin() + static_cast<std::ptrdiff_t>(count), gone);
}

int dying_of(pid_t thread) {
  const auto stat = Stat::read(thread);
  if (!stat || (stat->number(kFlags) & kExiting) == 0) return 0;
  return static_cast<int>(stat->number(kExitCode)) & kSignalBits;
}

bool is_ending(pid_t process) {
  const auto stat = Stat::read(process);
  return stat &&
         ((stat->number(kFlags) & kExiting) != 0 || (stat->number(kPending) & kKilled) != 0);
}

}  // namespace spillfs::fs
