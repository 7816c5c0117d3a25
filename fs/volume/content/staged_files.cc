// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/staged_files.h"

#include <algorithm>

namespace spillfs::fs {

void StagedFiles::note(InodeId file, uid_t owner, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  const std::uint64_t inode = number(file);
  if (const auto found = files_.find(inode); found != files_.end()) {
    if (found->second.owner == owner && found->second.bytes == bytes) return;
    forget(inode, found->second);
    files_.erase(found);
  }
  if (bytes == 0) return;
  files_[inode] = {.owner = owner, .bytes = bytes};
  User& user = users_[owner];
  user.bytes += bytes;
  user.files.emplace(bytes, inode);
}

void StagedFiles::forget(std::uint64_t inode, File file) {
  const auto user = users_.find(file.owner);
  user->second.bytes -= file.bytes;
  user->second.files.erase({file.bytes, inode});
  if (user->second.files.empty()) users_.erase(user);
}

std::vector<InodeId> StagedFiles::largest(std::size_t limit) {
  MutexLock lock(mutex_);
  const auto most = std::max_element(
      users_.begin(), users_.end(),
      [](const auto& a, const auto& b) { return a.second.bytes < b.second.bytes; });
  std::vector<InodeId> found;
  if (most == users_.end()) return found;
  const auto& files = most->second.files;
  for (auto file = files.rbegin(); file != files.rend() && found.size() < limit; ++file) {
    found.push_back(InodeId{file->second});
  }
  return found;
}

std::map<uid_t, std::uint64_t> StagedFiles::users() {
  MutexLock lock(mutex_);
  std::map<uid_t, std::uint64_t> found;
  for (const auto& [uid, user] : users_) found.emplace(uid, user.bytes);
  return found;
}

}  // namespace spillfs::fs
