// SPDX-License-Identifier: Apache-2.0
#include "fs/system/journal_sink.h"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace spillfs::fs {
namespace {

thread_local const LogAbout* about = nullptr;

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return LOG_DEBUG;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::err:
      return LOG_ERR;
    case spdlog::level::critical:
      return LOG_CRIT;
    default:
      return LOG_INFO;
  }
}

// "7.private" of "write segments/7.private: Input/output error".
std::string_view segment_in(std::string_view text) {
  for (const std::string_view kind : {".private", ".fused"}) {
    const std::size_t dot = text.find(kind);
    if (dot == std::string_view::npos) continue;
    std::size_t begin = dot;
    while (begin > 0 && std::isdigit(static_cast<unsigned char>(text[begin - 1])) != 0) --begin;
    if (begin < dot) return text.substr(begin, dot - begin + kind.size());
  }
  return {};
}

class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit JournalSink(JournalOrigin origin) : origin_(std::move(origin)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    auto fields = journal_fields(line.level, {line.payload.data(), line.payload.size()}, origin_);
    std::vector<iovec> parts;
    parts.reserve(fields.size());
    for (std::string& field : fields) parts.push_back({field.data(), field.size()});
    // In parentheses it is not the macro, by which each line would come from this one.
    (::sd_journal_sendv)(parts.data(), static_cast<int>(parts.size()));
  }
  void flush_() override {}

 private:
  const JournalOrigin origin_;
};

}  // namespace

LogAbout::LogAbout(std::string path, int error) : path_(std::move(path)), error_(error) {
  about = this;
}
LogAbout::~LogAbout() { about = nullptr; }

std::vector<std::string> journal_fields(spdlog::level::level_enum level, std::string_view text,
                                        const JournalOrigin& origin) {
  std::vector<std::string> fields{fmt::format("MESSAGE={}", text),
                                  fmt::format("PRIORITY={}", priority_of(level)),
                                  "SYSLOG_IDENTIFIER=spillfs"};
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) fields.push_back(fmt::format("{}={}", name, value));
  };
  add("SPILLFS_MOUNTPOINT", origin.mountpoint);
  add("SPILLFS_STORE", origin.store);
  add("SPILLFS_SEGMENT", segment_in(text));
  if (about == nullptr) return fields;
  add("SPILLFS_PATH", about->path());
  if (about->error() != 0) fields.push_back(fmt::format("ERRNO={}", about->error()));
  return fields;
}

// systemd.exec(5): JOURNAL_STREAM is device and inode of what the journal gave as standard error;
// who has redirected it since does not log there.
bool stderr_is_journal() {
  const char* given = std::getenv("JOURNAL_STREAM");
  struct stat found {};
  if (given == nullptr || ::fstat(STDERR_FILENO, &found) != 0) return false;
  return fmt::format("{}:{}", found.st_dev, found.st_ino) == given;
}

bool there_is_a_journal() { return ::access("/run/systemd/journal/socket", W_OK) == 0; }

spdlog::sink_ptr make_journal_sink(JournalOrigin origin) {
  return std::make_shared<JournalSink>(std::move(origin));
}

}  // namespace spillfs::fs
