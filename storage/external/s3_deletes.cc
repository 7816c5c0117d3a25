// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_deletes.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/external/digest.h"

namespace spillfs::storage::external {
namespace {

constexpr std::size_t kBatch = 1000;  // S3's limit for one request, and for one page of a list
// How often a list may show what was deleted before.
constexpr unsigned kMaxStaleLists = 10;

void keep_first(Result<>& first, Result<> next) {
  if (first && !next) first = std::move(next);
}

// Whether the service has no DeleteObjects: Google's says MethodNotAllowed or InvalidArgument.
bool lacks_batches(const S3Reply& reply) {
  return reply.is("NotImplemented", 501) || reply.is("MethodNotAllowed", 405) ||
         reply.is("InvalidArgument", 400);
}

}  // namespace

Result<> S3Deletes::remove(std::span<const std::string> keys) {
  Result<> first;
  std::vector<std::string> batch;
  const auto flush = [&] {
    if (!batch.empty()) keep_first(first, remove_batch(batch));
    batch.clear();
  };
  for (const std::string& key : keys) {
    // What cannot stand in an XML document has a request of its own.
    if (!fits_xml(key)) {
      keep_first(first, remove_one(key));
      continue;
    }
    batch.push_back(key);
    if (batch.size() == kBatch) flush();
  }
  flush();
  return first;
}

Result<> S3Deletes::remove_prefix(const std::string& prefix) {
  std::string last_first;
  unsigned stale = 0;
  while (true) {
    const std::vector<std::string> keys = SPILLFS_TRY(list(prefix));
    if (keys.empty()) return {};
    stale = keys.front() == last_first ? stale + 1 : 0;
    if (stale > kMaxStaleLists) {
      return fail(EIO, fmt::format("remove all under {}: the service goes on listing {}",
                                   client_.name(prefix), keys.front()));
    }
    last_first = keys.front();
    SPILLFS_TRY(remove(keys));
  }
}

Result<> S3Deletes::remove_one(const std::string& key) {
  const S3Reply reply = client_.call({.method = "DELETE", .key = key});
  if (reply.end == S3End::kDone || reply.is("NoSuchKey", 404)) return {};
  return client_.failure(reply, "remove " + client_.name(key));
}

Result<> S3Deletes::remove_batch(std::span<const std::string> keys) {
  if (keys.size() == 1 || !batches_) return remove_singly(keys);
  const std::string document = delete_document(keys);
  S3Request request{.method = "POST", .query = {{"delete", ""}}, .body = as_bytes(document)};
  request.headers["content-type"] = "application/xml";
  const auto md5 = md5_base64(request.body);
  if (!md5) return remove_singly(keys);
  request.headers["content-md5"] = *md5;
  const S3Reply reply = client_.call(request);
  if (lacks_batches(reply)) {
    batches_ = false;
    return remove_singly(keys);
  }
  if (reply.end == S3End::kDone) return settle_batch(reply);
  return client_.failure(
      reply, fmt::format("remove {} and {} more", client_.name(keys.front()), keys.size() - 1));
}

Result<> S3Deletes::remove_singly(std::span<const std::string> keys) {
  Result<> first;
  for (const std::string& key : keys) keep_first(first, remove_one(key));
  return first;
}

// The errors inside a reply of 200. Those that another try may settle get one of their own.
Result<> S3Deletes::settle_batch(const S3Reply& reply) {
  Result<> first;
  for (S3Error& error : SPILLFS_TRY(parse_delete_result(reply.http.body))) {
    if (error.code == "NoSuchKey") continue;
    if (is_transient(error.code)) {
      keep_first(first, remove_one(error.key));
      continue;
    }
    const std::string doing = "remove " + client_.name(error.key);
    S3Reply part{.http = {.status = reply.http.status}, .error = std::move(error)};
    keep_first(first, client_.failure(part, doing));
  }
  return first;
}

Result<std::vector<std::string>> S3Deletes::list(const std::string& prefix) {
  const S3Reply reply = client_.call({.method = "GET",
                                      .query = {{"list-type", "2"},
                                                {"encoding-type", "url"},
                                                {"max-keys", std::to_string(kBatch)},
                                                {"prefix", prefix}}});
  if (reply.end == S3End::kDone) return parse_listing(reply.http.body);
  return client_.failure(reply, "list " + client_.name(prefix));
}

}  // namespace spillfs::storage::external
