// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/attributes.h"

#include <fcntl.h>

#include <ctime>

namespace spillfs::fs {
namespace {

constexpr blksize_t kPreferredBlock = kMiB;  // makes cp, cat and Python use large requests

timespec to_timespec(index::Time time) {
  return {.tv_sec = time.seconds, .tv_nsec = static_cast<long>(time.nanoseconds)};
}

}  // namespace

index::Time current_time() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return to_time(now);
}

index::Time to_time(const timespec& time) {
  return {.seconds = time.tv_sec, .nanoseconds = static_cast<std::uint32_t>(time.tv_nsec)};
}

// Ray runs as an ordinary user, so the root is open to all, like /tmp.
index::Inode new_root() {
  const index::Time now = current_time();
  return {.id = kRootInode,
          .mode = S_IFDIR | S_ISVTX | 0777,
          .links = 2,
          .accessed = now,
          .modified = now,
          .changed = now,
          .born = now,
          .parent = kRootInode,
          .text = {}};
}

void rehome(index::Inode& inode, const index::Inode& parent, std::string_view name) {
  inode.parent = parent.id;
  if (!S_ISLNK(inode.mode)) inode.text = name;
}

void fill(Vnode& vnode, index::Inode inode) {
  vnode.loaded = true;
  vnode.dirty = false;
  vnode.size = inode.size;
  vnode.charged = inode.charged;
  vnode.modified = inode.modified;
  vnode.changed = inode.changed;
  vnode.inode = std::move(inode);
}

void refresh(Vnode& vnode, index::Inode committed) {
  vnode.changed = std::max(vnode.changed, committed.changed);
  if (!vnode.dirty) {
    vnode.modified = committed.modified;
    vnode.changed = committed.changed;
  }
  vnode.inode = std::move(committed);
}

index::Inode live_inode(const Vnode& vnode) {
  index::Inode inode = vnode.inode;
  inode.size = vnode.size;
  inode.charged = vnode.charged;
  inode.modified = vnode.modified;
  inode.changed = vnode.changed;
  return inode;
}

struct stat stat_of(const index::Inode& inode) {
  struct stat out {};
  out.st_ino = number(inode.id);
  out.st_mode = inode.mode;
  out.st_nlink = inode.links;
  out.st_uid = inode.uid;
  out.st_gid = inode.gid;
  out.st_rdev = inode.device;
  out.st_size = static_cast<off_t>(S_ISDIR(inode.mode) ? 4096 : inode.size);
  out.st_blksize = kPreferredBlock;
  out.st_blocks = static_cast<blkcnt_t>((inode.charged + 511) / 512);
  out.st_atim = to_timespec(inode.accessed);
  out.st_mtim = to_timespec(inode.modified);
  out.st_ctim = to_timespec(inode.changed);
  return out;
}

Attributes stat_of(const Vnode& vnode) {
  Attributes out = stat_of(live_inode(vnode));
  out.may_change = vnode.passthrough_writers != 0;
  out.born = to_timespec(vnode.inode.born);
  return out;
}

bool may_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

bool is_private(const Vnode& vnode) {
  return vnode.segment != nullptr || vnode.inode.location.placement == Placement::kPrivate;
}

Result<> check_name(std::string_view name) {
  constexpr std::size_t kNameMax = 255;
  if (name.empty()) return fail(ENOENT, "empty name");
  if (name.size() > kNameMax) return fail(ENAMETOOLONG, "name over 255 bytes");
  if (name == "." || name == "..") return fail(EEXIST, "the name is taken by the directory itself");
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) {
    return fail(EINVAL, "name with a slash or a NUL");
  }
  return {};
}

}  // namespace spillfs::fs
