// SPDX-License-Identifier: Apache-2.0
#include "fs/rights/own_rights.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "fs/config/metrics_address.h"
#include "fs/system/journal_sink.h"

namespace spillfs::fs {
namespace {

constexpr const char* kOomScore = "/proc/self/oom_score_adj";
// Without the supervisor the mount is lost; another worker goes on where one is killed.
constexpr int kSupervisorScore = -900;
constexpr int kWorkerScore = -500;

void warn(const Result<>& done) {
  if (!done) spdlog::warn("{}", describe(done.error()));
}

int oom_score() {
  int score = 0;
  std::ifstream(kOomScore) >> score;
  return score;
}

void set_oom_score(int score) {
  std::ofstream file(kOomScore);
  if (!(file << score << std::flush)) spdlog::debug("the OOM score stays {}", oom_score());
}

Result<> forbid_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return {};
  return fail_errno(errno, "forbid new privileges");
}

// Where the whole file system is read-only nobody writes, whatever rights they have.
bool may_work_in(const std::string& path) {
  const auto may = [&](int rights) {
    return ::faccessat(AT_FDCWD, path.c_str(), rights, AT_EACCESS) == 0;
  };
  return may(R_OK | W_OK | X_OK) || (errno == EROFS && may(R_OK | X_OK));
}

// Whether this process could work there if it were no more than their owner.
bool are_ours(const std::vector<std::string>& directories) {
  const CapabilitySet held = held_capabilities();
  warn(use_capabilities(held - kOthersFiles - CapabilitySet{CAP_DAC_READ_SEARCH, CAP_FOWNER}));
  const bool ours = std::all_of(directories.begin(), directories.end(), may_work_in);
  warn(use_capabilities(held));
  return ours;
}

}  // namespace

void limit_supervisor() {
  if (oom_score() > kSupervisorScore) set_oom_score(kSupervisorScore);
  // fusermount3, by which others unmount, is a program that gets privileges.
  if (!held_capabilities().has(CAP_SYS_ADMIN)) return;
  warn(bound_capabilities(kSupervisorCapabilities));
  warn(keep_capabilities(kSupervisorCapabilities));
  warn(forbid_new_privileges());
}

WorkerNeeds worker_needs(const MountOptions& options, FeatureSet features, const std::string& store,
                         std::vector<std::string> data) {
  WorkerNeeds needs{.directories = std::move(data), .capabilities = {}, .calls = {}};
  if (features.has(Feature::kPassthrough)) needs.capabilities = kPassthrough;
  needs.directories.push_back(store);
  const auto folder_of = [](const std::string& path) {
    return std::filesystem::path(path).parent_path().string();
  };
  if (!options.metrics_file.empty()) needs.directories.push_back(folder_of(options.metrics_file));
  const auto metrics = parse_metrics_address(options.metrics);
  if (metrics) needs.calls.sockets = SandboxRules::Sockets::kListening;
  if (metrics && metrics->family == MetricsAddress::Family::kUnix) {
    needs.directories.push_back(folder_of(metrics->host));
  }
  const bool no_file = options.read_only && there_is_a_journal();
  if (no_file || options.log == "journal" || (options.log == "auto" && stderr_is_journal())) {
    needs.calls.journal = SandboxRules::Journal::kYes;
  }
  return needs;
}

std::string limit_worker(const MountOptions& options, const WorkerNeeds& needs) {
  if (oom_score() < kWorkerScore) set_oom_score(kWorkerScore);
  warn(keep_capabilities(are_ours(needs.directories) ? needs.capabilities
                                                     : needs.capabilities | kOthersFiles));
  warn(forbid_new_privileges());
  if (!options.sandbox) return "off: sandbox=no";
  if (const auto entered = enter_sandbox(needs.calls); !entered) {
    spdlog::warn("system calls are not filtered: {}", describe(entered.error()));
    return fmt::format("off: {}", describe(entered.error()));
  }
  return "on";
}

Result<> limit_helper(CapabilitySet kept) {
  if (oom_score() < kWorkerScore) set_oom_score(kWorkerScore);
  SPILLFS_TRY(keep_capabilities(kept));
  return forbid_new_privileges();
}

}  // namespace spillfs::fs
