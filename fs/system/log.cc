// SPDX-License-Identifier: Apache-2.0
#include "fs/system/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "fs/system/journal_sink.h"
#include "fs/system/log_file.h"
#include "fs/system/one_line_sink.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

bool goes_to_journal(const LogTarget& target) {
  return target.where == "journal" ||
         (target.where == "auto" && target.folder == nullptr && stderr_is_journal());
}

Result<spdlog::sink_ptr> sink_of(const LogTarget& target) {
  if (goes_to_journal(target)) return make_journal_sink({target.mountpoint, target.store});
  if (target.folder == nullptr) return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  return make_log_file(*target.folder);
}

}  // namespace

Result<> set_up_log(const LogTarget& target) {
  if (goes_to_journal(target) && !there_is_a_journal()) {
    return fail(ENOENT, "there is no journal of systemd here; leave log=journal out");
  }
  try {
    auto sink = std::make_shared<OneLineSink>(SPILLFS_TRY(sink_of(target)));
    auto logger = std::make_shared<spdlog::logger>("spillfs", std::move(sink));
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e [%l] %v");
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
    spdlog::set_level(spdlog::level::from_str(target.level));
    return {};
  } catch (const spdlog::spdlog_ex& problem) {
    return fail(EIO, fmt::format("open the log: {}", problem.what()));
  }
}

std::string where_without_file() { return there_is_a_journal() ? "journal" : "auto"; }

void leave_terminal() {
  const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere.get(), fd);
  if (::chdir("/") != 0) spdlog::warn("stays in the directory it was started in");
}

}  // namespace spillfs::fs
