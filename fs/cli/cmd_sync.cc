// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/control/report_lines.h"
#include "fs/fuse/fuse_mount.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr std::string_view kRequest = "sync";
constexpr int kTries = 5;  // of daemons that are replaced or die meanwhile

Error trouble(int code, std::string text) {
  return {.code = code, .context = std::move(text), .where = {}};
}

// What the daemon answers; EIO without an answer: the process that was asked has ended.
Result<nlohmann::json> ask(const PinnedMount& mount) {
  Fd desk(::openat(mount.root(), ".spillfs/sync", O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!desk) return fail_errno(errno, "open .spillfs/sync");
  if (::write(desk.get(), kRequest.data(), kRequest.size()) < 0) {
    return fail_errno(errno, "ask the daemon");
  }
  ReportLines lines(std::move(desk), [&] { return is_mounted(mount.path()); });
  const std::string line = SPILLFS_TRY(lines.next());
  auto answer = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return fail(EPROTO, "the daemon says what this spillfs does not know");
  return answer;
}

bool is_read_only(const PinnedMount& mount) {
  const auto status = read_status(mount);
  return status.is_object() && status.value("read_only", false);
}

ExitCode not_asked(const Error& error, const PinnedMount& mount, Streams streams) {
  const std::string& path = mount.path();
  if (error.code == ENOENT && !read_control_text(path, "status").empty()) {
    return report(trouble(ENOENT, fmt::format("the daemon of {} is of an earlier version: "
                                              "'spillfs upgrade {}' first",
                                              path, path)),
                  kExitSystem, streams);
  }
  if (error.code == ENOENT || error.code == ENOTCONN) {
    return report(trouble(error.code, fmt::format("no live spillfs is mounted on {}", path)),
                  kExitMountpoint, streams);
  }
  return report(trouble(error.code, fmt::format("{} is not synced: {}", path, error.context)),
                kExitSystem, streams);
}

}  // namespace

ExitCode run_sync(const SyncCommand& command, Streams streams) {
  const auto mount = trusted_mount(command.mountpoint);
  if (!mount) return report(mount.error(), exit_code_untrusted(mount.error()), streams);
  const Fd root(::openat(mount->root(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // What is mapped and changed is in the kernel's memory still.
  if (!root || ::syncfs(root.get()) != 0) {
    return not_asked(trouble(errno, std::generic_category().message(errno)), *mount, streams);
  }
  auto answer = ask(*mount);
  for (int tries = 1; !answer && answer.error().code == EIO && tries < kTries; ++tries) {
    answer = ask(*mount);
  }
  // Of a mount that is read-only from its start there is nothing to sync.
  if (!answer && answer.error().code == EROFS && is_read_only(*mount)) return kExitSuccess;
  if (!answer) return not_asked(answer.error(), *mount, streams);
  if (!answer->contains("error")) return kExitSuccess;
  return report(trouble(EIO, fmt::format("not everything on {} is on disk: {}", mount->path(),
                                         answer->value("error", ""))),
                kExitSystem, streams);
}

}  // namespace spillfs::fs
