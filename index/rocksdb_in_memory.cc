// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_in_memory.h"

#include <rocksdb/file_system.h>

#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/mutex.h"

namespace spillfs::index {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// RocksDB writes a path now with one slash and now with two.
std::string plain(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

IOStatus not_there(const std::string& path) { return IOStatus::PathNotFound(path); }
IOStatus not_in_memory() { return IOStatus::NotSupported("changes stay in memory"); }

// All that is in it is in memory: there is nothing to sync.
class NothingToSync final : public rocksdb::FSDirectory {
 public:
  IOStatus Fsync(const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
    return IOStatus::OK();
  }
};

class NoLock final : public rocksdb::FileLock {};

// Two layers: RocksDB's file system in memory, which takes all that is written, over another, which
// is only read. Removed files of the lower one are remembered by name.
class InMemoryChanges final : public rocksdb::FileSystemWrapper {
 public:
  InMemoryChanges(const std::shared_ptr<rocksdb::FileSystem>& disk,
                  std::shared_ptr<rocksdb::FileSystem> memory)
      : FileSystemWrapper(disk), memory_(std::move(memory)) {}

  [[nodiscard]] const char* Name() const override { return "spillfs.InMemoryChanges"; }

  IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file,
                             IODebugContext* debug) override {
    auto* layer = layer_of(path);
    return layer == nullptr ? not_there(path)
                            : layer->NewSequentialFile(path, options, file, debug);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                               IODebugContext* debug) override {
    auto* layer = layer_of(path);
    return layer == nullptr ? not_there(path)
                            : layer->NewRandomAccessFile(path, options, file, debug);
  }
  IOStatus FileExists(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    auto* layer = layer_of(path);
    return layer == nullptr ? IOStatus::NotFound() : layer->FileExists(path, options, debug);
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, std::uint64_t* size,
                       IODebugContext* debug) override {
    auto* layer = layer_of(path);
    return layer == nullptr ? not_there(path) : layer->GetFileSize(path, options, size, debug);
  }
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions& options,
                                   std::uint64_t* time, IODebugContext* debug) override {
    auto* layer = layer_of(path);
    return layer == nullptr ? not_there(path)
                            : layer->GetFileModificationTime(path, options, time, debug);
  }
  IOStatus GetChildren(const std::string& folder, const IOOptions& options,
                       std::vector<std::string>* names, IODebugContext* debug) override {
    std::vector<std::string> below;
    std::vector<std::string> above;
    if (auto listed = target_->GetChildren(folder, options, &below, debug); !listed.ok()) {
      return listed;
    }
    static_cast<void>(memory_->GetChildren(folder, options, &above, debug));  // it may have none
    std::set<std::string> all(above.begin(), above.end());
    for (const std::string& name : below) {
      if (!is_removed((std::filesystem::path(folder) / name).string())) all.insert(name);
    }
    names->assign(all.begin(), all.end());
    return IOStatus::OK();
  }
  IOStatus GetChildrenFileAttributes(const std::string& folder, const IOOptions& options,
                                     std::vector<rocksdb::FileAttributes>* found,
                                     IODebugContext* debug) override {
    // Of both layers, by GetChildren(); the wrapper's would ask the lower one alone.
    return FileSystem::GetChildrenFileAttributes(folder, options, found, debug);  // NOLINT
  }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    return memory_->NewWritableFile(path, options, file, debug);
  }
  IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file,
                              IODebugContext* debug) override {
    if (!is_in_memory(path)) return not_in_memory();
    return memory_->ReopenWritableFile(path, options, file, debug);
  }
  IOStatus ReuseWritableFile(const std::string& /*path*/, const std::string& /*old_path*/,
                             const rocksdb::FileOptions& /*options*/,
                             std::unique_ptr<rocksdb::FSWritableFile>* /*file*/,
                             IODebugContext* /*debug*/) override {
    return not_in_memory();
  }
  IOStatus NewRandomRWFile(const std::string& /*path*/, const rocksdb::FileOptions& /*options*/,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* /*file*/,
                           IODebugContext* /*debug*/) override {
    return not_in_memory();
  }
  IOStatus NewMemoryMappedFileBuffer(
      const std::string& /*path*/,
      std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* /*buffer*/) override {
    return not_in_memory();
  }
  IOStatus Truncate(const std::string& path, std::size_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    return is_in_memory(path) ? memory_->Truncate(path, size, options, debug) : not_in_memory();
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    const bool above = is_in_memory(path);
    const bool below = !is_removed(path) && target_->FileExists(path, options, debug).ok();
    if (!above && !below) return not_there(path);
    if (below) remember_removed(path);
    return above ? memory_->DeleteFile(path, options, debug) : IOStatus::OK();
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    return is_in_memory(from) ? memory_->RenameFile(from, to, options, debug) : not_in_memory();
  }
  IOStatus LinkFile(const std::string& /*from*/, const std::string& /*to*/,
                    const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
    return not_in_memory();
  }
  IOStatus NumFileLinks(const std::string& /*path*/, const IOOptions& /*options*/,
                        std::uint64_t* count, IODebugContext* /*debug*/) override {
    *count = 1;
    return IOStatus::OK();
  }
  IOStatus AreFilesSame(const std::string& one, const std::string& other,
                        const IOOptions& /*options*/, bool* same,
                        IODebugContext* /*debug*/) override {
    *same = plain(one) == plain(other);
    return IOStatus::OK();
  }

  IOStatus NewDirectory(const std::string& /*path*/, const IOOptions& /*options*/,
                        std::unique_ptr<rocksdb::FSDirectory>* folder,
                        IODebugContext* /*debug*/) override {
    *folder = std::make_unique<NothingToSync>();
    return IOStatus::OK();
  }
  IOStatus CreateDir(const std::string& /*path*/, const IOOptions& /*options*/,
                     IODebugContext* /*debug*/) override {
    return IOStatus::OK();
  }
  IOStatus CreateDirIfMissing(const std::string& /*path*/, const IOOptions& /*options*/,
                              IODebugContext* /*debug*/) override {
    return IOStatus::OK();
  }
  IOStatus DeleteDir(const std::string& /*path*/, const IOOptions& /*options*/,
                     IODebugContext* /*debug*/) override {
    return IOStatus::OK();
  }
  IOStatus LockFile(const std::string& /*path*/, const IOOptions& /*options*/,
                    rocksdb::FileLock** lock, IODebugContext* /*debug*/) override {
    *lock = &no_lock_;
    return IOStatus::OK();
  }
  IOStatus UnlockFile(rocksdb::FileLock* /*lock*/, const IOOptions& /*options*/,
                      IODebugContext* /*debug*/) override {
    return IOStatus::OK();
  }
  IOStatus NewLogger(const std::string& /*path*/, const IOOptions& /*options*/,
                     std::shared_ptr<rocksdb::Logger>* /*logger*/,
                     IODebugContext* /*debug*/) override {
    return not_in_memory();
  }

 private:
  bool is_in_memory(const std::string& path) { return memory_->FileExists(path, {}, nullptr).ok(); }

  bool is_removed(const std::string& path) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return removed_.contains(plain(path));
  }

  void remember_removed(const std::string& path) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    removed_.insert(plain(path));
  }

  // Null where there is no such file.
  rocksdb::FileSystem* layer_of(const std::string& path) {
    if (is_in_memory(path)) return memory_.get();
    return is_removed(path) ? nullptr : target_.get();
  }

  const std::shared_ptr<rocksdb::FileSystem> memory_;
  NoLock no_lock_;
  Mutex mutex_;
  std::set<std::string> removed_ GUARDED_BY(mutex_);  // of the lower layer
};

}  // namespace

std::shared_ptr<rocksdb::Env> keep_changes_in_memory(rocksdb::Env& base) {
  const std::unique_ptr<rocksdb::Env> memory(rocksdb::NewMemEnv(&base));
  return rocksdb::NewCompositeEnv(
      std::make_shared<InMemoryChanges>(base.GetFileSystem(), memory->GetFileSystem()));
}

}  // namespace spillfs::index
