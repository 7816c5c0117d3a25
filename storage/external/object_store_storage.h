// SPDX-License-Identifier: Apache-2.0
// ObjectStoreStorage: Ray's filesystem, ray_storage and smart_open storages, which differ only in
// the object stores their files are in and in how keys and urls begin.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "storage/external/external_storage.h"
#include "storage/external/object_store.h"

namespace spillfs::storage::external {

// Where new files go, under keys that begin with `key_prefix`. Only objects that are the storage's
// are read and removed: those with a key like this, or one that begins as one of `also` does.
struct Place {
  std::shared_ptr<ObjectStore> store;
  std::string key_prefix;         // "ray_spilled_objects/"
  std::string url_prefix;         // what urls have in its place: "/mnt/spill/ray_spilled_objects/"
  std::vector<std::string> also;  // as other versions of Ray begin them: "ray_spilled_objects_"
};

struct StorageParts {
  std::vector<Place> places;  // at least one; new files go round robin from a random one
  std::string scheme;         // what urls lack of a uri: "s3://" for ray_storage in S3
  SpillHooks hooks;
};

// A uri taken apart at each '/' where a store may end and a key begin: "/a/b" -> "/" and "a/b",
// "/a/" and "b"; "s3://bucket/a" -> "s3://bucket/" and "a"; "a" -> "." and "a".
struct StoreAndKey {
  std::string store;
  std::string key;

  friend bool operator==(const StoreAndKey&, const StoreAndKey&) = default;
};
std::vector<StoreAndKey> split_uri(const std::string& uri);

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
  // The file that `base`, a url without offset and size, names. EPERM where it is none of this
  // storage's.
  [[nodiscard]] Result<Located> locate(const std::string& base) const;
  Result<std::vector<std::string>> write_file(Place& place, const std::string& name,
                                              std::span<const SpillObject> objects,
                                              std::span<const std::string> heads);
  Result<> write_all(ObjectWriter& writer, Bytes bytes);

  StorageParts parts_;
  std::atomic<std::size_t> turn_;
};

}  // namespace spillfs::storage::external
