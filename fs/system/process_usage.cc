// SPDX-License-Identifier: Apache-2.0
#include "fs/system/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace spillfs::fs {
namespace {

std::string text_of(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// proc_pid_stat(5), from its third field on; the second may hold anything.
void read_stat(ProcessUsage& usage) {
  const std::string text = text_of("/proc/self/stat");
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  constexpr int kUser = 14;
  constexpr int kSystem = 15;
  constexpr int kThreads = 20;
  constexpr int kStart = 22;
  constexpr int kVirtual = 23;
  constexpr int kResident = 24;
  double started = 0;
  std::string field;
  for (int number = 3; number <= kResident && fields >> field; ++number) {
    if (number == kUser || number == kSystem) usage.cpu_seconds += std::stod(field) / ticks;
    if (number == kThreads) usage.threads = std::stoull(field);
    if (number == kStart) started = std::stod(field) / ticks;
    if (number == kVirtual) usage.virtual_size = std::stoull(field);
    if (number == kResident) {
      usage.resident = std::stoull(field) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    }
  }
  std::istringstream machine(text_of("/proc/stat"));
  while (machine >> field) {
    double boot = 0;
    if (field == "btime" && machine >> boot) usage.start_time = boot + started;
  }
}

}  // namespace

ProcessUsage process_usage() {
  ProcessUsage usage;
  read_stat(usage);
  std::error_code error;
  for (std::filesystem::directory_iterator each("/proc/self/fd", error), end; !error && each != end;
       each.increment(error)) {
    ++usage.descriptors;
  }
  if (usage.descriptors > 0) --usage.descriptors;  // the one that looked
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.most_descriptors = limit.rlim_cur;
  return usage;
}

}  // namespace spillfs::fs
