// SPDX-License-Identifier: Apache-2.0
// Signals as those calls want them that block them or wait for them.
#pragma once

#include <csignal>
#include <initializer_list>

namespace spillfs::fs {

inline sigset_t signal_set(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace spillfs::fs
