// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/control/report_lines.h"
#include "fs/system/progress.h"
#include "storage/base/escaped.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

std::string describe_damage(const nlohmann::json& line) {
  const auto inode = line.value("inode", std::uint64_t{0});
  const std::string path = line.value("path", "");
  const std::string file =
      inode == 0 ? "the segment itself"
                 : fmt::format("{} (inode {})", path.empty() ? "a file" : escaped(path), inode);
  return fmt::format("segment {} is damaged at {}: {}: {}", line.value("segment", ""),
                     line.value("offset", std::uint64_t{0}), line.value("damage", ""), file);
}

ExitCode tell_end(const nlohmann::json& line, Streams streams) {
  if (line.contains("error")) {
    return report({.code = EIO, .context = line.value("error", ""), .where = {}}, kExitSystem,
                  streams);
  }
  const auto damaged = line.value("damaged", std::uint64_t{0});
  const auto unsummed = line.value("files_without_sums", std::uint64_t{0});
  streams.out << fmt::format(
      "{} files, {} bytes compared{}: {}\n", line.value("files", std::uint64_t{0}),
      line.value("scrubbed_bytes", std::uint64_t{0}),
      unsummed == 0 ? "" : fmt::format(", {} files without sums now", unsummed),
      damaged == 0 ? "no damage" : fmt::format("{} damaged", damaged));
  return damaged == 0 ? kExitSuccess : kExitProblemsFound;
}

}  // namespace

ExitCode run_scrub(const ScrubCommand& command, Streams streams) {
  const auto mount = trusted_mount(command.mountpoint);
  if (!mount) return report(mount.error(), exit_code_untrusted(mount.error()), streams);
  const std::string name = mount->path() + "/.spillfs/scrub";
  Fd file(::openat(mount->root(), ".spillfs/scrub", O_RDONLY | O_CLOEXEC));
  if (!file && (errno == EACCES || errno == EPERM)) {
    return report(
        {.code = errno,
         .context = fmt::format("only root and the store's owner may scrub {}", command.mountpoint),
         .where = {}},
        kExitSystem, streams);
  }
  if (!file) {
    return report({.code = errno,
                   .context = fmt::format("no live spillfs is mounted on {}", command.mountpoint),
                   .where = {}},
                  kExitMountpoint, streams);
  }
  ReportLines lines(std::move(file));
  ProgressBar progress(command.progress ? &streams.err : nullptr);
  for (;;) {
    const auto line = lines.next();
    if (!line) return report(line.error(), kExitSystem, streams);
    const auto json = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      return report(
          {.code = EIO, .context = name + " says what this spillfs does not know", .where = {}},
          kExitSystem, streams);
    }
    if (command.json) streams.out << *line << std::endl;
    if (json.contains("damage") && !command.json) {
      progress.clear();
      complain(streams.err, describe_damage(json));
    }
    if (json.contains("of_bytes")) {
      progress.update(json.value("scrubbed_bytes", std::uint64_t{0}),
                      json.value("of_bytes", std::uint64_t{0}));
    }
    if (!json.contains("done")) continue;
    progress.clear();
    std::ostream nowhere(nullptr);
    return tell_end(json, {command.json ? nowhere : streams.out, streams.err});
  }
}

}  // namespace spillfs::fs
