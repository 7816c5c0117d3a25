// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_uploads.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "storage/external/s3_reader.h"

namespace spillfs::storage::external {
namespace {

constexpr const char* kCondition = "if-none-match";

bool lacks_conditions(const S3Request& request, const S3Reply& reply) {
  return request.headers.contains(kCondition) && reply.is("NotImplemented", 501);
}

// A PUT that MinIO denies may do better at once, see call_conditional().
constexpr unsigned kMoreTriesWhenDenied = 3;
constexpr std::chrono::seconds kLongestDenied{5};

bool may_be_no_denial(const S3Reply& reply) {
  return reply.error.code == "AccessDenied" && reply.http.header("server") == "MinIO";
}

void warn(const Result<>& result) {
  if (!result) spdlog::warn("an unfinished object may be left: {}", describe(result.error()));
}

Query part_of(const S3Upload& upload) { return {{"uploadId", upload.id}}; }

}  // namespace

Result<> S3Uploads::put(const std::string& key, Bytes body, const std::string& writer) {
  S3Request request{.method = "PUT", .key = key, .body = body};
  request.headers["content-type"] = "application/octet-stream";
  request.headers[kWriterHeader] = writer;
  if (!conditional_) SPILLFS_TRY(refuse_taken(key));
  const S3Reply reply = call_conditional(request);
  if (lacks_conditions(request, reply)) {
    conditional_ = false;
    return put(key, body, writer);
  }
  Result<> result = settle(reply, key, writer);
  if (!result && reply.uncertain) take_back(key, writer);
  return result;
}

Result<S3Upload> S3Uploads::start(const std::string& key, const std::string& writer) {
  // Known later in any case; to who may not list the bucket, a missing key is a forbidden one.
  if (auto free = refuse_taken(key); !free && free.error().code != EACCES) {
    return Failure(free.error());
  }
  S3Request request{.method = "POST", .key = key, .query = {{"uploads", ""}}};
  request.headers["content-type"] = "application/octet-stream";
  request.headers[kWriterHeader] = writer;
  // Each time it is carried out it makes an upload, also when its reply gets lost.
  request.connection = HttpConnection::kFresh;
  const S3Reply reply = client_.call(request);
  S3Upload upload{.key = key};
  if (reply.end == S3End::kDone) upload.id = SPILLFS_TRY(parse_upload_id(reply.http.body));
  if (reply.uncertain) warn(abort_others(key, upload.id));
  if (reply.end != S3End::kDone) return client_.failure(reply, "write " + client_.name(key));
  return upload;
}

Result<std::string> S3Uploads::put_part(const S3Upload& upload, std::size_t number, Bytes body) {
  S3Request request{.method = "PUT", .key = upload.key, .query = part_of(upload), .body = body};
  request.query.emplace_back("partNumber", std::to_string(number));
  const S3Reply reply = client_.call(request);
  const std::string doing =
      "write part " + std::to_string(number) + " of " + client_.name(upload.key);
  if (reply.end != S3End::kDone) return client_.failure(reply, doing);
  std::string etag = reply.http.header("etag");
  if (etag.empty()) return fail(EIO, doing + ": the service's reply has no ETag");
  return etag;
}

Result<> S3Uploads::finish(const S3Upload& upload, std::span<const std::string> etags,
                           const std::string& writer) {
  const std::string document = complete_document(etags);
  S3Request request{
      .method = "POST", .key = upload.key, .query = part_of(upload), .body = as_bytes(document)};
  request.headers["content-type"] = "application/xml";
  if (!conditional_) SPILLFS_TRY(refuse_taken(upload.key));
  const S3Reply reply = call_conditional(request);
  if (lacks_conditions(request, reply)) {
    conditional_ = false;
    return finish(upload, etags, writer);
  }
  Result<> result = settle(reply, upload.key, writer);
  if (!result && reply.uncertain) {
    warn(abort(upload));  // or it might be carried out later
    take_back(upload.key, writer);
  }
  return result;
}

Result<> S3Uploads::abort(const S3Upload& upload) {
  const S3Reply reply =
      client_.call({.method = "DELETE", .key = upload.key, .query = part_of(upload)});
  if (reply.end == S3End::kDone || reply.is("NoSuchUpload", 404)) return {};
  return client_.failure(reply, "abort the upload of " + client_.name(upload.key));
}

Result<std::vector<S3Upload>> S3Uploads::list(const std::string& prefix) {
  std::vector<S3Upload> uploads = SPILLFS_TRY(list_asking(prefix, prefix));
  // MinIO takes a prefix for a whole key, but lists all of a bucket's uploads. In AWS these could
  // be many, and the prefix has done.
  if (client_.settings().own_service) {
    const std::vector<S3Upload> all = SPILLFS_TRY(list_asking("", prefix));
    uploads.insert(uploads.end(), all.begin(), all.end());
    std::sort(uploads.begin(), uploads.end());
    uploads.erase(std::unique(uploads.begin(), uploads.end()), uploads.end());
  }
  return uploads;
}

Result<> S3Uploads::refuse_taken(const std::string& key) {
  if (!SPILLFS_TRY(find_writer(client_, key))) return {};
  return fail(EEXIST, "write " + client_.name(key) + ": there is an object of this name");
}

// MinIO keeps keys as paths, and denies access to what is written into a folder while the last
// object in there is being removed.
S3Reply S3Uploads::call_conditional(S3Request& request) {
  if (conditional_) request.headers[kCondition] = "*";
  Retry retry(kMoreTriesWhenDenied, kLongestDenied);
  S3Reply reply = client_.call(request);
  while (may_be_no_denial(reply) && retry.again(std::chrono::milliseconds(0))) {
    const bool uncertain = reply.uncertain;
    reply = client_.call(request);
    reply.uncertain = reply.uncertain || uncertain;
  }
  return reply;
}

// What became of the object at `key`. A request that was carried out, but whose reply got lost,
// finds its own object, or its upload gone, when it is sent again.
Result<> S3Uploads::settle(const S3Reply& reply, const std::string& key,
                           const std::string& writer) {
  if (reply.end == S3End::kDone) return {};
  const bool taken = reply.is("PreconditionFailed", 412);
  const bool gone = reply.is("NoSuchUpload", 404);
  const std::string doing = "write " + client_.name(key);
  if (!taken && !gone) return client_.failure(reply, doing);
  const auto found = SPILLFS_TRY(find_writer(client_, key));
  if (found == writer) return {};
  if (found || taken) return fail(EEXIST, doing + ": there is an object of this name");
  return client_.failure(reply, doing);
}

// Removes the object if `writer` made it: nobody knows how its last request went.
void S3Uploads::take_back(const std::string& key, const std::string& writer) {
  const auto found = find_writer(client_, key);
  if (!found) return warn(Failure(found.error()));
  if (*found != writer) return;
  const S3Reply reply = client_.call({.method = "DELETE", .key = key});
  if (reply.end == S3End::kDone || reply.is("NoSuchKey", 404)) return;
  warn(client_.failure(reply, "take back " + client_.name(key)));
}

// Nothing tells an upload whose reply got lost from another writer's of the same key. Who loses
// here gets an error from finish(); keys are meant to have one writer.
Result<> S3Uploads::abort_others(const std::string& key, const std::string& kept_id) {
  for (const S3Upload& upload : SPILLFS_TRY(list_asking(key, key))) {
    if (upload.key == key && upload.id != kept_id) SPILLFS_TRY(abort(upload));
  }
  return {};
}

// The uploads under `prefix` among those that the service lists when asked for `asked`.
Result<std::vector<S3Upload>> S3Uploads::list_asking(const std::string& asked,
                                                     const std::string& prefix) {
  std::vector<S3Upload> uploads;
  S3UploadPage page;
  do {
    S3Request request{.method = "GET",
                      .query = {{"uploads", ""}, {"encoding-type", "url"}, {"prefix", asked}}};
    if (!page.key_marker.empty()) {
      request.query.emplace_back("key-marker", page.key_marker);
      request.query.emplace_back("upload-id-marker", page.id_marker);
    }
    const S3Reply reply = client_.call(request);
    if (reply.end != S3End::kDone) {
      return client_.failure(reply, "list the uploads under " + client_.name(prefix));
    }
    const std::string marker = page.key_marker + page.id_marker;
    page = SPILLFS_TRY(parse_uploads(reply.http.body));
    for (S3Upload& upload : page.uploads) {
      if (upload.key.starts_with(prefix)) uploads.push_back(std::move(upload));
    }
    if (page.key_marker + page.id_marker == marker) break;  // a service that does not page
  } while (page.truncated);
  return uploads;
}

}  // namespace spillfs::storage::external
