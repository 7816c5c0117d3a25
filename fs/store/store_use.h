// SPDX-License-Identifier: Apache-2.0
// What the process that has locked a store says of itself in the lock file, for others that want
// the store: a line of JSON. The lock itself says whether anybody uses the store; the line only
// helps those who find it locked, and may be an earlier holder's for a moment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spillfs::fs {

struct StoreUse {
  std::int64_t process = 0;         // the supervisor of a mount, or of another verb
  std::int64_t worker = 0;          // that ends the mount; 0: none does
  std::uint64_t pid_namespace = 0;  // in which these numbers mean something; 0: not known
  std::string mountpoint;           // empty: it does not serve a mount
  std::string device;               // of that mount in the mount table: "0:51"
  std::string doing;                // once the mount is gone: what is left to do; else empty
  std::uint64_t done = 0;           // how much of that so far: it grows while there is progress

  friend bool operator==(const StoreUse&, const StoreUse&) = default;
};

std::string format_store_use(const StoreUse& use);
// None where it is no such line.
std::optional<StoreUse> parse_store_use(std::string_view text);

// In place of what an open lock file says. What can't be written, as on a full disk, is no reason
// to do without the store: it is logged.
void publish_use(int lock, const StoreUse& use);
// None where it says nothing that can be understood.
std::optional<StoreUse> published_use(int lock);

// Of this process, which has just locked a store.
StoreUse own_use();

}  // namespace spillfs::fs
