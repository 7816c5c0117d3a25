// SPDX-License-Identifier: Apache-2.0
// Ray's storages for testing how a runtime takes failures and delays: another storage, made worse.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/mutex.h"
#include "storage/external/external_storage.h"

namespace spillfs::storage::external {

// Passes everything on.
class ForwardingStorage : public ExternalStorage {
 public:
  explicit ForwardingStorage(std::unique_ptr<ExternalStorage> inner) : inner_(std::move(inner)) {}

  Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects) override {
    return inner_->spill_objects(objects);
  }
  Result<std::uint64_t> restore_spilled_objects(std::span<const std::string> refs,
                                                std::span<const std::string> urls,
                                                ObjectSink& sink) override {
    return inner_->restore_spilled_objects(refs, urls, sink);
  }
  Result<> delete_spilled_objects(std::span<const std::string> urls) override {
    return inner_->delete_spilled_objects(urls);
  }
  Result<> destroy_external_storage() override { return inner_->destroy_external_storage(); }

 private:
  const std::unique_ptr<ExternalStorage> inner_;
};

struct UnstableOptions {
  double failure_rate = 0.1;           // of the spills: EIO
  double partial_failure_ratio = 0.2;  // of the spills: failures, and spills of only some objects
  std::optional<std::uint64_t> seed;   // none: another one for every storage
};

// Some spills fail; some spill only the first few objects, down to none, and return their urls.
class UnstableStorage final : public ForwardingStorage {
 public:
  UnstableStorage(std::unique_ptr<ExternalStorage> inner, const UnstableOptions& options);
  Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects) override;

 private:
  const UnstableOptions options_;
  Mutex mutex_;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
};

struct SlowOptions {
  std::chrono::duration<double> min_delay{1};
  std::chrono::duration<double> max_delay{2};
};

// Every spill waits between min_delay and max_delay first.
class SlowStorage final : public ForwardingStorage {
 public:
  SlowStorage(std::unique_ptr<ExternalStorage> inner, SlowOptions options)
      : ForwardingStorage(std::move(inner)), options_(options), random_(std::random_device()()) {}
  Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects) override;

 private:
  const SlowOptions options_;
  Mutex mutex_;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::storage::external
