// SPDX-License-Identifier: Apache-2.0
// Log lines as entries of systemd's journal, with fields to ask for:
//   journalctl -t spillfs SPILLFS_MOUNTPOINT=/mnt ERRNO=5
#pragma once

#include <spdlog/common.h>

#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

// What a line is about, beyond its text. Of the lines that this thread logs while it lives; one at
// a time.
class LogAbout {
 public:
  LogAbout(std::string path, int error);  // empty, 0: not known
  ~LogAbout();
  LogAbout(const LogAbout&) = delete;
  LogAbout& operator=(const LogAbout&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int error() const { return error_; }

 private:
  const std::string path_;
  const int error_;
};

// "NAME=value" for each field of an entry: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER,
// SPILLFS_MOUNTPOINT, SPILLFS_STORE, and where known SPILLFS_SEGMENT ("7.private", from the text),
// SPILLFS_PATH, ERRNO.
struct JournalOrigin {
  std::string mountpoint, store;
};
std::vector<std::string> journal_fields(spdlog::level::level_enum level, std::string_view text,
                                        const JournalOrigin& origin);

// Whether this process's standard error goes to the journal, as systemd says.
bool stderr_is_journal();
bool there_is_a_journal();

spdlog::sink_ptr make_journal_sink(JournalOrigin origin);

}  // namespace spillfs::fs
