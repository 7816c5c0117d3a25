// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/age.h"
#include "fs/commands.h"
#include "fs/fuse_mount.h"
#include "fs/mount_tree.h"
#include "fs/which_mount.h"
#include "fs/worker.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

std::string line_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// What one mount, or all of them, had.
class Reaping {
 public:
  Reaping(const ReapCommand& command, ReapRules rules, Streams streams)
      : command_(command), rules_(std::move(rules)), streams_(streams) {}

  ExitCode reap(const std::string& mountpoint) {
    failed_ = false;
    const auto tree = open_mount_tree(mountpoint);
    if (!tree && command_.mountpoint.empty()) {
      tell_if_dead(mountpoint, streams_.err);
      return kExitSuccess;  // others' end is no failure of this
    }
    if (!tree) return report(tree.error(), kExitMountpoint, streams_);
    const ReapFindings found = find_orphans(**tree, rules_);
    for (const Error& error : found.trouble) trouble(mountpoint, error);
    for (const Orphan& orphan : found.orphans) reap(**tree, mountpoint, orphan);
    return failed_ ? kExitSystem : kExitSuccess;
  }

  void tell_sum() {
    if (command_.json) return;
    streams_.out << fmt::format("{} {}, {} bytes\n", count_,
                                command_.dry_run ? "would be removed" : "removed", bytes_);
  }

 private:
  void trouble(const std::string& mountpoint, const Error& error) {
    if (command_.mountpoint.empty() && !is_mounted(mountpoint)) return;  // it has ended meanwhile
    failed_ = true;
    complain(streams_.err, fmt::format("{}: {}", mountpoint, error.context));
  }

  void reap(ReapTree& tree, const std::string& mountpoint, const Orphan& orphan) {
    if (!command_.dry_run) {
      const auto removed = remove_orphan(tree, orphan);
      // Somebody came back for it.
      if (!removed && removed.error().code == EBUSY) return;
      if (!removed) return trouble(mountpoint, removed.error());
    }
    ++count_;
    bytes_ += orphan.bytes;
    const std::string path = fmt::format("{}/{}", mountpoint, orphan.path);
    if (command_.json) {
      streams_.out << line_of({{"path", path},
                               {"bytes", orphan.bytes},
                               {"why", orphan.why},
                               {"removed", !command_.dry_run}});
    } else {
      streams_.out << fmt::format("{}  {} bytes  {}\n", escaped(path), orphan.bytes,
                                  one_line(orphan.why));
    }
  }

  const ReapCommand& command_;
  const ReapRules rules_;
  const Streams streams_;
  std::uint64_t count_ = 0, bytes_ = 0;
  bool failed_ = false;
};

}  // namespace

ExitCode run_reap(const ReapCommand& command, Streams streams) {
  const auto older_than = parse_age(command.older_than);
  if (!older_than) return report(older_than.error(), kExitUsage, streams);
  const ReapRules rules{
      .machine = this_machine(boot_id()), .now = std::time(nullptr), .older_than = *older_than};
  Reaping reaping(command, rules, streams);
  ExitCode code = kExitSuccess;
  for (const std::string& mountpoint : each_mount(command.mountpoint)) {
    const ExitCode done = reaping.reap(mountpoint);
    if (done != kExitSuccess) code = done;
  }
  if (code != kExitMountpoint) reaping.tell_sum();
  return code;
}

}  // namespace spillfs::fs
