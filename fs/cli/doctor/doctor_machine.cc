// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>

#include "fs/cli/doctor/doctor.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/system/memory_pressure.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

using Level = Finding::Level;

constexpr rlim_t kManyDescriptors = 65536;
constexpr std::time_t kYearOfThisProgram = 1'735'689'600;  // 2025-01-01

void examine_kernel(Findings& findings) {
  utsname machine{};
  ::uname(&machine);
  const auto features = probe_kernel();
  const std::string release = std::string("Linux ") + machine.release;
  if (!features) {
    findings.push_back(
        {Level::kWarn, "kernel",
         fmt::format("{}; what FUSE can do can't be asked: {}", release, features.error().context),
         "run doctor as root to know"});
    return;
  }
  if (!features->on.has(Feature::kResend)) {
    findings.push_back({Level::kWarn, "kernel",
                        release + ": the mount ends when its worker dies, and large files are read "
                                  "through the daemon",
                        "use a kernel from 6.9 on"});
    return;
  }
  const bool passes = features->on.has(Feature::kPassthrough);
  findings.push_back({passes ? Level::kOk : Level::kWarn, "kernel",
                      fmt::format("{}, {}", release, describe(*features)),
                      passes ? "" : "passthrough is off: mount as root, on a kernel with it"});
}

void examine_device(Findings& findings) {
  const Fd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (fuse) {
    findings.push_back({Level::kOk, "fuse", "/dev/fuse, libfuse " + libfuse_version(), ""});
    return;
  }
  const bool missing = errno == ENOENT;
  findings.push_back({Level::kFail, "fuse",
                      std::string("/dev/fuse ") + (missing ? "is not there" : "may not be opened"),
                      missing ? "'modprobe fuse'; in a container, '--device /dev/fuse'"
                              : "let this user read and write it"});
}

std::string find_in_path(const std::string& program) {
  const char* path = ::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string found = fmt::format("{}/{}", folder, program);
    if (::access(found.c_str(), X_OK) == 0) return found;
  }
  return {};
}

// Only an ordinary user needs it.
void examine_fusermount(Findings& findings) {
  const std::string program = find_in_path("fusermount3");
  const bool root = ::geteuid() == 0;
  struct stat found {};
  if (program.empty() || ::stat(program.c_str(), &found) != 0) {
    findings.push_back({root ? Level::kWarn : Level::kFail, "fusermount3",
                        "not found; ordinary users can't mount", "install the package fuse3"});
    return;
  }
  const bool privileged = found.st_uid == 0 && (found.st_mode & S_ISUID) != 0;
  findings.push_back({privileged ? Level::kOk : Level::kWarn, "fusermount3",
                      program + (privileged ? "" : " is not set-uid root: only root can mount"),
                      privileged ? "" : "reinstall the package fuse3"});
}

void examine_limits(Findings& findings) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const bool many = limit.rlim_max >= kManyDescriptors;
  findings.push_back({many ? Level::kOk : Level::kWarn, "descriptors",
                      fmt::format("a daemon started from here may have {} open", limit.rlim_max),
                      many ? ""
                           : fmt::format("each large open file is one: raise the hard limit to {} "
                                         "(LimitNOFILE= of a unit, limits.conf)",
                                         kManyDescriptors)});
}

void examine_memory(Findings& findings) {
  MemoryPressure memory;
  const bool tight = memory.tight(::getpid());
  findings.push_back({tight ? Level::kWarn : Level::kOk, "memory", memory.describe(),
                      tight ? "large files go past the page cache; give the machine, or this "
                              "cgroup, more memory or the runtime less"
                            : ""});
}

std::string clock_source() {
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string name;
  std::getline(file, name);
  return name;
}

// Every request looks at the clock: one that has to ask a device makes all of them slow.
void examine_clock(Findings& findings) {
  const std::string source = clock_source();
  if (std::time(nullptr) < kYearOfThisProgram) {
    findings.push_back({Level::kFail, "clock", "the clock is years behind",
                        "set it: file times and log lines come from it"});
  } else if (source == "hpet" || source == "acpi_pm") {
    findings.push_back({Level::kWarn, "clock", source + " is slow to read",
                        "choose tsc or kvm-clock, where the machine has one"});
  } else {
    findings.push_back({Level::kOk, "clock", source.empty() ? "set" : source, ""});
  }
}

}  // namespace

std::string_view level_name(Finding::Level level) {
  switch (level) {
    case Level::kOk:
      return "OK";
    case Level::kWarn:
      return "WARN";
    case Level::kFail:
      break;
  }
  return "FAIL";
}

void examine_machine(Findings& findings) {
  examine_kernel(findings);
  examine_device(findings);
  examine_fusermount(findings);
  examine_limits(findings);
  examine_memory(findings);
  examine_clock(findings);
}

}  // namespace spillfs::fs
