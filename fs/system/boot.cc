// SPDX-License-Identifier: Apache-2.0
#include "fs/system/boot.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr const char* kBootId = "sys/kernel/random/boot_id";
// Of linux/mount.h, which does not go together with sys/mount.h.
constexpr unsigned kCloseOnExec = 1;       // FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
constexpr unsigned kCreate = 6;            // FSCONFIG_CMD_CREATE
constexpr std::int64_t kTolerance = 1000;  // ms, of two looks at clocks that are set meanwhile

// One that no one has mounted anything over, and none can. Empty where this process may not.
Fd own_proc() {
  const Fd context(static_cast<int>(::syscall(SYS_fsopen, "proc", kCloseOnExec)));
  if (!context) return {};
  if (::syscall(SYS_fsconfig, context.get(), kCreate, nullptr, nullptr, 0) != 0) return {};
  return Fd(static_cast<int>(::syscall(SYS_fsmount, context.get(), kCloseOnExec, 0)));
}

bool is_of_proc(const Fd& file) {
  struct statfs found {};
  return ::fstatfs(file.get(), &found) == 0 && found.f_type == PROC_SUPER_MAGIC;
}

std::string read_all(const Fd& file) {
  std::array<char, 4096> text{};
  const ssize_t got = file ? ::read(file.get(), text.data(), text.size()) : -1;
  return {text.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

std::string read_id(const Fd& file) {
  const std::string text = read_all(file);
  return text.substr(0, text.find('\n'));
}

Fd open_in(const Fd& proc, const char* name) {
  return Fd(::openat(proc.get(), name, O_RDONLY | O_CLOEXEC));
}

// What is read is the machine's id unless another file lies over it: one of another file system, or
// the one beside it, which has another id each time.
Boot boot_of(const Fd& proc) {
  const Fd file = open_in(proc, kBootId);
  Boot boot{.id = read_id(file)};
  boot.certain = !boot.id.empty() && is_of_proc(file) && boot.id == read_id(open_in(proc, kBootId));
  return boot;
}

std::int64_t milliseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

bool is_known(const index::BootClock& clock) { return clock.booted != 0; }

BootedSince booted_by_clocks(const index::BootClock& then, const index::BootClock& now) {
  if (!is_known(then) || !is_known(now)) return BootedSince::kUnknown;
  if (now.uptime + kTolerance < then.uptime) return BootedSince::kYes;  // it never goes back
  // Between two boots more time goes by, where the clock on the wall was not set.
  if (std::abs(now.booted - then.booted) <= kTolerance) return BootedSince::kNo;
  return BootedSince::kUnknown;
}

// By what an earlier version left, which noted neither clocks nor whether its id was certain.
BootedSince booted_by_id(const index::SyncMark& found, const BootView& view) {
  if (found.boot == view.boot.id) return BootedSince::kNo;
  const index::BootClock now = view.now();
  if (!view.boot.certain) return BootedSince::kUnknown;
  if (!view.last_written || !is_known(now)) return BootedSince::kYes;
  // Written by this boot with another id: that was a container's.
  return now.booted / 1000 < *view.last_written ? BootedSince::kUnknown : BootedSince::kYes;
}

// The latest time of a file there.
std::optional<std::int64_t> last_written(const std::string& directory) {
  std::optional<std::int64_t> latest;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
    struct stat found {};
    if (::stat(entry.path().c_str(), &found) != 0) continue;
    latest = std::max(latest.value_or(found.st_mtim.tv_sec), std::int64_t{found.st_mtim.tv_sec});
  }
  return latest;
}

}  // namespace

Boot this_boot() {
  if (const Fd proc = own_proc()) return boot_of(proc);
  const Fd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return boot_of(proc);
}

// "monotonic 0 0\nboottime 100 0": seconds and nanoseconds, of the namespace that children get.
std::optional<std::chrono::nanoseconds> boot_clock_offset() {
  struct stat own {};
  if (::stat("/proc/self/ns/time", &own) != 0) {
    // A kernel without time namespaces, unless there is no /proc.
    if (::access("/proc/self/ns/pid", F_OK) != 0) return std::nullopt;
    return std::chrono::nanoseconds(0);
  }
  struct stat of_children {};
  if (::stat("/proc/self/ns/time_for_children", &of_children) != 0 ||
      own.st_ino != of_children.st_ino) {
    return std::nullopt;
  }
  const Fd file(::open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC));
  if (!file || !is_of_proc(file)) return std::nullopt;
  std::istringstream words(read_all(file));
  std::string clock;
  for (std::int64_t seconds = 0, nanoseconds = 0; words >> clock >> seconds >> nanoseconds;) {
    if (clock == "boottime" || clock == std::to_string(CLOCK_BOOTTIME)) {
      return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanoseconds);
    }
  }
  return std::nullopt;
}

index::BootClock boot_clock(std::optional<std::chrono::nanoseconds> offset) {
  if (!offset) return {};
  const std::int64_t uptime = milliseconds(CLOCK_BOOTTIME) - *offset / std::chrono::milliseconds(1);
  return {.booted = milliseconds(CLOCK_REALTIME) - uptime, .uptime = uptime};
}

BootView boot_view(Boot boot, BootChoice choice, const std::string& index) {
  return {.boot = std::move(boot),
          .choice = choice,
          .clock = [offset = boot_clock_offset()] { return boot_clock(offset); },
          .last_written = last_written(index)};
}

BootedSince booted_since(const index::SyncMark& found, const BootView& view) {
  if (view.choice == BootChoice::kSame) return BootedSince::kNo;
  if (view.choice == BootChoice::kNew) return BootedSince::kYes;
  if (found.boot.empty() && !is_known(found.clock)) return BootedSince::kNo;  // none so far
  if (found.certain && view.boot.certain) {
    return found.boot == view.boot.id ? BootedSince::kNo : BootedSince::kYes;
  }
  if (!found.certain && !is_known(found.clock)) return booted_by_id(found, view);
  return booted_by_clocks(found.clock, view.now());
}

}  // namespace spillfs::fs
