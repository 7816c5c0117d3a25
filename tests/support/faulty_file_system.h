// SPDX-License-Identifier: Apache-2.0
// FaultyFileSystem: the machine's files for RocksDB, of which some calls fail for as long as a test
// says so. Threads: any.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "storage/base/mutex.h"

namespace spillfs::tests {

enum class FileCall : std::uint8_t { kNone, kAppend, kSync, kRead };

class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  FaultyFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  [[nodiscard]] const char* Name() const override { return "FaultyFileSystem"; }

  // Every such call on a file whose name has `ending` fails with `code` (EIO or ENOSPC) until
  // heal(); an append when half of it is written.
  void fail(FileCall call, std::string ending, int code) {
    MutexLock lock(mutex_);
    call_ = call;
    ending_ = std::move(ending);
    code_ = code;
    count_ = 0;
  }
  void heal() { fail(FileCall::kNone, "", 0); }
  std::uint64_t count() const {
    MutexLock lock(mutex_);
    return count_;
  }

  rocksdb::IOStatus check(FileCall call, const std::string& name) {
    MutexLock lock(mutex_);
    if (call != call_ || !name.ends_with(ending_)) return rocksdb::IOStatus::OK();
    ++count_;
    if (code_ != ENOSPC) return rocksdb::IOStatus::IOError("injected fault", name);
    auto status = rocksdb::IOStatus::NoSpace("injected fault", name);
    status.SetRetryable(true);  // as RocksDB's own does
    return status;
  }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    auto status = FileSystemWrapper::NewWritableFile(name, options, file, debug);
    if (status.ok()) *file = std::make_unique<Writable>(*this, name, std::move(*file));
    return status;
  }
  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext* debug) override {
    auto status = FileSystemWrapper::NewRandomAccessFile(name, options, file, debug);
    if (status.ok()) *file = std::make_unique<Readable>(*this, name, std::move(*file));
    return status;
  }

 private:
  class Writable final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    Writable(FaultyFileSystem& on, std::string name, std::unique_ptr<rocksdb::FSWritableFile> inner)
        : FSWritableFileOwnerWrapper(std::move(inner)), on_(on), name_(std::move(name)) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      auto fault = on_.check(FileCall::kAppend, name_);
      if (fault.ok()) return FSWritableFileOwnerWrapper::Append(data, options, debug);
      const rocksdb::Slice half(data.data(), data.size() / 2);
      const auto put = FSWritableFileOwnerWrapper::Append(half, options, debug);
      return put.ok() ? fault : put;
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
      auto fault = on_.check(FileCall::kSync, name_);
      return fault.ok() ? FSWritableFileOwnerWrapper::Sync(options, debug) : fault;
    }

   private:
    FaultyFileSystem& on_;
    const std::string name_;
  };

  class Readable final : public rocksdb::FSRandomAccessFileOwnerWrapper {
   public:
    Readable(FaultyFileSystem& on, std::string name,
             std::unique_ptr<rocksdb::FSRandomAccessFile> inner)
        : FSRandomAccessFileOwnerWrapper(std::move(inner)), on_(on), name_(std::move(name)) {}
    rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size,
                           const rocksdb::IOOptions& options, rocksdb::Slice* result, char* scratch,
                           rocksdb::IODebugContext* debug) const override {
      auto fault = on_.check(FileCall::kRead, name_);
      if (!fault.ok()) return fault;
      return FSRandomAccessFileOwnerWrapper::Read(offset, size, options, result, scratch, debug);
    }

   private:
    FaultyFileSystem& on_;
    const std::string name_;
  };

  mutable Mutex mutex_;
  FileCall call_ GUARDED_BY(mutex_) = FileCall::kNone;
  std::string ending_ GUARDED_BY(mutex_);
  int code_ GUARDED_BY(mutex_) = 0;
  std::uint64_t count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spillfs::tests
