// SPDX-License-Identifier: Apache-2.0
// DirectoryObjectStore: an object is a file, its key the path in a directory. Folders on the way
// are made as needed. Modes are what the umask leaves of 0666 and 0777, so that other processes of
// a runtime can read what one wrote.
//
// An object gets its name at finish(), and a process that is killed leaves nothing. Only where the
// file system has no files without a name (FUSE, NFS), the name is there from create() on.
//
// The way to the directory is the caller's and is looked up for each call; from there on others may
// rename and link as they like: no symbolic link is followed (ELOOP), no key leads out of it, and
// only files are read (BeneathDirectory).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "storage/external/beneath_directory.h"
#include "storage/external/object_store.h"

namespace spillfs::storage::external {

struct DirectoryOptions {
  std::uint64_t buffer_size = kMiB;  // bytes gathered before they are written; 0: none
  bool unnamed = true;               // false: as where there are no files without a name
  BeneathDirectory::Resolver resolver = BeneathDirectory::Resolver::kKernel;
};

class DirectoryObjectStore final : public ObjectStore {
 public:
  // ENOENT, ENOTDIR: `path` has to be a directory.
  static Result<std::unique_ptr<ObjectStore>> open_directory(const std::string& path,
                                                             DirectoryOptions options = {});

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& key) override;
  Result<std::size_t> read(const std::string& key, MutableBytes into,
                           std::uint64_t offset) override;
  Result<> remove(std::span<const std::string> keys) override;
  Result<> remove_all(const std::string& prefix) override;
  [[nodiscard]] bool is_at(const std::string& root) const override;

 private:
  DirectoryObjectStore(std::string root, DirectoryOptions options)
      : root_(std::move(root)), options_(options) {}
  // EINVAL for what can't be a key.
  static Result<> check_key(const std::string& key);
  static Result<> remove_file(const BeneathDirectory& root, const std::string& key);

  const std::string root_;
  const DirectoryOptions options_;
};

}  // namespace spillfs::storage::external
