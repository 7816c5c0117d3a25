// SPDX-License-Identifier: Apache-2.0
#include "fs/control_files.h"

#include <unistd.h>

namespace spillfs::fs {
namespace {

struct stat stat_of(InodeId id, mode_t mode, nlink_t links, std::size_t size) {
  struct stat out {};
  out.st_ino = number(id);
  out.st_mode = mode;
  out.st_nlink = links;
  out.st_uid = ::geteuid();
  out.st_gid = ::getegid();
  out.st_size = static_cast<off_t>(size);
  out.st_blksize = 4096;
  clock_gettime(CLOCK_REALTIME, &out.st_mtim);
  out.st_ctim = out.st_atim = out.st_mtim;
  return out;
}

InodeId id_at(std::size_t position) {
  return InodeId{number(ControlFiles::kFolder) + 1 + position};
}

}  // namespace

void ControlFiles::add(std::string name, std::function<std::string()> text) {
  entries_.push_back({.name = std::move(name), .text = std::move(text)});
}

Result<const ControlFiles::Entry*> ControlFiles::entry(InodeId id) const {
  const std::uint64_t position = number(id) - number(kFolder) - 1;
  if (position >= entries_.size()) return fail(ENOENT, "no such control file");
  return &entries_[position];
}

Result<struct stat> ControlFiles::lookup(InodeId parent, std::string_view name) const {
  if (parent == kRootInode && name == kFolderName) return attributes(kFolder);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (parent == kFolder && entries_[i].name == name) return attributes(id_at(i));
  }
  return fail(ENOENT, "no such control file");
}

Result<struct stat> ControlFiles::attributes(InodeId id) const {
  if (id == kFolder) return stat_of(id, S_IFDIR | 0555, 2, 4096);
  const Entry* found = SPILLFS_TRY(entry(id));
  return stat_of(id, S_IFREG | 0444, 1, found->text().size());
}

std::vector<std::string> ControlFiles::names() const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) names.push_back(entry.name);
  return names;
}

Result<std::uint64_t> ControlFiles::open(InodeId id) {
  if (id == kFolder) return fail(EISDIR, "it is a directory");
  std::string text = SPILLFS_TRY(entry(id))->text();
  MutexLock lock(mutex_);
  open_.emplace(next_handle_, std::move(text));
  return next_handle_++;
}

Result<std::string> ControlFiles::read(std::uint64_t handle, std::uint64_t offset,
                                       std::size_t count) {
  MutexLock lock(mutex_);
  const auto found = open_.find(handle);
  if (found == open_.end()) return fail(EBADF, "no such handle");
  if (offset >= found->second.size()) return std::string();
  return found->second.substr(offset, count);
}

void ControlFiles::release(std::uint64_t handle) {
  MutexLock lock(mutex_);
  open_.erase(handle);
}

}  // namespace spillfs::fs
