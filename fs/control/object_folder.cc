// SPDX-License-Identifier: Apache-2.0
#include "fs/control/object_folder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace spillfs::fs {
namespace {

constexpr std::size_t kRecent = 8;         // files whose objects are remembered
constexpr std::uint64_t kFirstCookie = 3;  // of a file's object 0
constexpr std::chrono::milliseconds kSearchPatience{
    50};  // how long one request looks for files of Ray's

// A file open for reading, for as long as this lives.
class FileReader {
 public:
  static Result<std::unique_ptr<FileReader>> open(Volume& volume, InodeId id) {
    const Opened opened = SPILLFS_TRY(volume.open_file(id, O_RDONLY));
    return std::unique_ptr<FileReader>(new FileReader(volume, opened.handle));
  }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  ~FileReader() { static_cast<void>(volume_.release(handle_)); }

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) {
    return volume_.read(handle_, into, offset);
  }
  Result<std::string> read_text(std::uint64_t offset, std::uint64_t length) {
    std::string text(length, '\0');
    const std::size_t got = SPILLFS_TRY(read(std::as_writable_bytes(std::span(text)), offset));
    if (got != length) return fail(EIO, "the file changes");
    return text;
  }

 private:
  FileReader(Volume& volume, HandleId handle) : volume_(volume), handle_(handle) {}

  Volume& volume_;
  const HandleId handle_;
};

class ObjectReader : public ControlReader {
 public:
  ObjectReader(std::unique_ptr<FileReader> file, const storage::RayObject& object)
      : file_(std::move(file)), object_(object) {}

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    const std::uint64_t length = object_.header.data_length;
    if (offset >= length) return 0;
    into = into.first(std::min<std::uint64_t>(into.size(), length - offset));
    return file_->read(into, object_.data_offset() + offset);
  }

 private:
  const std::unique_ptr<FileReader> file_;
  const storage::RayObject object_;
};

// Read-only, and for the same people as the original.
struct stat shown(const struct stat& original, ControlId id, mode_t mode, std::uint64_t size) {
  struct stat out = control_stat(id, mode, size);
  out.st_uid = original.st_uid;
  out.st_gid = original.st_gid;
  out.st_atim = original.st_atim;
  out.st_mtim = original.st_mtim;
  out.st_ctim = original.st_ctim;
  return out;
}

struct stat shown_folder(const struct stat& original, ControlId id) {
  mode_t mode = original.st_mode & 0555;
  if (S_ISREG(original.st_mode)) {  // who may read the file may look into it
    mode = original.st_mode & 0444;
    mode |= mode >> 2;
  }
  return shown(original, id, S_IFDIR | mode, 0);
}

struct stat shown_object(const struct stat& file, ControlId id, const storage::RayObject& object) {
  return shown(file, id, S_IFREG | (file.st_mode & 0444), object.header.data_length);
}

bool same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

Result<ObjectFolder::Objects> ObjectFolder::objects(InodeId id) {
  const struct stat now = SPILLFS_TRY(volume_.get_attributes(id));
  {
    MutexLock lock(mutex_);
    const auto known = std::find_if(recent_.begin(), recent_.end(), [&](const Objects& objects) {
      return objects->file.st_ino == now.st_ino;
    });
    if (known != recent_.end()) {
      recent_.splice(recent_.begin(), recent_, known);
      const struct stat& then = recent_.front()->file;
      if (then.st_size == now.st_size && same(then.st_mtim, now.st_mtim) &&
          same(then.st_ctim, now.st_ctim)) {
        return recent_.front();
      }
      recent_.pop_front();
    }
  }
  if (SPILLFS_TRY(volume_.count_ray_objects(id)) == 0) return fail(ENOENT, "not a file of Ray's");
  auto found = std::make_shared<Volume::RayObjects>(SPILLFS_TRY(volume_.ray_objects(id)));
  MutexLock lock(mutex_);
  recent_.push_front(found);
  if (recent_.size() > kRecent) recent_.pop_back();
  return found;
}

Result<ObjectFolder::Place> ObjectFolder::place(ControlId id) {
  Objects found = SPILLFS_TRY(objects(InodeId{id.of}));
  if (id.number == 0) return fail(EISDIR, "it is a folder of objects");
  if (id.number > found->objects.size()) return fail(ENOENT, "no such object");
  const storage::RayObject object = found->objects[id.number - 1];
  return Place{.objects = std::move(found), .object = object};
}

Result<struct stat> ObjectFolder::attributes(ControlId id) {
  if (id.number != 0) {
    const Place at = SPILLFS_TRY(place(id));
    return shown_object(at.objects->file, id, at.object);
  }
  const struct stat original = SPILLFS_TRY(volume_.get_attributes(InodeId{id.of}));
  if (!S_ISDIR(original.st_mode) && SPILLFS_TRY(volume_.count_ray_objects(InodeId{id.of})) == 0) {
    return fail(ENOENT, "not a file of Ray's");
  }
  return shown_folder(original, id);
}

