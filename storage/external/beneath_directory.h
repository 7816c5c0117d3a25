// SPDX-License-Identifier: Apache-2.0
// BeneathDirectory: a directory held by its descriptor, and the way to what is beneath it. Others
// may rename and link in it as they like: no name leads out of it, and no symbolic link beneath it
// is followed. The way to the directory itself is the caller's own and may have links.
//
// Names are '/'-separated and relative to the directory; ".." is no part of any, an empty part and
// "." mean nothing. Errors name the whole path: EINVAL for what is no such name, ELOOP for a
// symbolic link on the way or at the end, else the system's.
// Threads: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::storage::external {

class BeneathDirectory {
 public:
  // kKernel: openat2(2), and kSteps where the kernel or a sandbox has none. kSteps: part by part,
  // each from the descriptor of the one before.
  enum class Resolver : std::uint8_t { kKernel, kSteps };

  // ENOENT, ENOTDIR: `path` has to be a directory.
  static Result<BeneathDirectory> open(const std::string& path,
                                       Resolver resolver = Resolver::kKernel);

  // What is there; `flags` as of open(2), without O_CREAT and O_TMPFILE.
  [[nodiscard]] Result<Fd> open_file(const std::string& name, int flags) const;
  // For *at calls, by O_PATH; "" is the directory itself.
  [[nodiscard]] Result<Fd> open_folder(const std::string& name) const;
  // As open_folder(); makes what is missing of it, with 0777 less the umask.
  [[nodiscard]] Result<Fd> make_folder(const std::string& name) const;

  // For messages.
  [[nodiscard]] std::string path_of(std::string_view name) const {
    return path_ + '/' + std::string(name);
  }

 private:
  BeneathDirectory(std::string path, Fd fd, Resolver resolver)
      : path_(std::move(path)), fd_(std::move(fd)), resolver_(resolver) {}
  [[nodiscard]] Result<Fd> resolve(const std::string& name, int flags) const;
  [[nodiscard]] Result<Fd> walk(std::string_view name, int flags) const;

  std::string path_;
  Fd fd_;
  Resolver resolver_;
};

// Where the last part of a name begins: "a/b" is "a/" and "b".
struct FolderAndName {
  std::string folder;  // "" or with a '/' at its end
  std::string name;
};
FolderAndName split_name(const std::string& name);

// Whether no part of it is "..", it is not absolute and can stand in a path.
bool stays_beneath(std::string_view name);

// The names in it. `path` is for messages.
Result<std::vector<std::string>> list_folder(int folder, const std::string& path);

// Removes what `name` is in `folder`, with all beneath it, and follows no link. What is gone
// already is success; ENOTEMPTY when others make files as fast as they are removed.
Result<> remove_tree(int folder, const std::string& name, const std::string& path);

}  // namespace spillfs::storage::external
