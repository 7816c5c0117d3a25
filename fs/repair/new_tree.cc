// SPDX-License-Identifier: Apache-2.0
#include "fs/repair/new_tree.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/control/control_files.h"
#include "fs/volume/accounts/metadata_charge.h"
#include "fs/volume/names/attributes.h"

namespace spillfs::fs {
namespace {

constexpr const char* kLostFound = "/lost+found";

// "/a/b" -> "/a", "b"
std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return {path.substr(0, slash), path.substr(slash + 1)};
}

index::UserTotal metadata_of(const index::Inode& inode) {
  return {.uid = inode.uid, .metadata = static_cast<std::int64_t>(inode.metadata)};
}

}  // namespace

NewTree::NewTree(index::Index& index, std::uint64_t first) : index_(index), next_(first) {
  directories_.emplace("", new_root());
}

// The directory of that path, made with all above it where there is none. Its mode nobody knows any
// more: it is its owner's alone.
Result<NewTree::Directories::iterator> NewTree::directory(const std::string& path,
                                                          const index::Inode& owner) {
  // The last that is there, and what is missing below it.
  std::string above = path;
  std::vector<std::string> missing;
  auto at = directories_.find(above);
  for (; at == directories_.end(); at = directories_.find(above)) {
    if (above.find('/') == std::string::npos) return fail(EINVAL, "not a path");
    auto [rest, name] = split(above);
    if (!check_name(name) || (rest.empty() && name == ControlFiles::kFolderName)) {
      return fail(EINVAL, "not a name");
    }
    missing.push_back(std::move(name));
    above = std::move(rest);
  }
  for (auto name = missing.rbegin(); name != missing.rend(); ++name) {
    if (SPILLFS_TRY(if_any(index_.find(at->second.id, *name)))) return fail(EEXIST, "a file");
    const index::Time now = current_time();
    const index::Inode made{.id = new_inode(),
                            .mode = S_IFDIR | 0700,
                            .links = 2,
                            .uid = owner.uid,
                            .gid = owner.gid,
                            .metadata = kRowCharge + kNameCharge,
                            .accessed = now,
                            .modified = now,
                            .changed = now,
                            .born = now,
                            .parent = at->second.id,
                            .text = *name};
    SPILLFS_TRY(index_.commit({.put_inodes = {made},
                               .dentries = {{.parent = at->second.id,
                                             .name = *name,
                                             .target = std::pair(made.id, std::uint32_t{S_IFDIR})}},
                               .totals = {.inodes = 1},
                               .users = {metadata_of(made)}}));
    ++at->second.entries;
    ++at->second.links;
    above += "/" + *name;
    at = directories_.emplace(above, made).first;
  }
  return at;
}

Result<NewTree::Place> NewTree::place(const std::string& path, const index::Inode& file) {
  if (!path.starts_with('/') || path == kLostFound) return fail(EINVAL, "no path");
  auto [folder, name] = split(path);
  if (!check_name(name) || (folder.empty() && name == ControlFiles::kFolderName)) {
    return fail(EINVAL, "no name");
  }
  const auto parent = SPILLFS_TRY(directory(folder, file));
  if (SPILLFS_TRY(if_any(index_.find(parent->second.id, name)))) {
    return fail(EEXIST, "another file has this name");
  }
  return Place{.folder = std::move(folder), .name = std::move(name)};
}

Result<NewTree::Place> NewTree::lost(InodeId id) {
  const auto parent =
      SPILLFS_TRY(directory(kLostFound, {.uid = ::geteuid(), .gid = ::getegid(), .text = {}}));
  std::string name = fmt::format("inode-{}", number(id));
  while (SPILLFS_TRY(if_any(index_.find(parent->second.id, name)))) name += "-";
  return Place{.folder = kLostFound, .name = std::move(name)};
}

Result<> NewTree::add(const Place& at, index::Inode file, index::Batch batch) {
  index::Inode& parent = directories_.at(at.folder);
  file.parent = parent.id;
  file.text = at.name;
  file.metadata += inode_charge(file) + kNameCharge;
  batch.dentries.push_back(
      {.parent = parent.id, .name = at.name, .target = std::pair(file.id, file.mode & S_IFMT)});
  batch.totals.inodes += 1;
  batch.totals.charged += static_cast<std::int64_t>(file.charged);
  batch.users.push_back(metadata_of(file));
  batch.put_inodes.push_back(std::move(file));
  SPILLFS_TRY(index_.commit(batch));
  ++parent.entries;
  return {};
}

Result<> NewTree::finish() {
  SPILLFS_TRY(index_.commit({.totals = {.inodes = 1}}));  // the root
  for (const auto& [path, directory] : directories_) {
    SPILLFS_TRY(index_.commit({.put_inodes = {directory}}));
  }
  return {};
}

}  // namespace spillfs::fs