Result<ControlId> ObjectFolder::find(ControlId in, std::string_view name) {
  const InodeId id{in.of};
  const struct stat original = SPILLFS_TRY(volume_.get_attributes(id));
  if (S_ISDIR(original.st_mode)) {
    const struct stat found = SPILLFS_TRY(volume_.lookup(id, name));
    if (found.st_ino > ControlId::kMaxOf) return fail(ENOENT, "beyond what can be shown");
    return folder(InodeId{found.st_ino});
  }
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), n);
  if (error != std::errc() || end != name.data() + name.size() || n >= ControlId::kMaxNumber ||
      fmt::format("{}", n) != name) {
    return fail(ENOENT, "objects have numbers");
  }
  return ControlId{.kind = ControlKind::kObjects, .of = in.of, .number = n + 1};
}

Result<std::vector<DirectoryEntry>> ObjectFolder::list(ControlId in, std::uint64_t after,
                                                       std::size_t limit) {
  const InodeId id{in.of};
  const struct stat original = SPILLFS_TRY(volume_.get_attributes(id));
  return S_ISDIR(original.st_mode) ? list_directory(id, after, limit) : list_file(id, after, limit);
}

Result<std::vector<DirectoryEntry>> ObjectFolder::list_directory(InodeId id, std::uint64_t after,
                                                                 std::size_t limit) {
  after = std::max(after, kFirstCookie - 1);
  const auto end = std::chrono::steady_clock::now() + kSearchPatience;
  std::vector<DirectoryEntry> entries;
  while (entries.empty()) {
    const auto page = SPILLFS_TRY(volume_.list(id, after, limit));
    if (page.empty()) break;
    for (const DirectoryEntry& original : page) {
      after = original.cookie;
      if (is_shown(original.attributes)) {
        const ControlId shown = folder(InodeId{original.attributes.st_ino});
        entries.push_back({after, original.name, shown_folder(original.attributes, shown)});
      }
      if (std::chrono::steady_clock::now() < end) continue;
      // Nothing at all would be the end. Whoever lists a directory passes over its own name.
      if (entries.empty()) entries.push_back({after, ".", SPILLFS_TRY(attributes(folder(id)))});
      return entries;
    }
  }
  return entries;
}

bool ObjectFolder::is_shown(const struct stat& original) {
  if (original.st_ino > ControlId::kMaxOf) return false;
  if (S_ISDIR(original.st_mode)) return true;
  if (!S_ISREG(original.st_mode)) return false;
  return volume_.count_ray_objects(InodeId{original.st_ino}).value_or(0) != 0;  // or it went
}

Result<std::vector<DirectoryEntry>> ObjectFolder::list_file(InodeId id, std::uint64_t after,
                                                            std::size_t limit) {
  const Objects found = SPILLFS_TRY(objects(id));
  std::vector<DirectoryEntry> entries;
  for (std::uint64_t n = std::max(after + 1, kFirstCookie) - kFirstCookie;
       n < found->objects.size() && n < ControlId::kMaxNumber && entries.size() < limit; ++n) {
    const ControlId object{.kind = ControlKind::kObjects, .of = number(id), .number = n + 1};
    entries.push_back({n + kFirstCookie, fmt::format("{}", n),
                       shown_object(found->file, object, found->objects[n])});
  }
  return entries;
}

Result<std::unique_ptr<ControlReader>> ObjectFolder::open(ControlId id) {
  auto file = SPILLFS_TRY(FileReader::open(volume_, InodeId{id.of}));
  const Place at = SPILLFS_TRY(place(id));
  return std::make_unique<ObjectReader>(std::move(file), at.object);
}

Result<Xattrs> ObjectFolder::xattrs(ControlId id) {
  if (id.number == 0) return Xattrs();
  const auto file = SPILLFS_TRY(FileReader::open(volume_, InodeId{id.of}));
  const Place at = SPILLFS_TRY(place(id));
  const storage::RayHeader& header = at.object.header;
  Xattrs all;
  all.emplace_back(
      "user.spill.owner_address",
      SPILLFS_TRY(file->read_text(at.object.owner_address_offset(), header.owner_address_length)));
  all.emplace_back("user.spill.metadata", SPILLFS_TRY(file->read_text(at.object.metadata_offset(),
                                                                      header.metadata_length)));
  if (!at.objects->path.empty()) {
    all.emplace_back("user.spill.url",
                     fmt::format("{}{}?offset={}&size={}", mountpoint_, at.objects->path,
                                 at.object.offset, at.object.end() - at.object.offset));
  }
  return all;
}

}  // namespace spillfs::fs
