// SPDX-License-Identifier: Apache-2.0
// Which boot of the machine this is, and whether it is the one that a store was last used in. A
// container may hide the machine's boot id behind one of its own, so what is read counts for
// certain only where nothing can lie over it. Threads: every function may be called from any
// thread; this_boot() may mount a proc file system that no one else sees.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "index/index.h"

namespace spillfs::fs {

struct Boot {
  std::string id;        // as the kernel tells it to this process; empty: not at all
  bool certain = false;  // it is the machine's, and no container's

  friend bool operator==(const Boot&, const Boot&) = default;
};

// From a proc file system of its own where this process may make one; else from /proc, which
// counts for certain unless something else lies over the file.
Boot this_boot();

// How much a time namespace adds to the clock that runs since the boot, for this process. None
// where that is not known.
std::optional<std::chrono::nanoseconds> boot_clock_offset();

// When the machine was booted and how long it runs, whatever the time namespace that has this
// offset; all 0 where that is not known.
index::BootClock boot_clock(std::optional<std::chrono::nanoseconds> offset);

// What the option `boot` says of the time since a store was last used.
enum class BootChoice : std::uint8_t { kAuto, kSame, kNew };
inline constexpr std::array<std::string_view, 3> kBootChoices{"auto", "same", "new"};

// The boot as the user of a store knows it.
struct BootView {
  Boot boot;
  BootChoice choice = BootChoice::kAuto;
  std::function<index::BootClock()> clock;  // not set: not known
  // When a process before this one last wrote the store's index, in seconds since 1970.
  std::optional<std::int64_t> last_written;

  [[nodiscard]] index::BootClock now() const { return clock ? clock() : index::BootClock(); }
};

// The view of this process, before it opens the index in that directory.
BootView boot_view(Boot boot, BootChoice choice, const std::string& index);

enum class BootedSince : std::uint8_t { kNo, kYes, kUnknown };

// Whether the machine was booted since `found` was written.
BootedSince booted_since(const index::SyncMark& found, const BootView& view);

}  // namespace spillfs::fs
