// SPDX-License-Identifier: Apache-2.0
// TrustedDirectory: a directory that is held by its descriptor, whose path led through directories
// that only trusted users can change, and in which nothing is followed: neither a symbolic link nor
// a hard link to a file that is somebody else's. What is opened in it is looked at after it is
// open, so whatever is renamed meanwhile, nothing else is read or written. From any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/fd.h"
#include "storage/base/result.h"
#include "storage/base/trust.h"
#include "storage/base/trusted_walk.h"

namespace spillfs {

// Whether a change is on disk when the call returns.
enum class Durable : std::uint8_t { kNo, kYes };

class TrustedDirectory {
 public:
  // EPERM with a sentence that says what to do: as Trust says of the directory or of one on the
  // way; ENOTDIR; or what the system says. Symbolic links on the way are followed where only
  // trusted users can have made them.
  static Result<TrustedDirectory> open(const std::string& path, const Trust& trust,
                                       Missing missing = Missing::kRefuse);
  // As above, of a directory that others may write where it has the sticky bit, as /tmp: what is
  // ours in it they can neither rename nor remove.
  static Result<TrustedDirectory> open_shared(const std::string& path, const Trust& trust);
  // Another descriptor of the same directory.
  [[nodiscard]] Result<TrustedDirectory> again() const;

  // A directory in it, as trusted as itself; no symbolic link (ENOTDIR). Names have no slash.
  [[nodiscard]] Result<TrustedDirectory> folder(const std::string& name) const;
  // As above, made for this user alone where it is missing.
  [[nodiscard]] Result<TrustedDirectory> make_folder(const std::string& name) const;

  // A regular file with one name, of a trusted owner, made for this user alone where `flags` say
  // O_CREAT. It never waits, whatever lies there. ELOOP for a symbolic link, EPERM for all else
  // that is refused, both with a sentence.
  [[nodiscard]] Result<Fd> open_file(const std::string& name, int flags) const;
  // All of it. EFBIG where it has more than `most` bytes.
  [[nodiscard]] Result<std::string> read_file(const std::string& name, std::size_t most) const;
  // Whole or not at all: written beside as `name`.new, which is replaced, and renamed.
  [[nodiscard]] Result<> replace_file(const std::string& name, std::string_view text, mode_t mode,
                                      Durable durable) const;

  // Whether there is something of that name.
  [[nodiscard]] Result<bool> has(const std::string& name) const;
  [[nodiscard]] Result<> remove(const std::string& name) const;
  [[nodiscard]] Result<> rename(const std::string& from, const std::string& to) const;
  [[nodiscard]] Result<std::vector<std::string>> list() const;
  // That each thing in it is a regular file or a directory that could be opened by its name.
  [[nodiscard]] Result<> check_contents() const;
  [[nodiscard]] Result<> sync() const;
  [[nodiscard]] Result<> sync_file_system() const;

  // For a library that would follow symbolic links that other users can make in it: whatever is
  // opened through this descriptor from now on, the kernel refuses them (ELOOP). Takes
  // CAP_SYS_ADMIN and Linux 5.12.
  Result<> refuse_symbolic_links();

  [[nodiscard]] int descriptor() const { return file_.get(); }
  // For libraries that take paths: leads to this directory whatever is renamed. Valid in this
  // process while this lives.
  [[nodiscard]] std::string path_by_descriptor() const;
  // Absolute and without symbolic links, as it was when it was opened; for people.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path_to(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] uid_t owner() const { return owner_; }

 private:
  TrustedDirectory(TrustedPlace place, const Trust& trust);
  [[nodiscard]] Result<Fd> readable() const;
  [[nodiscard]] Failure refused(int code, const std::string& name) const;

  Fd file_;  // O_PATH
  std::string path_;
  uid_t owner_;
  Trust trust_;
};

// A file to read that was named by its path: with a trusted owner, and only trusted users can put
// another in its place. It is regular, or a FIFO, for which this waits. Symbolic links and errors
// as for TrustedDirectory::open().
Result<Fd> open_trusted_file(const std::string& path, const Trust& trust);

// The whole of an open file. EFBIG where it has more than `most` bytes.
Result<std::string> read_all(const Fd& file, std::size_t most, const std::string& path);

}  // namespace spillfs
