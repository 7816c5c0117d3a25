// SPDX-License-Identifier: Apache-2.0
#include "fs/system/memory_pressure.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <limits>
#include <utility>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// As far as it can be read.
std::string read_file(const std::string& path) {
  std::string text;
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> block;
  for (ssize_t got = 0; file && (got = ::read(file.get(), block.data(), block.size())) > 0;) {
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// Takes the text up to the next `end`, or the rest.
std::string_view next(std::string_view& text, char end) {
  const std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(taken.size() + 1, text.size()));
  return taken;
}

// The number that follows `key` at the start of a line.
template <class Number = std::uint64_t>
std::optional<Number> number(std::string_view text, std::string_view key = "") {
  while (!text.empty()) {
    std::string_view line = next(text, '\n');
    if (!line.starts_with(key)) continue;
    line.remove_prefix(std::min(line.find_first_not_of(' ', key.size()), line.size()));
    Number value{};
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error == std::errc() && (end == line.end() || *end == ' ')) return value;
  }
  return {};
}

std::uint64_t kibibytes(std::string_view text, std::string_view key) {
  return std::min(number(text, key).value_or(0), kUnlimited / kKiB) * kKiB;
}

// mountinfo writes a space as "\040".
std::string unescape(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    plain += next(text, '\\');
    unsigned code = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + std::min<std::size_t>(3, text.size()), code, 8);
    if (error == std::errc()) plain += static_cast<char>(code);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  return plain;
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    if (next(list, ',') == word) return true;
  }
  return false;
}

std::string size_text(std::uint64_t bytes) {
  const bool large = bytes >= kGiB;
  return fmt::format("{:.1f} {}",
                     static_cast<double>(bytes) / static_cast<double>(large ? kGiB : kMiB),
                     large ? "GiB" : "MiB");
}

struct Headroom {
  std::uint64_t limit, left;
};

// Of one cgroup; nothing when it has no limit. The page cache can be had back.
std::optional<Headroom> headroom(const std::string& folder, bool v2) {
  auto limit = number(read_file(folder + (v2 ? "memory.max" : "memory.limit_in_bytes")));
  // Above this version 2 slows the cgroup's tasks down.
  const auto high = v2 ? number(read_file(folder + "memory.high")) : std::nullopt;
  if (high) limit = std::min(limit.value_or(kUnlimited), *high);
  if (!limit) return {};
  const auto used = number(read_file(folder + (v2 ? "memory.current" : "memory.usage_in_bytes")));
  const std::string stat = read_file(folder + "memory.stat");
  const auto inactive = number(stat, v2 ? "inactive_file " : "total_inactive_file ");
  const auto active = number(stat, v2 ? "active_file " : "total_active_file ");
  if (!used || !inactive || !active) return {};
  const std::uint64_t kept = *used - std::min(*used, *inactive);
  const std::uint64_t taken = kept - std::min(kept, *active);
  return Headroom{*limit, *limit - std::min(*limit, taken)};
}

}  // namespace

struct MemoryPressure::Tightest {
  std::int64_t margin = std::numeric_limits<std::int64_t>::max();  // left beyond what is needed
  std::uint64_t left = 0;
  std::string cgroup;  // empty: none has a limit
};

MemoryPressure::MemoryPressure(std::string root, std::function<Clock::time_point()> now)
    : root_(root.ends_with('/') ? root.substr(0, root.size() - 1) : std::move(root)),
      now_(now ? std::move(now) : Clock::now),
      mounts_(find_mounts()) {}

// "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
std::vector<MemoryPressure::Mount> MemoryPressure::find_mounts() const {
  std::vector<Mount> mounts;
  const std::string text = read_file(root_ + "/proc/self/mountinfo");
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = next(rest, '\n');
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    std::string_view where = line.substr(0, dash);
    std::string_view what = line.substr(dash + 3);
    for (int i = 0; i < 3; ++i) next(where, ' ');
    const std::string_view cgroup = next(where, ' ');
    const std::string_view folder = next(where, ' ');
    const std::string_view type = next(what, ' ');
    next(what, ' ');
    if (type != "cgroup2" && !(type == "cgroup" && has_word(what, "memory"))) continue;
    mounts.push_back(
        {type == "cgroup2", cgroup == "/" ? "" : unescape(cgroup), root_ + unescape(folder)});
  }
  return mounts;
}

bool MemoryPressure::tight(pid_t pid) noexcept {
  try {
    Answer answer = machine();
    if (!answer.tight && pid > 0) {
      Answer limited = cgroups(pid, answer.total);
      if (!limited.why.empty()) answer = std::move(limited);
    }
    const MutexLock lock(mutex_);
    last_ = std::move(answer.why);
    return answer.tight;
  } catch (const std::exception&) {
    return false;
  }
}

