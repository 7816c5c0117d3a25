// SPDX-License-Identifier: Apache-2.0
#include "storage/external/external_storage.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "storage/base/mutex.h"
#include "storage/external/beneath_directory.h"
#include "storage/external/external_config.h"
#include "storage/external/object_store_storage.h"
#include "storage/external/object_uri.h"
#include "storage/external/test_storages.h"

namespace spillfs::storage::external {
namespace {

// Before a storage is set up.
class NullStorage final : public ExternalStorage {
 public:
  Result<std::vector<std::string>> spill_objects(std::span<const SpillObject>) override {
    return refuse();
  }
  Result<std::uint64_t> restore_spilled_objects(std::span<const std::string>,
                                                std::span<const std::string>,
                                                ObjectSink&) override {
    return refuse();
  }
  Result<> delete_spilled_objects(std::span<const std::string>) override { return refuse(); }
  Result<> destroy_external_storage() override { return refuse(); }

 private:
  static Failure refuse() { return fail(ENOSYS, "External storage is not initialized"); }
};

// The way to the root is the config's own; beneath it others may have put links.
Result<> make_folder(const FolderConfig& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder.root, error);
  if (error) return fail_errno(error.value(), fmt::format("make {}/{}", folder.root, folder.name));
  const BeneathDirectory root = SPILLFS_TRY(BeneathDirectory::open(folder.root));
  SPILLFS_TRY(root.make_folder(folder.name));
  return {};
}

Result<std::unique_ptr<ExternalStorage>> open_places(const StorageConfig& config,
                                                     SpillHooks hooks) {
  for (const FolderConfig& folder : config.folders) SPILLFS_TRY(make_folder(folder));
  StorageParts parts{.places = {}, .scheme = config.scheme, .hooks = std::move(hooks)};
  for (const PlaceConfig& place : config.places) {
    std::shared_ptr<ObjectStore> store = SPILLFS_TRY(open_object_store(place.uri, config.s3));
    parts.places.push_back({.store = std::move(store),
                            .key_prefix = place.key_prefix,
                            .url_prefix = place.url_prefix,
                            .also = place.also});
  }
  return std::make_unique<ObjectStoreStorage>(std::move(parts));
}

// The storage of the process, for the functions that have no storage argument.
class ProcessStorage {
 public:
  static ProcessStorage& instance() {
    static ProcessStorage only;
    return only;
  }
  void set(std::shared_ptr<ExternalStorage> storage) {
    MutexLock lock(mutex_);
    storage_ = std::move(storage);
  }
  // Stays usable while another one is set.
  std::shared_ptr<ExternalStorage> get() {
    MutexLock lock(mutex_);
    return storage_;
  }

 private:
  Mutex mutex_;
  std::shared_ptr<ExternalStorage> storage_ GUARDED_BY(mutex_) = std::make_shared<NullStorage>();
};

}  // namespace

Result<std::unique_ptr<ExternalStorage>> make_external_storage(std::string_view config,
                                                               const std::string& session,
                                                               SpillHooks hooks) {
  const StorageConfig parsed = SPILLFS_TRY(parse_storage_config(config, session));
  if (parsed.places.empty()) return std::make_unique<NullStorage>();
  auto storage = SPILLFS_TRY(open_places(parsed, std::move(hooks)));
  if (parsed.unstable) {
    storage = std::make_unique<UnstableStorage>(std::move(storage), *parsed.unstable);
  }
  if (parsed.slow) storage = std::make_unique<SlowStorage>(std::move(storage), *parsed.slow);
  return storage;
}

Result<> setup_external_storage(std::string_view config, const std::string& session) {
  ProcessStorage::instance().set(SPILLFS_TRY(make_external_storage(config, session)));
  return {};
}

void reset_external_storage() { ProcessStorage::instance().set(std::make_shared<NullStorage>()); }

Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects) {
  return ProcessStorage::instance().get()->spill_objects(objects);
}

Result<std::uint64_t> restore_spilled_objects(std::span<const std::string> refs,
                                              std::span<const std::string> urls, ObjectSink& sink) {
  return ProcessStorage::instance().get()->restore_spilled_objects(refs, urls, sink);
}

Result<> delete_spilled_objects(std::span<const std::string> urls) {
  return ProcessStorage::instance().get()->delete_spilled_objects(urls);
}

}  // namespace spillfs::storage::external
