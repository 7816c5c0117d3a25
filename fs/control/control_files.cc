// SPDX-License-Identifier: Apache-2.0
#include "fs/control/control_files.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace spillfs::fs {
namespace {

constexpr unsigned kKindShift = 60;
constexpr unsigned kOfShift = 20;
constexpr std::uint64_t kFirstCookie = 3;  // behind "." and ".."

class TextReader : public ControlReader {
 public:
  explicit TextReader(std::string text) : text_(std::move(text)) {}

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return read_text(text_, into, offset);
  }

 private:
  const std::string text_;
};

mode_t permissions_of(ControlAccess access) {
  switch (access) {
    case ControlAccess::kEveryone:
      return 0444;
    case ControlAccess::kEveryoneWrites:
      return 0666;
    case ControlAccess::kOwner:
      return 0400;
    case ControlAccess::kOwnerWrites:
      return 0600;
  }
  return 0;
}

}  // namespace

std::size_t read_text(std::string_view text, MutableBytes into, std::uint64_t offset) {
  if (offset >= text.size()) return 0;
  const Bytes from = as_bytes(text).subspan(offset);
  const std::size_t count = std::min(into.size(), from.size());
  std::copy_n(from.begin(), count, into.begin());
  return count;
}

Result<> ControlReader::write(Bytes /*from*/) { return fail(EPERM, "this file is read-only"); }

InodeId ControlId::node() const {
  return InodeId{spillfs::number(ControlFiles::kFolder) |
                 static_cast<std::uint64_t>(kind) << kKindShift | of << kOfShift | number};
}

ControlId ControlId::from(InodeId node) {
  const std::uint64_t id = spillfs::number(node);
  return {.kind = static_cast<ControlKind>(id >> kKindShift & 3),
          .of = id >> kOfShift & kMaxOf,
          .number = id & kMaxNumber};
}

struct stat control_stat(ControlId id, mode_t mode, std::uint64_t size) {
  struct stat out {};
  out.st_ino = number(id.node());
  out.st_mode = mode;
  out.st_nlink = S_ISDIR(mode) ? 2 : 1;
  out.st_uid = ::geteuid();
  out.st_gid = ::getegid();
  out.st_size = static_cast<off_t>(S_ISDIR(mode) ? 4096 : size);
  out.st_blksize = 4096;
  clock_gettime(CLOCK_REALTIME, &out.st_mtim);
  out.st_ctim = out.st_atim = out.st_mtim;
  return out;
}

ControlFiles::ControlFiles()
    : shares_(kUserHandles, std::numeric_limits<std::uint64_t>::max(), ::geteuid()) {}

void ControlFiles::add(std::string name, std::function<std::string()> text, ControlAccess access) {
  texts_.push_back({.name = std::move(name),
                    .text = std::move(text),
                    .permissions = permissions_of(access),
                    .open = nullptr});
}

void ControlFiles::add_file(std::string name, ControlAccess access, Opener open) {
  texts_.push_back({.name = std::move(name),
                    .text = [] { return std::string(); },
                    .permissions = permissions_of(access),
                    .open = std::move(open)});
}

void ControlFiles::add_folder(std::string name, std::unique_ptr<ControlFolder> folder) {
  folders_.push_back({.name = std::move(name), .folder = std::move(folder)});
}

Result<const ControlFiles::Text*> ControlFiles::text(ControlId id) const {
  if (id.number == 0 || id.number > texts_.size()) return fail(ENOENT, "no such control file");
  return &texts_[id.number - 1];
}

ControlFolder* ControlFiles::folder_of(ControlId id) const {
  for (const Folder& folder : folders_) {
    if (folder.folder->root().kind == id.kind) return folder.folder.get();
  }
  return nullptr;
}

Result<struct stat> ControlFiles::lookup(InodeId parent, std::string_view name) {
  if (parent == kRootInode && name == kFolderName) return attributes(kFolder);
  if (name == ".") return itself(parent);
  const ControlId id = ControlId::from(parent);
  if (ControlFolder* folder = folder_of(id)) {
    return folder->attributes(SPILLFS_TRY(folder->find(id, name)));
  }
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    if (texts_[i].name == name) return attributes(ControlId{.number = i + 1}.node());
  }
  for (const Folder& folder : folders_) {
    if (folder.name == name) return folder.folder->attributes(folder.folder->root());
  }
  return fail(ENOENT, "no such control file");
}

// As the kernel asks for what a file handle names, which may be any number.
Result<struct stat> ControlFiles::itself(InodeId id) {
  auto found = attributes(id);
  const bool gone = found ? found->st_ino != number(id) : found.error().code == ENOENT;
  if (gone) return fail(ESTALE, "no control file has this number");
  return found;
}