std::string MemoryPressure::describe() noexcept {
  try {
    {
      const MutexLock lock(mutex_);
      if (!last_.empty()) return last_;
    }
    static_cast<void>(tight(0));
    const MutexLock lock(mutex_);
    return last_;
  } catch (const std::exception&) {
    return {};
  }
}

MemoryPressure::Answer MemoryPressure::machine() {
  {
    const MutexLock lock(mutex_);
    if (machine_ && fresh(*machine_)) return *machine_;
  }
  Answer answer = ask_machine();
  const MutexLock lock(mutex_);
  machine_ = answer;
  return answer;
}

MemoryPressure::Answer MemoryPressure::ask_machine() const {
  Answer answer{.asked = now_()};
  const auto pressure =
      number<double>(read_file(root_ + "/proc/pressure/memory"), "some avg10=").value_or(0);
  const std::string memory = read_file(root_ + "/proc/meminfo");
  const std::uint64_t total = kibibytes(memory, "MemTotal:");
  const auto available = number(memory, "MemAvailable:");
  answer.why = "plenty: the available memory is not known";
  if (total > 0 && available) {
    answer.total = total;
    const std::uint64_t left = kibibytes(memory, "MemAvailable:");
    answer.tight =
        left < std::max(std::min(Limits::kLeastAvailable, total / Limits::kSmallMachinePart),
                        total / Limits::kMachinePart);
    answer.why =
        fmt::format("{}: {} available", answer.tight ? "tight" : "plenty", size_text(left));
  }
  if (!answer.tight && pressure > Limits::kPressure && pressure <= 100) {
    answer.tight = true;
    answer.why = fmt::format("tight: memory pressure {:.0f} %", pressure);
  }
  return answer;
}

MemoryPressure::Answer MemoryPressure::cgroups(pid_t pid, std::uint64_t total) {
  const std::string memberships = read_file(fmt::format("{}/proc/{}/cgroup", root_, pid));
  {
    const MutexLock lock(mutex_);
    const auto known = cgroups_.find(memberships);
    if (known != cgroups_.end() && fresh(known->second)) return known->second;
  }
  Answer answer = ask_cgroups(memberships, total);
  const MutexLock lock(mutex_);
  std::erase_if(cgroups_, [this](const auto& known) { return !fresh(known.second); });
  cgroups_.insert_or_assign(memberships, answer);
  return answer;
}

// "4:memory:/job1" (version 1), "0::/job1" (version 2)
MemoryPressure::Answer MemoryPressure::ask_cgroups(std::string_view memberships,
                                                   std::uint64_t total) const {
  Answer answer{.asked = now_()};
  Tightest tightest;
  while (!memberships.empty()) {
    std::string_view cgroup = next(memberships, '\n');
    const bool v2 = next(cgroup, ':') == "0";
    if (!has_word(next(cgroup, ':'), "memory") && !v2) continue;
    for (const Mount& mount : mounts_) {
      if (mount.v2 == v2) look(mount, cgroup, total, tightest);
    }
  }
  if (tightest.cgroup.empty()) return answer;
  answer.tight = tightest.margin < 0;
  answer.why = fmt::format("{}: the cgroup {} may still take {}", answer.tight ? "tight" : "plenty",
                           tightest.cgroup, size_text(tightest.left));
  return answer;
}

// At the cgroup and those above it, as far as the mount shows them.
void MemoryPressure::look(const Mount& mount, std::string_view cgroup, std::uint64_t total,
                          Tightest& tightest) {
  if (!cgroup.starts_with(mount.root)) return;
  std::string_view path = cgroup.substr(mount.root.size());
  if (!path.starts_with('/') && !path.empty()) return;
  for (std::string_view names = path; !names.empty();) {
    if (next(names, '/') == "..") return;  // outside of this cgroup namespace
  }
  if (path == "/") path = {};
  for (bool top = false; !top; path = path.substr(0, path.rfind('/'))) {
    top = path.empty();
    const auto room = headroom(fmt::format("{}{}/", mount.folder, path), mount.v2);
    if (!room || room->limit >= total) continue;  // more than there is limits nothing
    const auto needed = std::max(Limits::kLeastAvailable, room->limit / Limits::kCgroupPart);
    const auto margin = static_cast<std::int64_t>(room->left) - static_cast<std::int64_t>(needed);
    if (margin >= tightest.margin) continue;
    const std::string name = fmt::format("{}{}", mount.root, path);
    tightest = {margin, room->left, fmt::format("{}", name.empty() ? "/" : name)};
  }
}

}  // namespace spillfs::fs
