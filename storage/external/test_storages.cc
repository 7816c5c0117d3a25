// SPDX-License-Identifier: Apache-2.0
#include "storage/external/test_storages.h"

#include <thread>

namespace spillfs::storage::external {
namespace {

double random_below(double limit, std::mt19937_64& random) {
  return std::uniform_real_distribution<double>(0, 1)(random) * limit;
}

}  // namespace

UnstableStorage::UnstableStorage(std::unique_ptr<ExternalStorage> inner,
                                 const UnstableOptions& options)
    : ForwardingStorage(std::move(inner)),
      options_(options),
      random_(options.seed ? *options.seed : std::random_device()()) {}

Result<std::vector<std::string>> UnstableStorage::spill_objects(
    std::span<const SpillObject> objects) {
  if (objects.empty()) return std::vector<std::string>();
  double chance = 0;
  std::size_t count = objects.size();
  {
    MutexLock lock(mutex_);
    chance = random_below(1, random_);
    if (chance < options_.partial_failure_ratio) count = random_() % objects.size();
  }
  if (chance < options_.failure_rate) {
    return fail(EIO, "Spilling object failed intentionally for testing.");
  }
  return ForwardingStorage::spill_objects(objects.first(count));
}

Result<std::vector<std::string>> SlowStorage::spill_objects(std::span<const SpillObject> objects) {
  std::chrono::duration<double> delay = options_.min_delay;
  {
    MutexLock lock(mutex_);
    delay += (options_.max_delay - options_.min_delay) * random_below(1, random_);
  }
  std::this_thread::sleep_for(delay);
  return ForwardingStorage::spill_objects(objects);
}

}  // namespace spillfs::storage::external
