// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/open_files.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <type_traits>

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kMagic = 0x4e504f4c4c495053;  // "SPILLOPN"
constexpr std::uint32_t kVersion = 3;                 // with IoMode::kMapped
constexpr std::uint32_t kOldestVersion = 2;           // a table begins as this one

struct Header {
  std::uint64_t magic;
  std::uint64_t size;  // bytes, of all
  std::uint32_t version;
  std::int32_t highest_backing;
  std::uint32_t handles_used;  // rows that were ever used, the first ones: no other is read back
  std::uint32_t files_used;
};
static_assert(sizeof(Header) == 32);
static_assert(offsetof(Header, magic) == 0);
static_assert(offsetof(Header, size) == 8);
static_assert(offsetof(Header, version) == 16);
static_assert(offsetof(Header, highest_backing) == 20);
static_assert(offsetof(Header, handles_used) == 24);
static_assert(offsetof(Header, files_used) == 28);

// A row of either kind counts while its inode is not 0.
struct StoredHandle {
  std::uint64_t inode;
  std::uint64_t request;
  std::int32_t flags;
  std::uint32_t mode;
  std::uint32_t uses;    // of this row, with this one; not 0 once it was used
  std::uint32_t opener;  // uid; 0 in rows of versions that did not keep it
};
static_assert(sizeof(StoredHandle) == 32);
static_assert(offsetof(StoredHandle, inode) == 0);
static_assert(offsetof(StoredHandle, request) == 8);
static_assert(offsetof(StoredHandle, flags) == 16);
static_assert(offsetof(StoredHandle, mode) == 20);
static_assert(offsetof(StoredHandle, uses) == 24);
static_assert(offsetof(StoredHandle, opener) == 28);

struct StoredFile {
  std::uint64_t inode;
  std::uint64_t size;
  std::uint64_t segment;
  std::int64_t modified_seconds;
  std::int64_t changed_seconds;
  std::uint32_t modified_nanoseconds;
  std::uint32_t changed_nanoseconds;
  std::int32_t backing;
  std::int32_t writer;
  std::uint32_t dirty;  // 0 or 1
  std::uint32_t backing_modified_nanoseconds;
  std::int64_t backing_modified_seconds;
};
static_assert(sizeof(StoredFile) == 72);
static_assert(offsetof(StoredFile, inode) == 0);
static_assert(offsetof(StoredFile, size) == 8);
static_assert(offsetof(StoredFile, segment) == 16);
static_assert(offsetof(StoredFile, modified_seconds) == 24);
static_assert(offsetof(StoredFile, changed_seconds) == 32);
static_assert(offsetof(StoredFile, modified_nanoseconds) == 40);
static_assert(offsetof(StoredFile, changed_nanoseconds) == 44);
static_assert(offsetof(StoredFile, backing) == 48);
static_assert(offsetof(StoredFile, writer) == 52);
static_assert(offsetof(StoredFile, dirty) == 56);
static_assert(offsetof(StoredFile, backing_modified_nanoseconds) == 60);
static_assert(offsetof(StoredFile, backing_modified_seconds) == 64);

// One load or store each, even where another process reads after this one was killed.
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);

template <class T>
T get(T& field) {
  return std::atomic_ref<T>(field).load(std::memory_order_acquire);
}

// After every put() that comes before it in the program.
template <class T>
void put(T& field, std::type_identity_t<T> value) {
  std::atomic_ref<T>(field).store(value, std::memory_order_release);
}

// All but the inode. The order is the header's promise.
void put_fields(StoredFile& row, const OpenFile& file) {
  if (file.dirty) put(row.dirty, 1);
  put(row.segment, number(file.segment));
  put(row.size, file.size);
  put(row.modified_seconds, file.modified.seconds);
  put(row.modified_nanoseconds, file.modified.nanoseconds);
  put(row.changed_seconds, file.changed.seconds);
  put(row.changed_nanoseconds, file.changed.nanoseconds);
  put(row.backing_modified_seconds, file.backing_modified.seconds);
  put(row.backing_modified_nanoseconds, file.backing_modified.nanoseconds);
  put(row.backing, file.backing);
  put(row.writer, file.writer);
  if (!file.dirty) put(row.dirty, 0);
}

