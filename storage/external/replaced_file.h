// SPDX-License-Identifier: Apache-2.0
// ReplacedFile: a new file that gets its name when it is whole, in place of whatever has the name
// then. Nothing that was there is opened, written or followed, a symbolic link neither; until then,
// and after an error, what was there stays. One that goes unfinished leaves nothing.
// One thread's.
#pragma once

#include <string>

#include "storage/base/bytes.h"
#include "storage/base/fd.h"
#include "storage/external/beneath_directory.h"

namespace spillfs::storage::external {

class ReplacedFile {
 public:
  // `name` in `directory`, with 0666 less the umask.
  static Result<ReplacedFile> create(const BeneathDirectory& directory, const std::string& name);
  ~ReplacedFile();
  ReplacedFile(ReplacedFile&& other) noexcept = default;
  ReplacedFile& operator=(ReplacedFile&&) = delete;

  Result<> write(Bytes bytes);
  // EISDIR where a directory has the name.
  Result<> finish();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  ReplacedFile(Fd folder, std::string name, std::string path);

  Fd folder_;
  std::string name_;
  std::string path_;  // for messages
  std::string temporary_;
  Fd fd_;
};

}  // namespace spillfs::storage::external
