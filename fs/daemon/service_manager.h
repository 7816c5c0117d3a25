// SPDX-License-Identifier: Apache-2.0
// ServiceManager: what systemd is told of a mount's daemon that it has started, and what it keeps
// for the next one (sd_notify(3)). Where systemd did not start this process nothing is told, and
// nothing kept. It stops no one: what can't be told is left.
// Threads: only the supervisor's.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "fs/config/mount_request.h"
#include "fs/config/options.h"
#include "fs/daemon/hand_over.h"
#include "fs/system/supervisor_counts.h"

namespace spillfs::fs {

class ServiceManager {
 public:
  // The first time that the worker serves: the service is ready. Each time: its state, and that it
  // lives, if the worker's heart has beaten since, or a process is waited for that this one can't
  // make haste (`awaited`, 0: none). To be called every pause(); needs no memory.
  void tell(const SupervisorCounts& counts, pid_t awaited);
  // Whether it has beaten since the last tell().
  [[nodiscard]] bool beats(const SupervisorCounts& counts) const { return counts.beats != beats_; }
  [[nodiscard]] std::chrono::milliseconds pause() const;

  void reloading();  // until the next reloaded(), in this program or the one that it becomes
  void reloaded();
  void stopping();

  // Has the descriptors of `what` kept for a daemon after this one, whatever ends this one.
  void keep(const HandOver& what);
  // No more: the mount ends.
  void forget();
  [[nodiscard]] bool keeps() const { return keeps_; }

 private:
  enum class State : std::uint8_t { kStarting, kServing, kReloading, kStopping };

  State state_ = State::kStarting;
  std::uint32_t beats_ = 0;
  bool keeps_ = false;
};

struct KeptMount {
  HandOver what;  // no worker serves it
  MountOptions options;
};
// Whether a daemon before this one has left a mount to it.
bool has_kept();
// That mount, as systemd kept it; to be called once, at the start. Its options are those that are
// asked for, but for what can't change while a mount is in use; or as they were, where nobody knows
// what is asked for (`request` is null). Nothing where nothing was kept. What is kept and can't be
// used any more (the mount is gone, or another is asked for) is let go, which is logged.
std::optional<KeptMount> take_kept(const MountRequest* request);

}  // namespace spillfs::fs
