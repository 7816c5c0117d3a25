// SPDX-License-Identifier: Apache-2.0
#include "storage/faulty_device.h"

#include <unistd.h>

#include <thread>

namespace spillfs::storage {
namespace {

Failure injected(const FaultPlan::Fault& fault) { return fail(fault.code, "injected fault"); }

class FaultyFile final : public File {
 public:
  FaultyFile(std::shared_ptr<File> inner, std::shared_ptr<FaultPlan> plan)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    const auto fault = plan_->next("read");
    if (fault && fault->kind != FaultKind::kShortRead) return injected(*fault);
    const std::size_t got = SPILLFS_TRY(inner_->read(into, offset));
    return fault ? got / 2 : got;
  }
  Result<> write(Bytes from, std::uint64_t offset) override {
    const auto fault = plan_->next("write");
    if (!fault) return inner_->write(from, offset);
    if (fault->kind == FaultKind::kHalfWrite) {
      SPILLFS_TRY(inner_->write(from.first(from.size() / 2), offset));
    }
    return injected(*fault);
  }
  Result<> write_parts(std::span<const Bytes> parts, std::uint64_t offset) override {
    return write_by("write_parts", &File::write_parts, parts, offset);
  }
  Result<> write_direct(std::span<const Bytes> parts, std::uint64_t offset) override {
    return write_by("write_direct", &File::write_direct, parts, offset);
  }
  Result<> write_back(std::uint64_t offset, std::uint64_t length) override {
    if (const auto fault = plan_->next("write_back")) return injected(*fault);
    return inner_->write_back(offset, length);
  }
  Result<> resize(std::uint64_t size) override {
    if (const auto fault = plan_->next("resize")) return injected(*fault);
    return inner_->resize(size);
  }
  Result<> allocate(AllocateMode mode, std::uint64_t offset, std::uint64_t length) override {
    if (const auto fault = plan_->next("allocate")) return injected(*fault);
    return inner_->allocate(mode, offset, length);
  }
  Result<std::uint64_t> seek(SeekKind kind, std::uint64_t offset) override {
    if (const auto fault = plan_->next("seek")) return injected(*fault);
    return inner_->seek(kind, offset);
  }
  Result<FileStatus> status() override {
    if (const auto fault = plan_->next("status")) return injected(*fault);
    return inner_->status();
  }
  Result<> sync() override {
    if (const auto fault = plan_->next("sync")) return injected(*fault);
    return inner_->sync();
  }
  Result<> set_attribute(const std::string& name, std::string_view value) override {
    if (const auto fault = plan_->next("set_attribute")) return injected(*fault);
    return inner_->set_attribute(name, value);
  }
  Result<std::string> attribute(const std::string& name) override {
    if (const auto fault = plan_->next("attribute")) return injected(*fault);
    return inner_->attribute(name);
  }
  [[nodiscard]] int descriptor() const override { return inner_->descriptor(); }

 private:
  using WriteParts = Result<> (File::*)(std::span<const Bytes>, std::uint64_t);
  Result<> write_by(std::string_view call, WriteParts how, std::span<const Bytes> parts,
                    std::uint64_t offset) {
    const auto fault = plan_->next(call);
    if (!fault) return (*inner_.*how)(parts, offset);
    if (fault->kind == FaultKind::kHalfWrite) {
      SPILLFS_TRY((*inner_.*how)(parts.first(parts.size() / 2), offset));
    }
    return injected(*fault);
  }

  const std::shared_ptr<File> inner_;
  const std::shared_ptr<FaultPlan> plan_;
};

}  // namespace

void FaultPlan::fail_at(std::uint64_t n, Fault fault) {
  MutexLock lock(mutex_);
  count_ = 0;
  at_ = n;
  fired_ = false;
  calls_.clear();
  fault_ = std::move(fault);
}

void FaultPlan::clear() { fail_at(0, {}); }

std::uint64_t FaultPlan::count() const {
  MutexLock lock(mutex_);
  return count_;
}

bool FaultPlan::fired() const {
  MutexLock lock(mutex_);
  return fired_;
}

std::map<std::string, std::uint64_t> FaultPlan::calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

std::optional<FaultPlan::Fault> FaultPlan::next(std::string_view call) {
  auto fault = due(call);
  if (!fault || fault->kind != FaultKind::kSlow) return fault;
  std::this_thread::sleep_for(fault->delay);
  return std::nullopt;
}

std::optional<FaultPlan::Fault> FaultPlan::due(std::string_view call) {
  MutexLock lock(mutex_);
  ++calls_[std::string(call)];
  if (!fault_.call.empty() && call != fault_.call) return std::nullopt;
  if (fault_.kind == FaultKind::kShortRead && call != "read") return std::nullopt;
  ++count_;
  const bool goes_on = fault_.kind == FaultKind::kForGood || fault_.kind == FaultKind::kSlow;
  if (at_ == 0 || count_ < at_ || (count_ > at_ && !goes_on)) return std::nullopt;
  fired_ = true;
  if (fault_.kind == FaultKind::kDies) ::_exit(kDied);
  return fault_;
}

FaultyDevice::FaultyDevice(std::shared_ptr<Device> inner, std::shared_ptr<FaultPlan> plan)
    : inner_(std::move(inner)), plan_(std::move(plan)) {}

Result<std::shared_ptr<File>> FaultyDevice::create(const std::string& path) {
  if (const auto fault = plan_->next("create")) return injected(*fault);
  return std::make_shared<FaultyFile>(SPILLFS_TRY(inner_->create(path)), plan_);
}

Result<std::shared_ptr<File>> FaultyDevice::open(const std::string& path) {
  if (const auto fault = plan_->next("open")) return injected(*fault);
  return std::make_shared<FaultyFile>(SPILLFS_TRY(inner_->open(path)), plan_);
}

Result<> FaultyDevice::remove(const std::string& path) {
  if (const auto fault = plan_->next("remove")) return injected(*fault);
  return inner_->remove(path);
}

Result<> FaultyDevice::rename(const std::string& from, const std::string& to) {
  if (const auto fault = plan_->next("rename")) return injected(*fault);
  return inner_->rename(from, to);
}

Result<std::vector<std::string>> FaultyDevice::list(const std::string& folder) {
  if (const auto fault = plan_->next("list")) return injected(*fault);
  return inner_->list(folder);
}

Result<> FaultyDevice::sync_folder(const std::string& folder) {
  if (const auto fault = plan_->next("sync_folder")) return injected(*fault);
  return inner_->sync_folder(folder);
}

Result<> FaultyDevice::sync_all() {
  if (const auto fault = plan_->next("sync_all")) return injected(*fault);
  return inner_->sync_all();
}

Result<bool> FaultyDevice::may_be_written(const std::string& path) {
  if (const auto fault = plan_->next("may_be_written")) return injected(*fault);
  return inner_->may_be_written(path);
}

Result<DeviceSpace> FaultyDevice::space() {
  if (const auto fault = plan_->next("space")) return injected(*fault);
  return inner_->space();
}

}  // namespace spillfs::storage
