// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/external.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "fs/system/signal_set.h"
#include "storage/external/object_url.h"

namespace spillfs::fs {
Result<std::string> text_given(const std::string& given) {
  if (!given.starts_with('@')) return given;
  const std::string path = given.substr(1);
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return fail(EINVAL, "--config: can't read " + path);
  return text;
}

Interruption::Interruption() {
  const sigset_t set = signal_set({SIGINT, SIGTERM, SIGHUP});
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
}

Interruption::~Interruption() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Result<> Interruption::check() {
  sigset_t pending;
  ::sigpending(&pending);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (::sigismember(&pending, signal) == 1) return fail(EINTR, "interrupted");
  }
  return {};
}

Progress::~Progress() {
  if (shown_ != 0) err_ << "\r\x1b[K" << std::flush;
}

void Progress::add(std::uint64_t bytes) {
  done_ += bytes;
  if (done_ - shown_ < kStep) return;
  shown_ = done_;
  err_ << fmt::format("\r{} {} of {} MiB\x1b[K", what_, done_ / kMiB, total_ / kMiB) << std::flush;
}

OpenedStorage open_storage(const StorageChoice& choice, Streams streams,
                           storage::external::SpillHooks hooks) {
  const auto config = text_given(choice.config);
  if (!config) return {.storage = {}, .code = report(config.error(), kExitUsage, streams)};
  auto made = storage::external::make_external_storage(*config, choice.session, std::move(hooks));
  if (made) return {.storage = *std::move(made)};
  const ExitCode code = made.error().code == EINVAL ? kExitUsage : kExitExternal;
  return {.storage = {}, .code = report(made.error(), code, streams)};
}

Result<std::uint64_t> size_of(const std::vector<std::string>& urls) {
  std::uint64_t size = 0;
  for (const std::string& url : urls) {
    size += SPILLFS_TRY(storage::external::parse_url_with_offset(url)).size;
  }
  return size;
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view three = bytes.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < three.size() ? static_cast<unsigned char>(three[i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= three.size() ? kDigits[bits >> (18 - 6 * i) & 0x3f] : '=';
    }
  }
  return text;
}

}  // namespace spillfs::fs
