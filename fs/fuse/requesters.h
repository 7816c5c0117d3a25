// SPDX-License-Identifier: Apache-2.0
// Which user sends a request. Where a mount may be mapped (Feature::kIdmappedMounts) the kernel
// leaves the ids out of all requests but those that make an inode, and of these it tells whose the
// inode is to be, as the mount maps it: not who asks. Then the thread that asks says who it is.
// Threads: any.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace spillfs::fs {

// A thread that is gone, or in a process namespace that is not to be seen from here. It has a share
// of its own of what each user has, and may nothing that root may.
inline constexpr uid_t kUnknownUser = ~uid_t{0};

enum class RequestIds : std::uint8_t {
  kOfWhoAsks,
  kOfWhatIsMade,  // and none in any other request
};

class Requesters {
 public:
  explicit Requesters(RequestIds ids) : ids_(ids) {}

  [[nodiscard]] RequestIds ids() const { return ids_; }
  // `told` and `thread` are the uid and pid of a request, whose answer the thread waits for.
  [[nodiscard]] uid_t user(uid_t told, pid_t thread) const;
  // The same in less time, but it may be the user of a second ago: for turns, not for rights. What
  // the kernel sends by itself, as a mapping's pages, has no thread: kUnknownUser.
  [[nodiscard]] uid_t user_lately(uid_t told, pid_t thread) const;

 private:
  const RequestIds ids_;
};

}  // namespace spillfs::fs
