// SPDX-License-Identifier: Apache-2.0
#include "fs/rights/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/forked.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

using fs::SandboxRules;

struct Call {
  const char* name;
  std::function<long()> make;  // does no harm where it is let through
};

long fork_and_end() {
  const pid_t child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child == 0) ::_exit(0);
  if (child > 0) ::waitpid(child, nullptr, 0);
  return child;
}

std::vector<Call> dangerous_calls() {
  const auto call = [](long number, long a = 0, long b = 0, long c = 0, long d = 0) {
    return [=] { return ::syscall(number, a, b, c, d); };
  };
  static char* const none[] = {nullptr};
  return {
      {"execve", [] { return ::execve("/no such program", none, none); }},
      {"execveat",
       [] { return ::syscall(SYS_execveat, AT_FDCWD, "/no such program", none, none, 0); }},
      {"fork", fork_and_end},
      {"ptrace", call(SYS_ptrace, PTRACE_ATTACH, 0)},
      {"process_vm_readv", call(SYS_process_vm_readv, ::getpid())},
      {"process_vm_writev", call(SYS_process_vm_writev, ::getpid())},
      {"pidfd_getfd", call(SYS_pidfd_getfd, -1)},
      {"kill", [] { return ::kill(::getppid(), SIGCONT); }},
      {"tgkill to another",
       [] { return ::syscall(SYS_tgkill, ::getppid(), ::getppid(), SIGCONT); }},
      {"mount", call(SYS_mount)},
      {"umount2", call(SYS_umount2)},
      {"pivot_root", call(SYS_pivot_root)},
      {"chroot", call(SYS_chroot)},
      {"move_mount", call(SYS_move_mount, -1, 0, -1)},
      {"open_tree", call(SYS_open_tree, -1)},
      {"fsopen", call(SYS_fsopen)},
      {"fsmount", call(SYS_fsmount, -1)},
      {"setns", call(SYS_setns, -1)},
      {"unshare", call(SYS_unshare, 0)},
      {"a thread in a new namespace",
       [] { return ::syscall(SYS_clone, CLONE_THREAD | CLONE_NEWNET, 0, 0, 0, 0); }},
      {"open_by_handle_at", call(SYS_open_by_handle_at, -1)},
      {"bpf", call(SYS_bpf, -1)},
      {"perf_event_open", call(SYS_perf_event_open)},
      {"io_uring_setup", call(SYS_io_uring_setup)},
      {"keyctl", call(SYS_keyctl, -1)},
      {"add_key", call(SYS_add_key)},
      {"init_module", call(SYS_init_module)},
      {"finit_module", call(SYS_finit_module, -1)},
      {"kexec_load", call(SYS_kexec_load, 0, 100)},
      {"reboot", call(SYS_reboot)},
      {"swapon", call(SYS_swapon)},
      {"quotactl", call(SYS_quotactl)},
      {"clock_settime", call(SYS_clock_settime, -1)},
      {"setuid", call(SYS_setuid, ::getuid())},
      {"setresuid", call(SYS_setresuid, -1, -1, -1)},
      {"setgroups", call(SYS_setgroups, -1)},
      {"capset", call(SYS_capset)},
      {"chown", [] { return ::fchown(-1, 0, 0); }},
      {"mknod", [] { return ::syscall(SYS_mknodat, -1, "x", S_IFIFO | 0600, 0); }},
      {"socket", [] { return ::socket(AF_INET, SOCK_STREAM, 0); }},
      {"netlink", [] { return ::socket(AF_NETLINK, SOCK_RAW, 0); }},
      {"socketpair", call(SYS_socketpair)},
      {"connect", call(SYS_connect, -1)},
      {"terminal input", [] { return ::ioctl(0, TIOCSTI, nullptr); }},
  };
}

bool is_refused(const Call& call) {
  errno = 0;
  return call.make() == -1 && (errno == EPERM || errno == ENOSYS);
}

// The names of the calls that were let through before and are let through still.
std::string let_through(const SandboxRules& rules) {
  const auto calls = dangerous_calls();
  std::vector<bool> before;
  before.reserve(calls.size());
  for (const Call& call : calls) before.push_back(is_refused(call));
  if (const auto entered = fs::enter_sandbox(rules); !entered) return entered.error().context;
  std::string through;
  int proven = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (!is_refused(calls[i])) through += fmt::format("{} ", calls[i].name);
    if (!before[i]) ++proven;
  }
  if (proven < 10) through += fmt::format("only {} were let through before ", proven);
  return through;
}

