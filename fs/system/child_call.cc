// SPDX-License-Identifier: Apache-2.0
#include "fs/system/child_call.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "fs/system/guarded.h"
#include "storage/base/bytes.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostAnswer = 64 * kMiB;

Result<> become(const UserIds& user) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
      ::setresuid(user.uid, user.uid, user.uid) != 0) {
    return fail_errno(errno, "become the mount's user");
  }
  return {};
}

void write_all(const Fd& file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// Nobody who reads what this program prints shall wait for a child that does not end.
void let_go_of_standard_files() {
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    static_cast<void>(::dup2(nothing.get(), file));
  }
}

// The answer is an errno, 0 for none, and a text.
[[noreturn]] void answer(const Fd& to, const std::optional<UserIds>& user,
                         const std::function<Result<std::string>()>& call) {
  let_go_of_standard_files();
  const auto whole = [&]() -> Result<std::string> {
    if (user) SPILLFS_TRY(become(*user));
    return call();
  };
  const auto done = guarded(whole);
  const int code = done ? 0 : done.error().code;
  write_all(to, as_text(bytes_of(code)));
  write_all(to, done ? *done : done.error().context);
  ::_exit(EXIT_SUCCESS);
}

Result<std::string> read_answer(const Fd& from) {
  std::string text;
  for (const auto end = Clock::now() + kChildPatience; text.size() <= kMostAnswer;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd readable{.fd = from.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0) return fail(ETIMEDOUT, "does not answer");
    if (::poll(&readable, 1, static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 65536> part{};
    const ssize_t got = ::read(from.get(), part.data(), part.size());
    if (got < 0) return fail_errno(errno, "read an answer");
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return fail(EFBIG, "answers without an end");
}

}  // namespace

Result<std::string> call_in_child(const std::optional<UserIds>& user,
                                  const std::function<Result<std::string>()>& call) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) answer(to, user, call);
  to.reset();
  const auto told = read_answer(from);
  if (!told) ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, told ? 0 : WNOHANG);
  if (!told) return tl::unexpected(told.error());
  if (told->size() < sizeof(int)) return fail(EIO, "ended without an answer");
  const int code = load<int>(as_bytes(*told));
  std::string text = told->substr(sizeof(int));
  return code == 0 ? Result<std::string>(std::move(text)) : fail(code, std::move(text));
}

}  // namespace spillfs::fs
