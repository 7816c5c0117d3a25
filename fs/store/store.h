// SPDX-License-Identifier: Apache-2.0
// A store: the directory that says which data directories belong together, holds the index, and is
// locked while in use. It and its data directories are held by descriptors; what other users own or
// may write is refused, unless Foreign says that it is admitted, and nothing in them is followed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/config/options.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"
#include "storage/base/slow_watch.h"
#include "storage/base/trusted_directory.h"
#include "storage/device.h"
#include "storage/format.h"

namespace spillfs::fs {

inline constexpr std::uint64_t kStoreFormat = 2;
inline constexpr std::uint64_t kKeyedNamesFormat = 2;  // from it on names are hashed with a key
inline constexpr const char* kStoreFile = "store.json";
inline constexpr const char* kIndex = "index";
inline constexpr unsigned kOwnerOnly =
    077;  // the umask of who opens a store: it is for nobody else

// What store.json holds.
struct StoreFile {
  storage::StoreId id{};
  std::vector<std::string> directories;  // at least one; relative ones are in the store
  std::uint64_t format = kStoreFormat;

  friend bool operator==(const StoreFile&, const StoreFile&) = default;
};
// EBADMSG for what is damaged, EPROTO for what a newer spillfs wrote.
Result<StoreFile> parse_store_file(std::string_view text);
// EINVAL for a directory whose name is not UTF-8, which JSON does not have.
Result<std::string> format_store_file(const StoreFile& file);

// What a mount with these options opens its store for.
storage::Access access_of(const MountOptions& options);

class Store {
 public:
  // Opens the store at `path` and locks it. Where there is none it is made, with `data` as its data
  // directories (none: itself). Errors name what to do:
  //   EBUSY      another process has it (one that ends is waited for: fs/store/store_lock.h)
  //   EPROTO     made by a newer spillfs
  //   ENOTEMPTY  `path` holds something else, or a data directory another store's segments
  //   EINVAL     it has other data directories than `data`, or `data` names one twice or one that
  //              is not UTF-8
  //   EBADMSG    store.json is damaged         ENOENT     a data directory is missing
  //   EPERM      other users could change it, or a data directory, or what leads to them
  //   ELOOP      a symbolic link lies in it    ENOTDIR    `path` is a file
  // or what the system says to making and opening.
  static Result<Store> open_or_create(const std::string& path, const std::vector<std::string>& data,
                                      Foreign foreign = Foreign::kRefuse);
  // As above, but a missing store is ENOENT, and nothing in it is changed, its lock included: while
  // a process has it so, others may have it so, and none may change it (EBUSY).
  static Result<Store> open_read_only(const std::string& path, const std::vector<std::string>& data,
                                      Foreign foreign = Foreign::kRefuse);
  // As open_or_create(), but a missing store is ENOENT.
  static Result<Store> open(const std::string& path, Foreign foreign = Foreign::kRefuse);
  // Whether this program can read the store; nothing is locked or touched. Errors as above.
  static Result<> check_format(const std::string& path, Foreign foreign = Foreign::kRefuse);
  // As above, of a store that this process has locked already: `lock` is that lock. ESTALE when
  // another store lies there now.
  static Result<Store> adopt(const std::string& path, Fd lock, Foreign foreign = Foreign::kRefuse,
                             storage::Access access = storage::Access::kReadWrite);
  // Makes a store of an earlier format one of this program's, which earlier programs refuse from
  // then on. So it is for a program that none of them can have to go on for.
  Result<> raise_format();

  [[nodiscard]] const std::string& path() const { return folder_.path(); }
  [[nodiscard]] const TrustedDirectory& folder() const { return folder_; }
  [[nodiscard]] const storage::StoreId& id() const { return id_; }
  [[nodiscard]] std::string index_path() const { return folder_.path_to(kIndex); }
  // The index's directory, or another for one: nothing in it would RocksDB follow. It is made where
  // it is missing, but not by who only reads (ENOENT).
  [[nodiscard]] Result<TrustedDirectory> open_index(const std::string& name = kIndex) const;
  // Whether there is a database in it.
  [[nodiscard]] Result<bool> has_index() const;
  [[nodiscard]] const std::vector<std::string>& directories() const { return directories_; }
  [[nodiscard]] std::uint64_t format() const { return format_; }
  [[nodiscard]] int lock() const { return lock_.get(); }
  [[nodiscard]] storage::Access access() const { return access_; }
  // One FileDevice per data directory, in order. Those on the index's file system leave `reserve`
  // bytes of it free. Of a store that is only read they refuse changes with EROFS.
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
  Store(TrustedDirectory folder, Foreign foreign) : folder_(std::move(folder)), foreign_(foreign) {}
  static Result<Store> existing(const std::string& path, Foreign foreign);
  static Result<Store> unlocked(const std::string& path, Foreign foreign, Missing missing);
  Result<> take_lock();
  Result<> take_lock(Fd lock);
  Result<> share_lock();
  Result<> check_data(const std::vector<std::string>& data) const;
  Result<> read();
  Result<> open_data(uid_t named_by);
  Result<> open_parts();
  [[nodiscard]] Result<TrustedDirectory> checked_index(const std::string& name) const;
  Result<> create(const std::vector<std::string>& data);
  Result<> make_data(const std::string& folder);
  Result<> write() const;
  [[nodiscard]] Result<bool> is_made() const;

  TrustedDirectory folder_;
  Foreign foreign_;
  storage::Access access_ = storage::Access::kReadWrite;
  storage::StoreId id_{};
  std::uint64_t format_ = kStoreFormat;
  std::vector<std::string> directories_;  // absolute
  std::vector<TrustedDirectory> data_;    // one for each of them
  // Where there is one. A process that gives up its rights later could not open it as it has to be.
  std::optional<TrustedDirectory> index_;
  Fd lock_;
};

}  // namespace spillfs::fs
