// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/death_witness.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

#include "fs/rights/own_rights.h"
#include "fs/rights/sandbox.h"
#include "fs/system/process_identity.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kWitnessPatience{2000};

// In the helper: numbers of threads come in, what they die of goes out.
void testify(int socket) {
  SandboxRules rules;
  rules.files = SandboxRules::Files::kReadOnly;
  static_cast<void>(enter_sandbox(rules));  // without it: no worse than the worker
  for (std::int32_t thread = 0; ::read(socket, &thread, sizeof(thread)) == sizeof(thread);) {
    const std::int32_t cause = dying_of(thread);
    if (::write(socket, &cause, sizeof(cause)) != sizeof(cause)) return;
  }
}

}  // namespace

DeathWitness::DeathWitness() {
  if (!held_capabilities().has(CAP_SYS_PTRACE)) return;
  auto helper = HelperProcess::start(kWitnessCapabilities, testify);
  MutexLock lock(mutex_);
  if (helper) {
    helper_.emplace(*std::move(helper));
  } else {
    spdlog::warn("what writers die of is not known: {}", describe(helper.error()));
    lost_ = true;
  }
}

int DeathWitness::dying_of(pid_t thread) {
  if (!is_ending(thread)) return 0;
  MutexLock lock(mutex_);
  if (!helper_) return lost_ ? 0 : fs::dying_of(thread);
  const std::int32_t asked = thread;
  std::int32_t cause = 0;
  pollfd answer{.fd = helper_->socket(), .events = POLLIN, .revents = 0};
  if (::write(helper_->socket(), &asked, sizeof(asked)) == sizeof(asked) &&
      ::poll(&answer, 1, static_cast<int>(kWitnessPatience.count())) == 1 &&
      ::read(helper_->socket(), &cause, sizeof(cause)) == sizeof(cause)) {
    return cause;
  }
  spdlog::warn("what writers die of is not known any more");
  helper_.reset();
  lost_ = true;
  return 0;
}

}  // namespace spillfs::fs
