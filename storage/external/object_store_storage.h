// SPDX-License-Identifier: Apache-2.0
// ObjectStoreStorage: Ray's filesystem, ray_storage and smart_open storages, which differ only in
// the object stores their files are in and in how keys and urls begin.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/mutex.h"
#include "storage/external/external_storage.h"
#include "storage/external/object_store.h"

namespace spillfs::storage::external {

// Where new files go: the objects of `store` whose keys begin with `key_prefix` are the storage's.
struct Place {
  std::shared_ptr<ObjectStore> store;
  std::string key_prefix;  // "ray_spilled_objects/"
  std::string url_prefix;  // what urls have in its place: "/mnt/spill/ray_spilled_objects/"
};

struct StorageParts {
  std::vector<Place> places;  // at least one; new files go round robin from a random one
  // Opens the store of urls of other storages, by its uri: "s3://bucket", "/" or ".".
  std::function<Result<std::shared_ptr<ObjectStore>>(const std::string& uri)> open;
  std::string scheme;  // what urls lack of a uri: "s3://" for ray_storage in S3
  SpillHooks hooks;
};

// A uri's store and the key in it: "s3://bucket/a/b" -> "s3://bucket", "a/b"; "/a/b" -> "/", "a/b".
// EINVAL where there is no key.
struct StoreAndKey {
  std::string store;
  std::string key;
};
Result<StoreAndKey> split_uri(const std::string& uri);

class ObjectStoreStorage final : public ExternalStorage {
 public:
  explicit ObjectStoreStorage(StorageParts parts);

  Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects) override;
  Result<std::uint64_t> restore_spilled_objects(std::span<const std::string> refs,
                                                std::span<const std::string> urls,
                                                ObjectSink& sink) override;
  Result<> delete_spilled_objects(std::span<const std::string> urls) override;
  Result<> destroy_external_storage() override;

 private:
  struct Located {
    std::shared_ptr<ObjectStore> store;
    std::string key;
  };
  // The file that `base`, a url without offset and size, names.
  Result<Located> locate(const std::string& base);
  Result<std::shared_ptr<ObjectStore>> other_store(const std::string& uri);
  Result<std::vector<std::string>> write_file(Place& place, const std::string& name,
                                              std::span<const SpillObject> objects,
                                              std::span<const std::string> heads);
  Result<> write_all(ObjectWriter& writer, Bytes bytes);

  StorageParts parts_;
  std::atomic<std::size_t> turn_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<ObjectStore>> others_ GUARDED_BY(mutex_);  // by uri
};

}  // namespace spillfs::storage::external
