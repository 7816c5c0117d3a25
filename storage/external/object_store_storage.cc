// SPDX-License-Identifier: Apache-2.0
#include "storage/external/object_store_storage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>

#include "storage/external/object_url.h"
#include "storage/external/record.h"

namespace spillfs::storage::external {
namespace {

constexpr std::uint64_t kPiece = 8 * kMiB;  // bytes between two calls of the hooks

std::string uuid4_hex() {
  std::random_device random;
  std::array<std::uint32_t, 4> words{};
  for (auto& word : words) word = random();
  words[1] = (words[1] & 0xffff0fffU) | 0x00004000U;  // version 4
  words[2] = (words[2] & 0x3fffffffU) | 0x80000000U;  // variant 1
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", words[0], words[1], words[2], words[3]);
}

bool is_hexadecimal(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

Result<std::vector<std::string>> encode_heads(std::span<const SpillObject> objects) {
  std::vector<std::string> heads;
  heads.reserve(objects.size());
  for (const SpillObject& object : objects) {
    if (!is_hexadecimal(object.ref)) {
      return fail(EINVAL, fmt::format("object ref '{}' is not hexadecimal", object.ref));
    }
    heads.push_back(SPILLFS_TRY(encode_record_head(object)));
  }
  return heads;
}

// No part of it leads elsewhere, neither in a directory nor in what stands before a service.
bool is_plain(std::string_view key) {
  for (std::size_t at = 0; at <= key.size();) {
    const std::string_view part = key.substr(at, key.find('/', at) - at);
    if (part.empty() || part == "." || part == "..") return false;
    at += part.size() + 1;
  }
  return true;
}

bool is_object_of(const Place& place, std::string_view key) {
  const auto begins = [&](const std::string& prefix) {
    return key.size() > prefix.size() && key.starts_with(prefix);
  };
  return (begins(place.key_prefix) || std::any_of(place.also.begin(), place.also.end(), begins)) &&
         is_plain(key);
}

std::string prefixes(const std::vector<Place>& places) {
  std::vector<std::string_view> all;
  for (const Place& place : places) all.emplace_back(place.url_prefix);
  return fmt::format("{}", fmt::join(all, ", "));
}

// Keeps the first error of several calls.
void remember(Result<>& first, Result<> next) {
  if (first && !next) first = std::move(next);
}

}  // namespace

std::vector<StoreAndKey> split_uri(const std::string& uri) {
  constexpr std::string_view kFile = "file://";
  const bool in_s3 = uri.starts_with("s3://");
  const std::string path = uri.starts_with("file:///") ? uri.substr(kFile.size()) : uri;
  std::vector<StoreAndKey> all;
  for (std::size_t at = in_s3 ? path.find('/', 5) : path.find('/');; at = path.find('/', at + 1)) {
    const std::size_t begin = at == std::string::npos ? path.size() : at + 1;
    if (begin < path.size()) all.push_back({path.substr(0, begin), path.substr(begin)});
    if (at == std::string::npos) break;
  }
  if (!in_s3 && !path.empty() && !path.starts_with('/')) all.push_back({".", path});
  return all;
}

ObjectStoreStorage::ObjectStoreStorage(StorageParts parts)
    : parts_(std::move(parts)), turn_(std::random_device()() % parts_.places.size()) {}

Result<> ObjectStoreStorage::write_all(ObjectWriter& writer, Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes piece = bytes.first(std::min<std::uint64_t>(bytes.size(), kPiece));
    SPILLFS_TRY(writer.write(piece));
    if (parts_.hooks.written) SPILLFS_TRY(parts_.hooks.written(piece.size()));
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

Result<std::vector<std::string>> ObjectStoreStorage::write_file(
    Place& place, const std::string& name, std::span<const SpillObject> objects,
    std::span<const std::string> heads) {
  const auto writer = SPILLFS_TRY(place.store->create(place.key_prefix + name));
  std::vector<std::string> urls;
  urls.reserve(objects.size());
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    std::uint64_t size = 0;
    std::uint64_t end = 0;
    if (__builtin_add_overflow(heads[i].size(), objects[i].buffer->size(), &size) ||
        __builtin_add_overflow(offset, size, &end)) {
      return fail(EOVERFLOW, fmt::format("object {} ends beyond 2^64", objects[i].ref));
    }
    SPILLFS_TRY(write_all(*writer, as_bytes(heads[i])));
    SPILLFS_TRY(write_all(*writer, *objects[i].buffer));
    urls.push_back(create_url_with_offset(place.url_prefix + name, offset, size));
    offset = end;
  }
  SPILLFS_TRY(writer->finish());
  return urls;
}

Result<std::vector<std::string>> ObjectStoreStorage::spill_objects(
    std::span<const SpillObject> objects) {
  if (objects.empty()) return std::vector<std::string>();
  const auto heads = SPILLFS_TRY(encode_heads(objects));
  Place& place = parts_.places[++turn_ % parts_.places.size()];
  auto urls =
      write_file(place, fmt::format("{}-multi-{}", objects[0].ref, objects.size()), objects, heads);
  if (urls || urls.error().code != EEXIST) return urls;
  // Somebody may still read the file that has the name (Ray's issue 26395).
  return write_file(place, fmt::format("{}-multi-{}", uuid4_hex(), objects.size()), objects, heads);
}

Result<ObjectStoreStorage::Located> ObjectStoreStorage::locate(const std::string& base) const {
  for (const Place& place : parts_.places) {
    if (!base.starts_with(place.url_prefix)) continue;
    std::string key = place.key_prefix + base.substr(place.url_prefix.size());
    if (is_object_of(place, key)) return Located{.store = place.store, .key = std::move(key)};
  }
  // Another way to write the same place: through a link, with "file://", by a relative path.
  for (const Place& place : parts_.places) {
    for (const auto& [root, key] : split_uri(parts_.scheme + base)) {
      if (!is_object_of(place, key) || !place.store->is_at(root)) continue;
      return Located{.store = place.store, .key = key};
    }
  }
  return fail(EPERM, fmt::format("'{}' is not in this storage, whose urls begin with {}; give the "
                                 "config that it was spilled with",
                                 base, prefixes(parts_.places)));
}

Result<std::uint64_t> ObjectStoreStorage::restore_spilled_objects(std::span<const std::string> refs,
                                                                  std::span<const std::string> urls,
                                                                  ObjectSink& sink) {
  if (refs.size() != urls.size()) {
    return fail(EINVAL, fmt::format("{} refs with {} urls", refs.size(), urls.size()));
  }
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < urls.size(); ++i) {
    ObjectUrl url = SPILLFS_TRY(parse_url_with_offset(urls[i]));
    auto [store, key] = SPILLFS_TRY(locate(url.base));
    RecordReader reader(*store, std::move(key), std::move(url));
    RestoredObject object = SPILLFS_TRY(reader.read_head());
    object.ref = refs[i];
    SPILLFS_TRY(sink.put(object, reader));
    total += object.length;
  }
  return total;
}

Result<> ObjectStoreStorage::delete_spilled_objects(std::span<const std::string> urls) {
  Result<> first;
  std::set<std::string> bases;
  for (const std::string& text : urls) {
    auto url = parse_url_with_offset(text);
    if (url) {
      bases.insert(std::move(url->base));
    } else {
      remember(first, Failure(std::move(url).error()));
    }
  }
  std::map<std::shared_ptr<ObjectStore>, std::vector<std::string>> keys;
  for (const std::string& base : bases) {
    auto found = locate(base);
    if (found) {
      keys[found->store].push_back(std::move(found->key));
    } else {
      remember(first, Failure(std::move(found).error()));
    }
  }
  for (const auto& [store, names] : keys) remember(first, store->remove(names));
  return first;
}

Result<> ObjectStoreStorage::destroy_external_storage() {
  Result<> first;
  for (const Place& place : parts_.places) {
    remember(first, place.store->remove_all(place.key_prefix));
  }
  return first;
}

}  // namespace spillfs::storage::external
