// SPDX-License-Identifier: Apache-2.0
// MOUNTPOINT/.spillfs: read-only files about the daemon and what it holds, found by name but never
// listed in the root, so that an empty mount is empty. Texts are added by name, whole folders as
// ControlFolders. Threads: every method may be called from any thread once all has been added.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/volume/accounts/user_shares.h"
#include "fs/volume/volume.h"
#include "storage/base/bytes.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

enum class ControlKind : std::uint8_t { kTexts = 0, kObjects = 1, kSegments = 2 };

// What a node id in .spillfs says, so that none has to be remembered: bit 62, kind (2 bits), inode
// or segment (40 bits), a number in it (20 bits). Beyond every real inode.
struct ControlId {
  static constexpr std::uint64_t kMaxOf = (std::uint64_t{1} << 40) - 1;
  static constexpr std::uint64_t kMaxNumber = (std::uint64_t{1} << 20) - 1;

  ControlKind kind = ControlKind::kTexts;
  std::uint64_t of = 0;
  std::uint64_t number = 0;

  [[nodiscard]] InodeId node() const;
  static ControlId from(InodeId node);
};

// The attributes of a read-only node, its own times and owner aside.
struct stat control_stat(ControlId id, mode_t mode, std::uint64_t size);

// Whose a control file is: everyone's, or the daemon's owner's, and root's, alone; to read, or to
// write as well.
enum class ControlAccess : std::uint8_t { kEveryone, kEveryoneWrites, kOwner, kOwnerWrites };

// Up to into.size() bytes of `text` from `offset` on; 0 at its end.
std::size_t read_text(std::string_view text, MutableBytes into, std::uint64_t offset);

// An open file; its content is what it was at open. One thread at a time.
class ControlReader {
 public:
  virtual ~ControlReader() = default;
  virtual Result<std::size_t> read(MutableBytes into, std::uint64_t offset) = 0;
  // All of it, or nothing; wherever it is written to.
  virtual Result<> write(Bytes from);
};

using Xattrs = std::vector<std::pair<std::string, std::string>>;

// A folder in .spillfs and all below it; the ids it is given are of its kind. Its own is (kind, of,
// number) as it likes; what is gone is ENOENT.
class ControlFolder {
 public:
  virtual ~ControlFolder() = default;

  [[nodiscard]] virtual ControlId root() const = 0;
  virtual Result<struct stat> attributes(ControlId id) = 0;
  virtual Result<ControlId> find(ControlId folder, std::string_view name) = 0;
  // Up to `limit` entries with cookies above `after`; cookies start at 3.
  virtual Result<std::vector<DirectoryEntry>> list(ControlId folder, std::uint64_t after,
                                                   std::size_t limit) = 0;
  virtual Result<std::unique_ptr<ControlReader>> open(ControlId id) = 0;
  virtual Result<Xattrs> xattrs(ControlId id) = 0;
};

class ControlFiles {
 public:
  ControlFiles();

  static constexpr std::string_view kFolderName = ".spillfs";
  static constexpr InodeId kFolder{std::uint64_t{1} << 62};

  // `text` is asked for at every open and stat.
  void add(std::string name, std::function<std::string()> text,
           ControlAccess access = ControlAccess::kEveryone);
  // A file that is more than a text; its size is told as 0. A handle of a process before this one
  // is EIO: what it began has ended.
  using Opener = std::function<std::unique_ptr<ControlReader>()>;
  void add_file(std::string name, ControlAccess access, Opener open);
  void add_folder(std::string name, std::unique_ptr<ControlFolder> folder);

  static bool owns(InodeId id) { return number(id) >= number(kFolder); }
  // Is this name, in this folder, the control folder or something in it?
  static bool owns(InodeId parent, std::string_view name) {
    return owns(parent) || (parent == kRootInode && name == kFolderName);
  }

  // "." is `parent` itself, ESTALE where that is gone: so the kernel asks for what a file handle
  // names. Of a folder it then looks for the name in the one above, and the root does not list
  // ours.
  Result<struct stat> lookup(InodeId parent, std::string_view name);
  Result<struct stat> attributes(InodeId id);
  // As Volume::list().
  Result<std::vector<DirectoryEntry>> list(InodeId id, std::uint64_t after, std::size_t limit);
  Result<Xattrs> xattrs(InodeId id);

  // Whether it may be open to write as well; who may is the kernel's to check.
  [[nodiscard]] bool takes_writes(InodeId id) const;
  static constexpr std::uint64_t kUserHandles = 256;  // at a time, but root's and our own
  // EMFILE when `user` has too many open.
  Result<std::uint64_t> open(InodeId id, uid_t user = 0);
  // `id` is what the handle was opened on: a handle of a process before this one is opened anew.
  Result<std::size_t> read(InodeId id, std::uint64_t handle, MutableBytes into,
                           std::uint64_t offset);
  Result<> write(std::uint64_t handle, Bytes from);
  void release(std::uint64_t handle);

 private:
  struct Text {
    std::string name;
    std::function<std::string()> text;
    mode_t permissions = 0444;
    Opener open = nullptr;  // instead of the text
  };
  struct Folder {
    std::string name;
    std::unique_ptr<ControlFolder> folder;
  };
  struct Open {
    Mutex mutex;
    std::unique_ptr<ControlReader> reader GUARDED_BY(mutex);
    uid_t user = 0;  // whose share it takes
  };
  static std::uint64_t first_handle();
  Result<struct stat> itself(InodeId id);
  Result<const Text*> text(ControlId id) const;
  // The folder that an id lies in; null for the texts.
  [[nodiscard]] ControlFolder* folder_of(ControlId id) const;
  Result<std::vector<DirectoryEntry>> list_top(std::uint64_t after);
  Result<std::shared_ptr<Open>> open_anew(InodeId id);
  std::shared_ptr<Open> opened(std::uint64_t handle) EXCLUDES(mutex_);

  UserShares shares_;
  std::vector<Text> texts_;
  std::vector<Folder> folders_;
  Mutex mutex_;
  // Begins with the time: no process of a mount gives a number that another has given.
  std::uint64_t next_handle_ GUARDED_BY(mutex_) = first_handle();
  std::unordered_map<std::uint64_t, std::shared_ptr<Open>> open_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
