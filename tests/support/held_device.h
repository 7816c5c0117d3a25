// SPDX-License-Identifier: Apache-2.0
// A Device whose direct writes and write-backs wait until they are let go, or fail.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "storage/base/mutex.h"
#include "tests/support/shared.h"

namespace spillfs::tests {

// Shared by a device, its files and the test.
class Gate {
 public:
  void close() {
    MutexLock lock(mutex_);
    open_ = false;
  }
  void open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // Every one from now on fails; 0: none does.
  void fail_with(int code) {
    MutexLock lock(mutex_);
    code_ = code;
  }
  // Until so many have come, since the start.
  void wait_for(std::size_t count) {
    MutexLock lock(mutex_);
    while (arrived_ < count) changed_.wait(mutex_);
  }

  // For the files.
  Result<> pass() {
    MutexLock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    while (!open_) changed_.wait(mutex_);
    return code_ == 0 ? Result<>{} : fail(code_, "injected fault");
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = true;
  int code_ GUARDED_BY(mutex_) = 0;
  std::size_t arrived_ GUARDED_BY(mutex_) = 0;
};

class HeldFile final : public storage::File {
 public:
  HeldFile(std::shared_ptr<storage::File> inner, std::shared_ptr<Gate> gate)
      : inner_(std::move(inner)), gate_(std::move(gate)) {}
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return inner_->read(into, offset);
  }
  Result<> write(Bytes from, std::uint64_t offset) override { return inner_->write(from, offset); }
  Result<> write_parts(std::span<const Bytes> parts, std::uint64_t offset) override {
    return inner_->write_parts(parts, offset);
  }
  Result<> write_back(std::uint64_t offset, std::uint64_t length) override {
    SPILLFS_TRY(gate_->pass());
    return inner_->write_back(offset, length);
  }
  Result<> write_direct(std::span<const Bytes> parts, std::uint64_t offset) override {
    SPILLFS_TRY(gate_->pass());
    return inner_->write_direct(parts, offset);
  }
  Result<> resize(std::uint64_t size) override { return inner_->resize(size); }
  Result<> allocate(storage::AllocateMode mode, std::uint64_t offset,
                    std::uint64_t length) override {
    return inner_->allocate(mode, offset, length);
  }
  Result<std::uint64_t> seek(storage::SeekKind kind, std::uint64_t offset) override {
    return inner_->seek(kind, offset);
  }
  Result<storage::FileStatus> status() override { return inner_->status(); }
  Result<> sync() override { return inner_->sync(); }
  Result<> set_attribute(const std::string& name, std::string_view value) override {
    return inner_->set_attribute(name, value);
  }
  Result<std::string> attribute(const std::string& name) override {
    return inner_->attribute(name);
  }

 private:
  const std::shared_ptr<storage::File> inner_;
  const std::shared_ptr<Gate> gate_;
};

class HeldDevice final : public SharedDevice {
 public:
  HeldDevice(std::shared_ptr<Device> inner, std::shared_ptr<Gate> gate)
      : SharedDevice(std::move(inner)), gate_(std::move(gate)) {}
  Result<std::shared_ptr<storage::File>> create(const std::string& path) override {
    return std::make_shared<HeldFile>(SPILLFS_TRY(SharedDevice::create(path)), gate_);
  }
  Result<std::shared_ptr<storage::File>> open(const std::string& path) override {
    return std::make_shared<HeldFile>(SPILLFS_TRY(SharedDevice::open(path)), gate_);
  }

 private:
  const std::shared_ptr<Gate> gate_;
};

}  // namespace spillfs::tests
