// SPDX-License-Identifier: Apache-2.0
// A store: the directory that says which data directories belong together, holds the index, and is
// locked while in use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fs/volume.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"
#include "storage/base/slow_watch.h"
#include "storage/format.h"

namespace spillfs::fs {

inline constexpr std::uint64_t kStoreFormat = 1;
inline constexpr const char* kStoreFile = "store.json";
inline constexpr unsigned kOwnerOnly =
    077;  // the umask of who opens a store: it is for nobody else

// What store.json holds.
struct StoreFile {
  storage::StoreId id{};
  std::vector<std::string> directories;  // at least one; relative ones are in the store

  friend bool operator==(const StoreFile&, const StoreFile&) = default;
};
// EBADMSG for what is damaged, EPROTO for what a newer spillfs wrote.
Result<StoreFile> parse_store_file(std::string_view text);
// EINVAL for a directory whose name is not UTF-8, which JSON does not have.
Result<std::string> format_store_file(const StoreFile& file);

class Store {
 public:
  // Opens the store at `path` and locks it. Where there is none it is made, with `data` as its data
  // directories (none: itself). Errors name what to do:
  //   EBUSY      another process has it        EPROTO     made by a newer spillfs
  //   ENOTEMPTY  `path` holds something else, or a data directory another store's segments
  //   EINVAL     it has other data directories than `data`, or `data` names one twice or one that
  //              is not UTF-8
  //   EBADMSG    store.json is damaged         ENOENT     a data directory is missing
  //   ENOTDIR    `path` is a file              or what the system says to making and opening
  static Result<Store> open_or_create(const std::string& path,
                                      const std::vector<std::string>& data);
  // As above, but a missing store is ENOENT.
  static Result<Store> open(const std::string& path);
  // Whether this program can read the store; nothing is locked or touched. Errors as above.
  static Result<> check_format(const std::string& path);
  // As above, of a store that this process has locked already: `lock` is that lock.
  static Result<Store> adopt(const std::string& path, Fd lock);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const storage::StoreId& id() const { return id_; }
  [[nodiscard]] std::string index_path() const { return path_ + "/index"; }
  [[nodiscard]] const std::vector<std::string>& directories() const { return directories_; }
  [[nodiscard]] int lock() const { return lock_.get(); }
  // One FileDevice per data directory, in order. Those on the index's file system leave `reserve`
  // bytes of it free.
  [[nodiscard]] Result<std::vector<std::unique_ptr<storage::Device>>> open_devices(
      std::uint64_t reserve, SlowWatch* watch = nullptr) const;
  // Blocks set aside on the index's file system for the day it is full; made where they are
  // missing, all of them or none.
  Result<> keep_ballast() const;
  [[nodiscard]] bool has_ballast() const;
  // Its blocks would leave as much again.
  [[nodiscard]] bool has_room_for_ballast() const;
  // Gives them back, so that deletes can go on; false when there was nothing to give.
  bool drop_ballast() const;

 private:
  Store() = default;
  [[nodiscard]] std::string ballast_path() const { return path_ + "/ballast"; }
  static Result<Store> locked(const std::string& path);
  Result<> read();
  Result<> create(const std::vector<std::string>& data);
  Result<> write() const;

  std::string path_;
  storage::StoreId id_{};
  std::vector<std::string> directories_;  // absolute
  Fd lock_;
};

}  // namespace spillfs::fs
