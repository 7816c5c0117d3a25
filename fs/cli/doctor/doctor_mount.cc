// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fs/cli/doctor/doctor.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/system/human.h"
#include "fs/system/mount_table.h"

namespace spillfs::fs {
namespace {

using Level = Finding::Level;

constexpr std::array<std::string_view, 4> kGoodTypes{"ext4", "xfs", "btrfs", "f2fs"};
constexpr std::array<std::string_view, 3> kMemoryTypes{"tmpfs", "ramfs", "hugetlbfs"};
constexpr std::uint64_t kLittle = 10;    // per cent
constexpr std::uint64_t kTooLittle = 5;  // per cent: takes no new segments

bool has_option(const MountEntry& mount, std::string_view option) {
  const std::string list = "," + mount.options + ",";
  return list.find(fmt::format(",{},", option)) != std::string::npos;
}

void examine_type(const std::string& directory, const MountEntry& mount, Findings& findings) {
  const bool good = std::count(kGoodTypes.begin(), kGoodTypes.end(), mount.type) != 0;
  const bool memory = std::count(kMemoryTypes.begin(), kMemoryTypes.end(), mount.type) != 0;
  if (memory) {
    findings.push_back({Level::kFail, "disk",
                        fmt::format("{} is {}: memory", directory, mount.type),
                        "spilling there frees no memory; use a disk"});
  } else if (!good) {
    findings.push_back(
        {Level::kWarn, "disk",
         fmt::format("{} is {}, which spillfs is not tested on", directory, mount.type),
         "ext4, xfs or btrfs on a local disk is better"});
  } else if (has_option(mount, "discard") && mount.type != "btrfs") {
    findings.push_back(
        {Level::kWarn, "disk",
         fmt::format("{} is {}, mounted with discard: each delete waits for the disk", directory,
                     mount.type),
         "mount it without, and have fstrim.timer do it"});
  } else {
    findings.push_back({Level::kOk, "disk", fmt::format("{} is {}", directory, mount.type), ""});
  }
}

void examine_room(const std::string& directory, std::uint64_t reserved, Findings& findings) {
  struct statvfs space {};
  if (::statvfs(directory.c_str(), &space) != 0) return;
  const std::uint64_t total = space.f_blocks * space.f_frsize;
  const std::uint64_t free = space.f_bavail * space.f_frsize;
  std::string found =
      fmt::format("{}: {} of {} free ({})", directory, human_size(static_cast<double>(free)),
                  human_size(static_cast<double>(total)), percent(free, total));
  if (reserved != 0) {
    found += fmt::format(", {} reserved for the index", human_size(static_cast<double>(reserved)));
  }
  if (reserved != 0 && free <= reserved) {
    findings.push_back({Level::kFail, "space", found,
                        "it takes no new segments: make room, add a data directory, or lower "
                        "index_reserve"});
  } else if (free * 100 < total * kTooLittle) {
    findings.push_back({Level::kFail, "space", found,
                        "below 5 % it takes no new segments: make room, or add a data directory"});
  } else if (free * 100 < total * kLittle) {
    findings.push_back({Level::kWarn, "space", found, "make room"});
  } else {
    findings.push_back({Level::kOk, "space", found, ""});
  }
  if (space.f_files != 0 && space.f_favail * 100 < space.f_files * kLittle) {
    findings.push_back({Level::kWarn, "space",
                        fmt::format("{}: {} of {} inodes free", directory,
                                    std::uint64_t{space.f_favail}, std::uint64_t{space.f_files}),
                        "each large file needs one there: make some free"});
  }
}

void examine_disk(const std::string& directory, std::uint64_t reserved, Findings& findings) {
  std::error_code error;
  const std::string real = std::filesystem::canonical(directory, error).string();
  const auto mount = mount_of(error ? directory : real);
  if (error || !mount) {
    findings.push_back({Level::kWarn, "disk", directory + " can't be looked at: " + error.message(),
                        "run doctor as root"});
    return;
  }
  examine_type(directory, *mount, findings);
  examine_room(real, reserved, findings);
}

void examine_health(const nlohmann::json& status, Findings& findings) {
  const std::string index = status.value("index", "");
  if (index.starts_with("read-only")) {
    findings.push_back({Level::kFail, "index", index,
                        "make room on its disk, or look at the kernel's log for disk errors"});
  }
  const auto damaged = status.value("damaged_files", 0);
  if (damaged != 0) {
    findings.push_back({Level::kFail, "damage", fmt::format("{} damaged files", damaged),
                        "'spillfs scrub' names them; look at the disk"});
  }
  const auto slow = status.value("slow_operations", 0);
  if (slow != 0) {
    findings.push_back({Level::kWarn, "slow", fmt::format("{} operations took over 5 s", slow),
                        "the log names them; the disk may be overloaded or failing"});
  }
  const auto restarts = status.value("restarts", 0);
  if (restarts != 0) {
    findings.push_back({Level::kWarn, "restarts", fmt::format("the worker died {} times", restarts),
                        "the log says how; signal 9 is mostly the OOM killer"});
  }
}

// One of an older version says nothing of it.
void examine_rights(const nlohmann::json& status, Findings& findings) {
  const auto rights = status.value("rights", nlohmann::json::object());
  const std::string sandbox = status.value("sandbox", "");
  if (sandbox.empty() || !rights.is_object()) return;
  const auto worker = rights.value("worker", nlohmann::json::object());
  const auto capabilities = worker.value("capabilities", std::vector<std::string>());
  const bool limited = worker.value("no_new_privileges", false);
  const std::string found = fmt::format(
      "the worker has {}, {} new privileges, system call filter {}, OOM score {}",
      capabilities.empty() ? "no capabilities" : fmt::format("{}", fmt::join(capabilities, " ")),
      limited ? "no" : "may get", sandbox, worker.value("oom_score_adj", 0));
  if (sandbox == "on" && limited) {
    findings.push_back({Level::kOk, "rights", found, ""});
  } else {
    findings.push_back({Level::kWarn, "rights", found,
                        sandbox == "off: sandbox=no"
                            ? "mount with sandbox=yes, unless a debugger needs it so"
                            : "use a kernel with seccomp filters (CONFIG_SECCOMP_FILTER)"});
  }
}

}  // namespace

void examine_mount(const std::string& mountpoint, Findings& findings) {
  const auto mount = PinnedMount::at(mountpoint);
  if (mount && mount->is_strangers()) {  // its daemon would choose where root looks
    findings.push_back({Level::kWarn, "mount",
                        fmt::format("{} is user {}'s mount", mountpoint, mount->owner()),
                        "run doctor as that user"});
    return;
  }
  const auto status = mount ? read_status(*mount) : nlohmann::json();
  if (!status.is_object()) {
    findings.push_back({Level::kFail, "mount", "no live spillfs is mounted on " + mountpoint,
                        "'spillfs mount STORE " + mountpoint + "'"});
    return;
  }
  findings.push_back({Level::kOk, "mount",
                      fmt::format("{} serves {}, spillfs {}", mountpoint, status.value("store", ""),
                                  status.value("version", "")),
                      ""});
  examine_health(status, findings);
  examine_rights(status, findings);
  for (const auto& directory : status.value("directories", nlohmann::json::array())) {
    examine_disk(directory.value("path", ""), directory.value("reserved_bytes", std::uint64_t{0}),
                 findings);
  }
}

}  // namespace spillfs::fs