Result<struct stat> ControlFiles::attributes(InodeId id) {
  const ControlId control = ControlId::from(id);
  if (ControlFolder* folder = folder_of(control)) return folder->attributes(control);
  if (id == kFolder) return control_stat(control, S_IFDIR | 0555, 0);
  const Text* file = SPILLFS_TRY(text(control));
  return control_stat(control, S_IFREG | file->permissions, file->text().size());
}

Result<std::vector<DirectoryEntry>> ControlFiles::list(InodeId id, std::uint64_t after,
                                                       std::size_t limit) {
  std::vector<DirectoryEntry> entries;
  if (after < 1) entries.push_back({1, ".", SPILLFS_TRY(attributes(id))});
  if (after < 2) entries.push_back({2, "..", SPILLFS_TRY(attributes(kFolder))});
  const ControlId control = ControlId::from(id);
  ControlFolder* folder = folder_of(control);
  const auto more = folder != nullptr ? SPILLFS_TRY(folder->list(control, after, limit))
                                      : SPILLFS_TRY(list_top(after));
  entries.insert(entries.end(), more.begin(), more.end());
  return entries;
}

Result<std::vector<DirectoryEntry>> ControlFiles::list_top(std::uint64_t after) {
  std::vector<std::string> names;
  for (const Text& text : texts_) names.push_back(text.name);
  for (const Folder& folder : folders_) names.push_back(folder.name);
  std::vector<DirectoryEntry> entries;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (kFirstCookie + i <= after) continue;
    entries.push_back({kFirstCookie + i, names[i], SPILLFS_TRY(lookup(kFolder, names[i]))});
  }
  return entries;
}

Result<Xattrs> ControlFiles::xattrs(InodeId id) {
  const ControlId control = ControlId::from(id);
  ControlFolder* folder = folder_of(control);
  return folder != nullptr ? folder->xattrs(control) : Xattrs();
}

std::uint64_t ControlFiles::first_handle() {
  return static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                    std::chrono::microseconds(1));
}

Result<std::shared_ptr<ControlFiles::Open>> ControlFiles::open_anew(InodeId id) {
  const ControlId control = ControlId::from(id);
  std::unique_ptr<ControlReader> reader;
  if (ControlFolder* folder = folder_of(control)) {
    reader = SPILLFS_TRY(folder->open(control));
  } else {
    const Text* file = SPILLFS_TRY(text(control));
    reader = file->open ? file->open() : std::make_unique<TextReader>(file->text());
  }
  auto opened = std::make_shared<Open>();
  {
    MutexLock lock(opened->mutex);
    opened->reader = std::move(reader);
  }
  return opened;
}

Result<std::uint64_t> ControlFiles::open(InodeId id, uid_t user) {
  if (!shares_.take(user)) return fail(EMFILE, "the user has too many control files open");
  auto made = open_anew(id);
  if (!made) shares_.give_back(user);
  auto opened = SPILLFS_TRY(std::move(made));
  opened->user = user;
  MutexLock lock(mutex_);
  open_.emplace(next_handle_, std::move(opened));
  return next_handle_++;
}

Result<std::size_t> ControlFiles::read(InodeId id, std::uint64_t handle, MutableBytes into,
                                       std::uint64_t offset) {
  std::shared_ptr<Open> opened = this->opened(handle);
  if (opened == nullptr) {
    const ControlId control = ControlId::from(id);
    if (folder_of(control) == nullptr && SPILLFS_TRY(text(control))->open) {
      return fail(EIO, "what this file reports on has ended with the process that did it");
    }
    auto anew = SPILLFS_TRY(open_anew(id));
    shares_.restore(anew->user);
    MutexLock lock(mutex_);
    opened = open_.try_emplace(handle, std::move(anew)).first->second;
  }
  MutexLock lock(opened->mutex);
  return opened->reader->read(into, offset);
}

std::shared_ptr<ControlFiles::Open> ControlFiles::opened(std::uint64_t handle) {
  MutexLock lock(mutex_);
  const auto found = open_.find(handle);
  return found == open_.end() ? nullptr : found->second;
}

bool ControlFiles::takes_writes(InodeId id) const {
  const ControlId control = ControlId::from(id);
  if (folder_of(control) != nullptr) return false;
  const auto file = text(control);
  return file && ((*file)->permissions & 0200) != 0;
}

Result<> ControlFiles::write(std::uint64_t handle, Bytes from) {
  const std::shared_ptr<Open> open = opened(handle);
  if (open == nullptr) return fail(EIO, "the process that this file was opened in has ended");
  MutexLock lock(open->mutex);
  return open->reader->write(from);
}

void ControlFiles::release(std::uint64_t handle) {
  std::shared_ptr<Open> closed;
  MutexLock lock(mutex_);
  const auto found = open_.find(handle);
  if (found == open_.end()) return;
  closed = std::move(found->second);
  shares_.give_back(closed->user);
  open_.erase(found);
}

}  // namespace spillfs::fs