TEST(Sandbox, RefusesWhatAWorkerNeverDoes) {
  EXPECT_EQ(forked([] { return let_through({}); }), "");
}

TEST(Sandbox, RefusesItAlsoWhereMetricsAreServed) {
  const SandboxRules rules{.sockets = SandboxRules::Sockets::kListening,
                           .journal = SandboxRules::Journal::kYes};
  EXPECT_EQ(forked([&] { return let_through(rules); }), "");
}

#define OR_SAY(what) \
  if (!(what)) return fmt::format("{}: errno {}", #what, errno)

std::string work_on_files(const std::string& folder) {
  const std::string path = folder + "/file";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  OR_SAY(file >= 0);
  OR_SAY(::pwrite(file, "x", 1, 0) == 1);
  OR_SAY(::fallocate(file, 0, 0, 4096) == 0);
  OR_SAY(::fsync(file) == 0);
  OR_SAY(::fsetxattr(file, "user.x", "y", 1, 0) == 0 || errno == EOPNOTSUPP);
  OR_SAY(::rename(path.c_str(), (folder + "/other").c_str()) == 0);
  OR_SAY(::unlink((folder + "/other").c_str()) == 0);
  OR_SAY(::memfd_create("x", MFD_CLOEXEC) >= 0);
  OR_SAY(std::ifstream("/proc/self/status").good());
  OR_SAY(::kill(::getppid(), 0) == 0);
  OR_SAY(::eventfd(0, EFD_CLOEXEC) >= 0);
  bool ran = false;
  std::jthread([&ran] { ran = true; }).join();
  OR_SAY(ran);
  return {};
}

TEST(Sandbox, LetsAWorkerWork) {
  const TemporaryFolder folder;
  const auto run = [&]() -> std::string {
    OR_SAY(fs::enter_sandbox({}));
    return work_on_files(folder.path());
  };
  EXPECT_EQ(forked(run), "");
}

TEST(Sandbox, HoldsForAllThreads) {
  const auto run = []() -> std::string {
    std::atomic<int> step{0};
    int refused = 0;
    std::jthread other([&] {
      while (step == 0) std::this_thread::yield();
      refused = ::unshare(0) == -1 ? errno : 0;
    });
    OR_SAY(fs::enter_sandbox({}));
    step = 1;
    other.join();
    OR_SAY(refused == EPERM);
    OR_SAY(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST(Sandbox, AnswersOnASocketThatThereIs) {
  const TemporaryFolder folder;
  const auto run = [&]() -> std::string {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    OR_SAY(fs::enter_sandbox({.sockets = SandboxRules::Sockets::kListening}));
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    (folder.path() + "/socket").copy(where.sun_path, sizeof(where.sun_path) - 1);
    OR_SAY(::bind(socket, reinterpret_cast<const sockaddr*>(&where), sizeof(where)) == 0);
    OR_SAY(::listen(socket, 1) == 0);
    OR_SAY(::connect(socket, reinterpret_cast<const sockaddr*>(&where), sizeof(where)) == -1);
    OR_SAY(::send(socket, "x", 1, MSG_FASTOPEN) == -1 && errno == ENOSYS);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST(Sandbox, SendsLinesToTheJournalAlone) {
  const auto run = []() -> std::string {
    OR_SAY(fs::enter_sandbox({.journal = SandboxRules::Journal::kYes}));
    OR_SAY(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
    OR_SAY(::socket(AF_UNIX, SOCK_STREAM, 0) == -1);
    OR_SAY(::socket(AF_INET, SOCK_DGRAM, 0) == -1);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST(Sandbox, CanForbidChangesOfFiles) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/file";
  std::ofstream(path) << "x";
  const auto run = [&]() -> std::string {
    OR_SAY(fs::enter_sandbox({.files = SandboxRules::Files::kReadOnly}));
    OR_SAY(::open(path.c_str(), O_RDONLY) >= 0);
    OR_SAY(::open(path.c_str(), O_WRONLY) == -1);
    OR_SAY(::open(path.c_str(), O_RDWR) == -1);
    OR_SAY(::open(path.c_str(), O_RDONLY | O_TRUNC) == -1);
    OR_SAY(::open((path + "2").c_str(), O_RDONLY | O_CREAT, 0600) == -1);
    OR_SAY(::unlink(path.c_str()) == -1);
    OR_SAY(::rename(path.c_str(), (path + "2").c_str()) == -1);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

}  // namespace
}  // namespace spillfs::tests