OpenFile get_file(StoredFile& row) {
  return {
      .inode = InodeId{get(row.inode)},
      .size = get(row.size),
      .modified = {.seconds = get(row.modified_seconds),
                   .nanoseconds = get(row.modified_nanoseconds)},
      .changed = {.seconds = get(row.changed_seconds), .nanoseconds = get(row.changed_nanoseconds)},
      .backing_modified = {.seconds = get(row.backing_modified_seconds),
                           .nanoseconds = get(row.backing_modified_nanoseconds)},
      .segment = SegmentId{get(row.segment)},
      .backing = get(row.backing),
      .dirty = get(row.dirty) != 0,
      .writer = get(row.writer)};
}

OpenHandle get_handle(StoredHandle& row) {
  return {.inode = InodeId{get(row.inode)},
          .request = RequestId{get(row.request)},
          .flags = get(row.flags),
          .mode = static_cast<IoMode>(get(row.mode)),
          .opener = get(row.opener)};
}

HandleId make_id(std::uint32_t row, std::uint32_t uses) {
  return HandleId{std::uint64_t{uses} << 32 | row};
}
std::uint32_t row_of(HandleId id) { return static_cast<std::uint32_t>(id); }
std::uint32_t uses_of(HandleId id) {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(id) >> 32);
}

}  // namespace

struct OpenFiles::Memory {
  Header header;
  std::array<std::byte, 4096 - sizeof(Header)> zero;
  std::array<StoredHandle, kMost> handles;
  std::array<StoredFile, kMost> files;
};

Result<std::unique_ptr<OpenFiles>> OpenFiles::create(Fd memory) {
  if (::ftruncate(memory.get(), 0) != 0 || ::ftruncate(memory.get(), sizeof(Memory)) != 0) {
    return fail_errno(errno, "size the table of open files");
  }
  auto table = SPILLFS_TRY(map(memory));
  Header& header = table->memory_->header;
  put(header.size, sizeof(Memory));
  put(header.version, kOldestVersion);
  put(header.magic, kMagic);
  return table;
}

Result<std::unique_ptr<OpenFiles>> OpenFiles::create() {
  Fd memory(::memfd_create("spillfs-open-files", MFD_CLOEXEC));
  if (!memory) return fail_errno(errno, "make the table of open files");
  return create(std::move(memory));
}

Result<std::unique_ptr<OpenFiles>> OpenFiles::reopen(Fd memory) {
  static_assert(sizeof(Memory) == 4096 + kMost * (sizeof(StoredHandle) + sizeof(StoredFile)));
  static_assert(offsetof(Memory, handles) == 4096);
  static_assert(offsetof(Memory, files) == 4096 + kMost * sizeof(StoredHandle));
  struct stat found {};
  if (::fstat(memory.get(), &found) != 0) return fail_errno(errno, "stat the table of open files");
  if (found.st_size != sizeof(Memory)) return fail(EINVAL, "not the size of a table of open files");
  auto table = SPILLFS_TRY(map(memory));
  SPILLFS_TRY(table->check_header());
  table->find_free_rows();
  return table;
}

Result<std::unique_ptr<OpenFiles>> OpenFiles::map(const Fd& memory) {
  void* start =
      ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (start == MAP_FAILED) return fail_errno(errno, "map the table of open files");
  return std::unique_ptr<OpenFiles>(new OpenFiles(static_cast<Memory*>(start)));
}

OpenFiles::~OpenFiles() { ::munmap(memory_, sizeof(Memory)); }

Result<> OpenFiles::check_header() const {
  Header& header = memory_->header;
  if (get(header.magic) != kMagic) return fail(EINVAL, "not a table of open files");
  const std::uint32_t version = get(header.version);
  if (version < kOldestVersion || version > kVersion || get(header.size) != sizeof(Memory)) {
    return fail(EINVAL, "a table of open files of another version");
  }
  if (get(header.handles_used) > kMost || get(header.files_used) > kMost) {
    return fail(EINVAL, "a table of open files with more rows than it has");
  }
  return {};
}

