// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_object_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "storage/external/s3_deletes.h"
#include "storage/external/s3_reader.h"
#include "storage/external/s3_settings.h"
#include "storage/external/s3_uploads.h"
#include "storage/external/s3_writer.h"

namespace spillfs::storage::external {
namespace {

// What the store and its writers share.
struct Service {
  explicit Service(S3Settings settings) : client(std::move(settings)) {}

  S3Client client;
  S3Uploads uploads{client};
  S3Deletes deletes{client};
};

class S3ObjectStore final : public ObjectStore {
 public:
  S3ObjectStore(S3Settings settings, const std::string& prefix, std::uint64_t buffer_size)
      : bucket_(settings.bucket),
        service_(std::make_shared<Service>(std::move(settings))),
        prefix_(prefix.empty() ? "" : prefix + "/"),
        buffer_size_(buffer_size) {}

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& key) override {
    SPILLFS_TRY(check(key));
    const std::shared_ptr<S3Uploads> uploads(service_, &service_->uploads);
    return std::make_unique<S3Writer>(uploads, prefix_ + key, buffer_size_);
  }

  Result<std::size_t> read(const std::string& key, MutableBytes into,
                           std::uint64_t offset) override {
    SPILLFS_TRY(check(key));
    return read_object(service_->client, prefix_ + key, into, offset);
  }

  Result<> remove(std::span<const std::string> keys) override {
    Result<> first;
    std::vector<std::string> full_keys;
    for (const std::string& key : keys) {
      Result<> checked = check(key);
      if (checked) full_keys.push_back(prefix_ + key);
      if (first && !checked) first = std::move(checked);
    }
    Result<> removed = service_->deletes.remove(full_keys);
    return first ? removed : first;
  }

  // Uploads first: one that is finished meanwhile is an object, and objects are looked for again.
  Result<> remove_all(const std::string& prefix) override {
    const std::string full = prefix_ + prefix;
    Result<> first;
    for (const S3Upload& upload : SPILLFS_TRY(service_->uploads.list(full))) {
      Result<> aborted = service_->uploads.abort(upload);
      if (first && !aborted) first = std::move(aborted);
    }
    SPILLFS_TRY(service_->deletes.remove_prefix(full));
    return first;
  }

  [[nodiscard]] bool is_at(const std::string& root) const override {
    const auto uri = parse_s3_uri(root);
    if (!uri || !*uri || (*uri)->bucket != bucket_) return false;
    return ((*uri)->prefix.empty() ? "" : (*uri)->prefix + "/") == prefix_;
  }

 private:
  // Without a key a request would be about the bucket.
  static Result<> check(const std::string& key) {
    if (!key.empty() && key.front() != '/' && key.find('\0') == std::string::npos) return {};
    return fail(EINVAL, "'" + key + "' can't be an object's key");
  }

  const std::string bucket_;
  const std::shared_ptr<Service> service_;
  const std::string prefix_;  // of every key in the bucket
  const std::uint64_t buffer_size_;
};

bool is_bucket_name(std::string_view name) {
  constexpr std::size_t kMin = 3;
  constexpr std::size_t kMax = 63;
  return name.size() >= kMin && name.size() <= kMax &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
         });
}

// Without the bucket where it may hold keys: people write s3://key:secret@bucket.
Failure no_s3_uri(const std::string& bucket) {
  const bool is_plain = bucket.find_first_of(":@") == std::string::npos;
  const std::string what = bucket.empty() ? "a uri names no bucket"
                           : is_plain     ? fmt::format("'{}' is no bucket's name", bucket)
                                          : "a uri has no bucket's name after s3://";
  return fail(EINVAL, what +
                          "; an S3 uri is s3://bucket or s3://bucket/prefix, its bucket 3 to 63 "
                          "letters, digits, '.', '-' and '_'");
}

}  // namespace

Result<std::optional<S3Uri>> parse_s3_uri(std::string_view uri) {
  constexpr std::string_view kScheme = "s3://";
  if (uri.starts_with("s3:") && !uri.starts_with(kScheme)) return no_s3_uri("");
  if (!uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(uri.find('/'), uri.size());
  S3Uri parsed{.bucket = std::string(uri.substr(0, slash))};
  if (!is_bucket_name(parsed.bucket)) return no_s3_uri(parsed.bucket);
  uri.remove_prefix(std::min(slash + 1, uri.size()));
  while (uri.ends_with('/')) uri.remove_suffix(1);
  parsed.prefix = uri;
  return parsed;
}

Result<std::unique_ptr<ObjectStore>> open_s3_store(const std::string& bucket,
                                                   const std::string& prefix,
                                                   const S3Parameters& parameters) {
  S3Settings settings = SPILLFS_TRY(resolve_settings(bucket, parameters, process_environment()));
  return std::make_unique<S3ObjectStore>(std::move(settings), prefix, parameters.buffer_size);
}

}  // namespace spillfs::storage::external
