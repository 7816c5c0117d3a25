// SPDX-License-Identifier: Apache-2.0
// MappedFile: a file's bytes, in memory only as the system sees fit. Another process that truncates
// the file meanwhile ends this one by SIGBUS.
#pragma once

#include <string>

#include "storage/base/bytes.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class MappedFile {
 public:
  // "-" is standard input. What can't be mapped, as a pipe, is copied to a file without a name in
  // the directory for temporary files first.
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  explicit MappedFile(Bytes bytes) : bytes_(bytes) {}
  static Result<MappedFile> map(const Fd& fd, const std::string& name);

  Bytes bytes_;
};

}  // namespace spillfs::fs
