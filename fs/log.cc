// SPDX-License-Identifier: Apache-2.0
#include "fs/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "storage/base/bytes.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kLogSize = 10 * kMiB;

}  // namespace

Result<> set_up_log(const std::string& level, const std::string& file) {
  try {
    auto logger = file.empty() ? spdlog::stderr_logger_mt("spillfs")
                               : spdlog::rotating_logger_mt("spillfs", file, kLogSize, 2);
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e [%l] %v");
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
    spdlog::set_level(spdlog::level::from_str(level));
    return {};
  } catch (const spdlog::spdlog_ex& problem) {
    return fail(EIO, fmt::format("open the log: {}", problem.what()));
  }
}

void leave_terminal() {
  const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere.get(), fd);
  if (::chdir("/") != 0) spdlog::warn("stays in the directory it was started in");
}

std::string log_file(const std::string& store) { return store + "/spillfs.log"; }

}  // namespace spillfs::fs