void OpenFiles::find_free_rows() {
  const auto find = [](auto& rows, std::uint32_t used, auto& free) {
    for (std::uint32_t row = 0; row < used; ++row) {
      if (get(rows[row].inode) == 0) free.push(row);
    }
  };
  {
    MutexLock lock(handles_.mutex);
    find(memory_->handles, get(memory_->header.handles_used), handles_.rows);
  }
  MutexLock lock(files_.mutex);
  find(memory_->files, get(memory_->header.files_used), files_.rows);
}

Result<std::uint32_t> OpenFiles::take(FreeRows& free, std::uint32_t& used) {
  MutexLock lock(free.mutex);
  if (!free.rows.empty()) {
    const std::uint32_t row = free.rows.top();
    free.rows.pop();
    return row;
  }
  const std::uint32_t row = get(used);
  if (row == kMost) return fail(ENFILE, "too many open files");
  put(used, row + 1);
  return row;
}

Result<HandleId> OpenFiles::add(const OpenHandle& handle) {
  const std::uint32_t index = SPILLFS_TRY(take(handles_, memory_->header.handles_used));
  StoredHandle& row = memory_->handles[index];
  // From now on an earlier program, which would take the handle for another one, refuses the table.
  if (handle.mode == IoMode::kMapped) put(memory_->header.version, kVersion);
  std::uint32_t uses = get(row.uses) + 1;
  if (uses == 0) uses = 1;
  put(row.uses, uses);
  put(row.request, static_cast<std::uint64_t>(handle.request));
  put(row.flags, handle.flags);
  put(row.mode, static_cast<std::uint32_t>(handle.mode));
  put(row.opener, handle.opener);
  put(row.inode, number(handle.inode));
  return make_id(index, uses);
}

void OpenFiles::remove(HandleId id) {
  if (row_of(id) >= kMost) return;
  StoredHandle& row = memory_->handles[row_of(id)];
  MutexLock lock(handles_.mutex);
  // The inode first: add() puts it last, so where it is of a later use, the uses are too.
  if (get(row.inode) == 0 || get(row.uses) != uses_of(id)) return;
  put(row.inode, 0);
  handles_.rows.push(row_of(id));
}

Result<OpenFiles::FileRow> OpenFiles::add(const OpenFile& file) {
  const std::uint32_t index = SPILLFS_TRY(take(files_, memory_->header.files_used));
  StoredFile& row = memory_->files[index];
  put_fields(row, file);
  put(row.inode, number(file.inode));
  return FileRow{index};
}

void OpenFiles::update(FileRow row, const OpenFile& file) {
  put_fields(memory_->files[static_cast<std::uint32_t>(row)], file);
}

void OpenFiles::remove(FileRow row) {
  const auto index = static_cast<std::uint32_t>(row);
  put(memory_->files[index].inode, 0);
  MutexLock lock(files_.mutex);
  files_.rows.push(index);
}

std::vector<std::pair<HandleId, OpenHandle>> OpenFiles::handles() const {
  std::vector<std::pair<HandleId, OpenHandle>> found;
  const std::uint32_t used = get(memory_->header.handles_used);
  for (std::uint32_t i = 0; i < used; ++i) {
    StoredHandle& row = memory_->handles[i];
    const OpenHandle handle = get_handle(row);
    if (handle.inode != InodeId{}) found.emplace_back(make_id(i, get(row.uses)), handle);
  }
  return found;
}

std::vector<std::pair<OpenFiles::FileRow, OpenFile>> OpenFiles::files() const {
  std::vector<std::pair<FileRow, OpenFile>> found;
  const std::uint32_t used = get(memory_->header.files_used);
  for (std::uint32_t i = 0; i < used; ++i) {
    const OpenFile file = get_file(memory_->files[i]);
    if (file.inode != InodeId{}) found.emplace_back(FileRow{i}, file);
  }
  return found;
}

void OpenFiles::note_backing(int id) {
  const std::atomic_ref<std::int32_t> highest(memory_->header.highest_backing);
  std::int32_t known = highest.load();
  while (known < id && !highest.compare_exchange_weak(known, id)) {
  }
}

int OpenFiles::highest_backing() const { return get(memory_->header.highest_backing); }

}  // namespace spillfs::fs
