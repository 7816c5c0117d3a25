// SPDX-License-Identifier: Apache-2.0
#include "fs/rights/helper_process.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "fs/rights/own_rights.h"
#include "fs/system/signal_set.h"

namespace spillfs::fs {
namespace {

constexpr int kSocket = STDERR_FILENO + 1;

// What the fork has of its parent's is closed: the mount and the store's lock are among it.
void become_helper(int socket, pid_t parent, CapabilitySet kept) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);
  spdlog::set_level(spdlog::level::off);  // its files are closed
  ::dup2(socket, kSocket);                // without close-on-exec where it is there already
  ::fcntl(kSocket, F_SETFD, FD_CLOEXEC);
  ::close_range(kSocket + 1, ~0U, 0);
  const sigset_t none = signal_set({});
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!limit_helper(kept)) ::_exit(EXIT_FAILURE);
}

}  // namespace

Result<HelperProcess> HelperProcess::start(CapabilitySet kept,
                                           const std::function<void(int socket)>& serve) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "make a socket for a helper");
  }
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork a helper");
  if (child == 0) {
    become_helper(theirs.get(), parent, kept);
    serve(kSocket);
    ::_exit(EXIT_SUCCESS);
  }
  return HelperProcess(std::move(ours));
}

}  // namespace spillfs::fs
