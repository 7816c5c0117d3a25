// SPDX-License-Identifier: Apache-2.0
#include "fs/store/store_holder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "fs/system/mount_table.h"
#include "fs/system/mount_users.h"
#include "fs/system/namespaces.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

pid_t pid_of(std::int64_t number) { return static_cast<pid_t>(number); }

bool is_there(std::int64_t process) { return ::kill(pid_of(process), 0) == 0 || errno != ESRCH; }

// "1: FLOCK  ADVISORY  WRITE 123 08:02:4711 0 EOF": who holds the lock, as the kernel tells it
// where the process can be seen and the file system has one device number.
struct Locker {
  std::int64_t process = 0;  // 0: not known
  bool only_reads = false;   // so it can't have said anything in the file
};
Locker locker_of(int lock) {
  struct stat found {};
  if (::fstat(lock, &found) != 0) return {};
  const std::string file =
      fmt::format("{:02x}:{:02x}:{}", major(found.st_dev), minor(found.st_dev), found.st_ino);
  std::ifstream table("/proc/locks");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    const std::vector<std::string> all{std::istream_iterator<std::string>(words), {}};
    constexpr std::size_t kFile = 5;
    if (all.size() <= kFile || all[1] != "FLOCK" || all[kFile] != file) continue;
    return {.process = std::strtoll(all[4].c_str(), nullptr, 10), .only_reads = all[3] == "READ"};
  }
  return {};
}

// A supervisor takes its signals one by one: this one is on its way.
bool is_told_to_end(std::int64_t process) {
  constexpr std::string_view kPending = "ShdPnd:";
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kPending)) continue;
    const auto pending = std::strtoull(line.c_str() + kPending.size(), nullptr, 16);
    const auto has = [&](int signal) { return (pending >> (signal - 1) & 1) != 0; };
    return has(SIGTERM) || has(SIGINT);
  }
  return false;
}

// User and system time so far, of a process that is there.
std::string cpu_time(std::int64_t process) {
  std::ifstream stat(fmt::format("/proc/{}/stat", process));
  std::string line;
  std::getline(stat, line);
  const std::size_t name_end = std::min(line.rfind(')'), line.size());
  std::istringstream words(line.substr(name_end));
  const std::vector<std::string> all{std::istream_iterator<std::string>(words), {}};
  constexpr std::size_t kUser = 12;  // counted from the name
  return all.size() > kUser + 1 ? all[kUser] + " " + all[kUser + 1] : "";
}

// What the machine still has to write: it moves while something is brought to disk.
std::string unwritten() {
  std::ifstream info("/proc/meminfo");
  std::string text;
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("Dirty:") || line.starts_with("Writeback:")) text += line;
  }
  return text;
}

std::string command_of(std::int64_t process) {
  std::ifstream file(fmt::format("/proc/{}/cmdline", process));
  std::string line;
  std::getline(file, line);
  while (line.ends_with('\0')) line.pop_back();
  std::replace(line.begin(), line.end(), '\0', ' ');
  constexpr std::size_t kLongest = 200;
  return escaped(line.substr(0, kLongest));
}

}  // namespace

StoreHolder StoreHolder::look(int lock, const std::string& path) {
  const Locker locker = locker_of(lock);
  const auto published = locker.only_reads ? std::nullopt : published_use(lock);
  StoreHolder holder(path, published.value_or(StoreUse{}));
  if (!published) {  // an earlier version, or one that may not write there
    holder.use_.process = locker.process;
    holder.use_.pid_namespace = own_namespaces().pids;
    holder.only_reads_ = locker.only_reads;
  }
  holder.judge();
  return holder;
}

// Whether the numbers of processes that it gives are ours, too.
bool StoreHolder::shows_processes() const {
  return use_.process != 0 && use_.pid_namespace != 0 &&
         use_.pid_namespace == own_namespaces().pids;
}

void StoreHolder::judge() {
  if (!use_.doing.empty()) state_ = State::kEnds;
  if (!use_.doing.empty() || !shows_processes()) return;
  if (!is_there(use_.process)) {  // what it has forked goes on without it
    state_ = State::kEnds;
    use_.doing = "ends";
    return;
  }
  if (is_told_to_end(use_.process)) {
    state_ = State::kEnds;
    use_.doing = "was told to end";
    return;
  }
  const auto table = mount_table_of(pid_of(use_.process));
  if (!table) return;
  const bool tells_device = !use_.device.empty();
  for (const MountEntry& entry : *table) {
    if (entry.type != kSpillfsType) continue;
    if (tells_device ? entry.device == use_.device : entry.source == path_) where_ = entry.where;
  }
  if (tells_device && where_.empty()) state_ = State::kDetached;
  // It can't have said that its mount is gone. Who waits for itself would wait for ever.
  if (only_reads_ && where_.empty() && use_.process != ::getpid()) {
    state_ = State::kEnds;
    use_.doing = "ends";
  }
}

std::string StoreHolder::progress() const {
  return fmt::format("{} {} {} {}", use_.doing, use_.done,
                     cpu_time(use_.worker != 0 ? use_.worker : use_.process), unwritten());
}

std::string StoreHolder::waited_for() const {
  if (state_ == State::kDetached) {
    const std::string users = list_of(users_of_device(use_.device));
    return fmt::format("the mount that was on {}, which is still used by {}", use_.mountpoint,
                       users.empty() ? "processes that can't be seen from here" : users);
  }
  const std::string of =
      use_.mountpoint.empty() ? "" : fmt::format(" of the mount that was on {}", use_.mountpoint);
  return fmt::format("process {}{}, which {}", use_.worker != 0 ? use_.worker : use_.process, of,
                     use_.doing);
}

std::string StoreHolder::sentence() const {
  const std::string in_use = fmt::format("store {} is in use by another spillfs", path_);
  const std::string& where = where_.empty() ? use_.mountpoint : where_;
  if (state_ == State::kDetached) {
    return fmt::format("{}: {}; end those that use it", in_use, waited_for());
  }
  if (state_ == State::kEnds) {
    return fmt::format("{} that ends and makes no progress: {}; try again later", in_use,
                       waited_for());
  }
  const std::string by = shows_processes() ? fmt::format(" (process {})", use_.process) : "";
  if (!where.empty()) {
    return fmt::format("{}: it is mounted on {}{}; unmount it first", in_use, where, by);
  }
  if (!shows_processes()) return in_use + "; unmount it first";
  return fmt::format("{}: process {}, '{}'; wait until it has ended, or unmount the store first",
                     in_use, use_.process, command_of(use_.process));
}

}  // namespace spillfs::fs
