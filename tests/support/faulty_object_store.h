// SPDX-License-Identifier: Apache-2.0
// An object store whose N-th call fails, for every N in turn. Calls of its writers count alike.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "storage/external/object_store.h"
#include "storage/faulty_device.h"

namespace spillfs::tests {

class FaultyObjectStore final : public storage::external::ObjectStore {
 public:
  FaultyObjectStore(std::shared_ptr<ObjectStore> inner, std::shared_ptr<storage::FaultPlan> plan)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  Result<std::unique_ptr<storage::external::ObjectWriter>> create(const std::string& key) override {
    SPILLFS_TRY(count("object create"));
    return std::make_unique<Writer>(*this, SPILLFS_TRY(inner_->create(key)));
  }
  Result<std::size_t> read(const std::string& key, MutableBytes into,
                           std::uint64_t offset) override {
    SPILLFS_TRY(count("object read"));
    return inner_->read(key, into, offset);
  }
  Result<> remove(std::span<const std::string> keys) override {
    SPILLFS_TRY(count("object remove"));
    return inner_->remove(keys);
  }
  Result<> remove_all(const std::string& prefix) override {
    SPILLFS_TRY(count("object remove_all"));
    return inner_->remove_all(prefix);
  }
  [[nodiscard]] bool is_at(const std::string& root) const override { return inner_->is_at(root); }

 private:
  class Writer final : public storage::external::ObjectWriter {
   public:
    Writer(FaultyObjectStore& store, std::unique_ptr<ObjectWriter> inner)
        : store_(store), inner_(std::move(inner)) {}
    Result<> write(Bytes from) override {
      const auto fault = store_.plan_->next("object write");
      if (!fault) return inner_->write(from);
      if (fault->kind == storage::FaultKind::kHalfWrite) {
        SPILLFS_TRY(inner_->write(from.first(from.size() / 2)));
      }
      return fail(fault->code, "injected fault");
    }
    Result<> finish() override {
      SPILLFS_TRY(store_.count("object finish"));
      return inner_->finish();
    }

   private:
    FaultyObjectStore& store_;
    const std::unique_ptr<ObjectWriter> inner_;
  };

  Result<> count(const char* call) {
    if (const auto fault = plan_->next(call)) return fail(fault->code, "injected fault");
    return {};
  }

  const std::shared_ptr<ObjectStore> inner_;
  const std::shared_ptr<storage::FaultPlan> plan_;
};

}  // namespace spillfs::tests
