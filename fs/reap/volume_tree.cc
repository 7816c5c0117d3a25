// SPDX-License-Identifier: Apache-2.0
#include "fs/reap/volume_tree.h"

#include <algorithm>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr std::size_t kEntriesPage = 128;
constexpr std::uint64_t kParentCookie = 2;  // of "..", behind which the names are

}  // namespace

Result<ReapTree::Page> VolumeTree::list(InodeId directory, std::uint64_t after) {
  auto listed = SPILLFS_TRY(
      volume_.list(directory, std::max(after, kParentCookie), kEntriesPage, Listing::kNames));
  Page page;
  for (DirectoryEntry& entry : listed) {
    page.next = entry.cookie;
    page.entries.push_back({.parent = directory,
                            .name = std::move(entry.name),
                            .inode = InodeId{entry.attributes.st_ino},
                            .type = entry.attributes.st_mode & S_IFMT});
  }
  return page;
}

Result<InodeId> VolumeTree::find(InodeId directory, const std::string& name) {
  return InodeId{SPILLFS_TRY(volume_.lookup(directory, name)).st_ino};
}

Result<struct stat> VolumeTree::look(InodeId inode) {
  const struct stat found = SPILLFS_TRY(volume_.get_attributes(inode));
  if (found.st_nlink == 0) return fail(ENOENT, "it has no name any more");
  return found;
}

Result<std::string> VolumeTree::xattr(InodeId inode, const char* name) {
  return volume_.get_xattr(inode, name);
}

Result<> VolumeTree::remove(const ReapEntry& entry, index::Time latest) {
  return volume_.remove_unused(entry.parent, entry.name, {.inode = entry.inode, .latest = latest});
}

}  // namespace spillfs::fs
