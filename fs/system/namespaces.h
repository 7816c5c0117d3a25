// SPDX-License-Identifier: Apache-2.0
// How a process sees the machine: which processes, which time and which mounts. What one process
// says of them means nothing to another with another view.
#pragma once

#include <cstdint>
#include <string>

namespace spillfs::fs {

// The kernel's numbers of them; 0: not known. A kernel without one kind has its number 0 for all.
struct Namespaces {
  std::uint64_t pids = 0;
  std::uint64_t time = 0;
  std::uint64_t mounts = 0;

  friend bool operator==(const Namespaces&, const Namespaces&) = default;
};

// This process's, also where something lies over the files that tell them: then they are 0.
Namespaces own_namespaces();

// What differs, or is not known: "processes, mounts"; empty: nothing.
std::string differences(const Namespaces& a, const Namespaces& b);

}  // namespace spillfs::fs
