// SPDX-License-Identifier: Apache-2.0
#include "fs/rights/sandbox.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <memory>

#include "fs/fuse/fuse_kernel.h"
#include "fs/rights/sandbox_calls.h"
#include "fs/system/thread_user.h"

namespace spillfs::fs {
namespace {

using Tests = std::initializer_list<scmp_arg_cmp>;

constexpr std::uint32_t kAllow = SCMP_ACT_ALLOW;

// The kernel looks at the low 32 bits only of an argument that is an int.
scmp_arg_cmp has_bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

constexpr std::uint64_t kInt = 0xffff'ffff;

class Filter {
 public:
  // What it does not name fails with ENOSYS.
  Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS))) {}

  // Where the library does not know the name the kernel's answer is that of what is not named.
  void add(std::uint32_t action, const char* name, Tests tests = {}) {
    const int call = ::seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR || !context_) return;
    const int done =
        ::seccomp_rule_add_array(context_.get(), action, call, static_cast<unsigned>(tests.size()),
                                 tests.size() == 0 ? nullptr : tests.begin());
    if (done != 0 && done != -EDOM && problem_ == 0) problem_ = -done;
  }
  template <std::size_t count>
  void add(std::uint32_t action, const std::array<const char*, count>& names) {
    for (const char* name : names) add(action, name);
  }

  Result<> load() {
    if (!context_) return fail(ENOMEM, "make a filter for system calls");
    if (problem_ != 0) return fail_errno(problem_, "make a filter for system calls");
    // All threads; none has to do without the processor's speculation for it; a tree, not a list.
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_SSB, 1);
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (const int done = ::seccomp_load(context_.get()); done != 0) {
      return fail_errno(-done, "filter system calls");
    }
    return {};
  }

 private:
  struct Release {
    void operator()(void* context) const { ::seccomp_release(context); }
  };
  std::unique_ptr<void, Release> context_;
  int problem_ = 0;
};

void add_files(Filter& filter, SandboxRules::Files files) {
  if (files == SandboxRules::Files::kReadOnly) {
    constexpr std::uint64_t kChanges = O_ACCMODE | O_CREAT | O_TRUNC;
    filter.add(kAllow, "open", {has_bits(1, kChanges, O_RDONLY)});
    filter.add(kAllow, "openat", {has_bits(2, kChanges, O_RDONLY)});
    return;
  }
  filter.add(kAllow, kFileChanges);
  for (const char* name : {"open", "openat", "openat2"}) filter.add(kAllow, name);
}

// Threads, but no processes and no namespaces. clone3 has its flags where a filter can't look:
// without it the C library takes clone.
void add_threads(Filter& filter) {
  constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  filter.add(kAllow, "clone", {has_bits(0, CLONE_THREAD | kNamespaces, CLONE_THREAD)});
  for (const int what :
       {PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE,
        PR_SET_TIMERSLACK, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_CAPBSET_READ}) {
    filter.add(kAllow, "prctl", {has_bits(0, kInt, static_cast<std::uint64_t>(what))});
  }
  filter.add(kAllow, "prlimit64", {has_bits(0, kInt, 0)});
}

// To itself; and the question whether another process is there.
void add_signals(Filter& filter) {
  filter.add(kAllow, "tgkill", {has_bits(0, kInt, static_cast<std::uint64_t>(::getpid()))});
  filter.add(kAllow, "kill", {has_bits(1, kInt, 0)});
  filter.add(kAllow, "pidfd_send_signal", {has_bits(1, kInt, 0)});
}

// FUSE's, and questions that libraries ask of files; none that changes a terminal or a disk.
void add_device_calls(Filter& filter) {
  const auto allow = [&filter](std::uint64_t request) {
    filter.add(kAllow, "ioctl", {has_bits(1, kInt, request)});
  };
  for (const std::uint64_t request : device_calls()) allow(request);
  for (const std::uint64_t request : thread_calls()) allow(request);
  for (const int request : {FIONBIO, FIONREAD, TCGETS}) allow(static_cast<std::uint64_t>(request));
  for (const std::uint64_t request : {FS_IOC_GETVERSION, FS_IOC_GETFLAGS}) allow(request);
}

void add_sockets(Filter& filter, const SandboxRules& rules) {
  const bool listens = rules.sockets == SandboxRules::Sockets::kListening;
  if (listens) filter.add(kAllow, kAnsweringCalls);
  if (rules.journal == SandboxRules::Journal::kYes) {
    filter.add(kAllow, "socket", {has_bits(0, kInt, AF_UNIX), has_bits(1, 0xf, SOCK_DGRAM)});
    if (!listens) filter.add(kAllow, "setsockopt");
  }
  if (!listens && rules.journal == SandboxRules::Journal::kNo) return;
  // MSG_FASTOPEN connects.
  filter.add(kAllow, "sendmsg", {has_bits(2, MSG_FASTOPEN, 0)});
  filter.add(kAllow, "sendto", {has_bits(3, MSG_FASTOPEN, 0)});
}

}  // namespace

Result<> enter_sandbox(const SandboxRules& rules) {
  Filter filter;
  filter.add(kAllow, kAllowedCalls);
  add_files(filter, rules.files);
  add_threads(filter);
  add_signals(filter);
  add_device_calls(filter);
  add_sockets(filter, rules);
  filter.add(SCMP_ACT_ERRNO(EPERM), kRefusedCalls);
  return filter.load();
}

}  // namespace spillfs::fs
