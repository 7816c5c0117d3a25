// SPDX-License-Identifier: Apache-2.0
#include "storage/read_only_device.h"

#include <cerrno>

namespace spillfs::storage {
namespace {

Failure refuse_change(const std::string& doing, Where where = Where::here()) {
  return fail(EROFS, doing + ": the store is mounted read-only", where);
}

class ReadOnlyFile final : public File {
 public:
  explicit ReadOnlyFile(std::shared_ptr<File> inner) : inner_(std::move(inner)) {}

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return inner_->read(into, offset);
  }
  Result<std::size_t> read_direct(MutableBytes into, std::uint64_t offset) override {
    return inner_->read_direct(into, offset);
  }
  Result<> write(Bytes /*from*/, std::uint64_t /*offset*/) override {
    return refuse_change("write a segment");
  }
  Result<> write_parts(std::span<const Bytes> /*parts*/, std::uint64_t /*offset*/) override {
    return refuse_change("write a segment");
  }
  Result<> write_direct(std::span<const Bytes> /*parts*/, std::uint64_t /*offset*/) override {
    return refuse_change("write a segment");
  }
  Result<> write_back(std::uint64_t /*offset*/, std::uint64_t /*length*/) override { return {}; }
  Result<> resize(std::uint64_t /*size*/) override { return refuse_change("resize a segment"); }
  Result<> allocate(AllocateMode /*mode*/, std::uint64_t /*offset*/,
                    std::uint64_t /*length*/) override {
    return refuse_change("allocate a segment");
  }
  Result<std::uint64_t> seek(SeekKind kind, std::uint64_t offset) override {
    return inner_->seek(kind, offset);
  }
  Result<FileStatus> status() override { return inner_->status(); }
  Result<> sync() override { return {}; }
  Result<> set_attribute(const std::string& /*name*/, std::string_view /*value*/) override {
    return refuse_change("label a segment");
  }
  Result<std::string> attribute(const std::string& name) override {
    return inner_->attribute(name);
  }
  [[nodiscard]] int descriptor() const override { return inner_->descriptor(); }

 private:
  const std::shared_ptr<File> inner_;
};

}  // namespace

Result<std::shared_ptr<File>> ReadOnlyDevice::create(const std::string& path) {
  return refuse_change("make " + path);
}

Result<std::shared_ptr<File>> ReadOnlyDevice::open(const std::string& path) {
  return std::make_shared<ReadOnlyFile>(SPILLFS_TRY(inner_->open(path)));
}

Result<> ReadOnlyDevice::remove(const std::string& path) { return refuse_change("remove " + path); }

Result<> ReadOnlyDevice::rename(const std::string& from, const std::string& /*to*/) {
  return refuse_change("rename " + from);
}

Result<std::vector<std::string>> ReadOnlyDevice::list(const std::string& folder) {
  return inner_->list(folder);
}

Result<> ReadOnlyDevice::sync_folder(const std::string& /*folder*/) { return {}; }
Result<> ReadOnlyDevice::sync_all() { return {}; }

Result<bool> ReadOnlyDevice::may_be_written(const std::string& path) {
  return inner_->may_be_written(path);
}

Result<DeviceSpace> ReadOnlyDevice::space() { return inner_->space(); }

}  // namespace spillfs::storage
