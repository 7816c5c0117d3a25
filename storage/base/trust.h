// SPDX-License-Identifier: Apache-2.0
// Trust: which users may own, and so change, what a program opens by its path. These are root and
// the user it runs as. Everybody else could put something else in its place, or into it, and have
// the program read and write what they choose with its rights.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/result.h"

namespace spillfs {

// The code of what is refused because other users could change it.
inline constexpr int kNotTrusted = EPERM;

// Whether directories and files of other users, or that other users may write, are refused.
enum class Foreign : std::uint8_t { kRefuse, kAdmit };

// Whether a file may have other names, through which it is changed as well.
enum class OtherNames : std::uint8_t { kRefuse, kAdmit };

class Trust {
 public:
  // Root and the user of this process. On the way to something also the user who called sudo, in
  // whose home the path may lie. `way_out` ends each refusal, such as ", or …".
  static Trust of_process(Foreign foreign = Foreign::kRefuse, std::string way_out = {});
  // The user who called sudo may own it as well: of what that user has written for this program.
  static Trust of_caller();
  // These users alone.
  Trust(std::vector<uid_t> owners, Foreign foreign, std::string way_out = {});

  // EPERM, with a sentence that says what to do, for what is not as each of these asks.
  //
  // `found`, open as `file`, is on the way to something: its owner is trusted, and others may write
  // it only where it is sticky, so that they can't rename what is in it. A group that is its
  // owner's alone counts as the owner, and a mount without writers as one.
  [[nodiscard]] Result<> check_way(const struct stat& found, int file,
                                   const std::string& path) const;
  // `link`, in a directory that is on the way, may be followed. Kept when foreign ones are
  // admitted.
  [[nodiscard]] Result<> check_link(const struct stat& link, const struct stat& folder, int file,
                                    const std::string& path) const;
  // As of a directory in which things are kept: a trusted owner, and only that one may write it.
  [[nodiscard]] Result<> check_owner(const struct stat& found, const std::string& path) const;
  // A regular file: kept when foreign ones are admitted, as is the number of its names.
  [[nodiscard]] Result<> check_file(const struct stat& found, OtherNames others,
                                    const std::string& path) const;

  [[nodiscard]] bool owns(uid_t user) const;
  [[nodiscard]] Foreign foreign() const { return foreign_; }

 private:
  // What speaks against it; nothing: it is trusted.
  [[nodiscard]] std::optional<std::string> against_owner(const struct stat& found,
                                                         const std::string& path) const;
  [[nodiscard]] std::optional<std::string> against_writers(const struct stat& found,
                                                           const std::string& path) const;
  [[nodiscard]] std::optional<std::string> against_way(const struct stat& found, int file,
                                                       const std::string& path) const;
  [[nodiscard]] Result<> judge(const std::optional<std::string>& against) const;

  std::vector<uid_t> owners_;
  std::optional<uid_t> caller_;  // who called sudo
  Foreign foreign_;
  std::string way_out_;
};

}  // namespace spillfs
