// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_reader.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace spillfs::storage::external {
namespace {

// One read, over as many transfers as it takes.
class RangeRead {
 public:
  RangeRead(S3Client& client, const std::string& key, MutableBytes into, std::uint64_t offset)
      : client_(client),
        key_(key),
        doing_(fmt::format("read {} at {}", client.name(key), offset)),
        into_(into),
        offset_(offset) {}

  Result<std::size_t> run() {
    Retry retry = client_.new_retry(into_.size());
    while (true) {
      const std::size_t before = done_;
      S3Reply reply = transfer(retry.left());
      reply.tries = retry.begun();
      if (reply.http.status == 206) SPILLFS_TRY(account(reply.http));
      if (reply.is("InvalidRange", 416)) return done_;
      if (reply.end == S3End::kDone) return finish(reply);
      if (reply.end == S3End::kFailed) return failure(reply);
      if (done_ == into_.size()) return done_;
      if (done_ > before) retry.progressed();
      if (!retry.again(wished_wait(reply.http))) return failure(reply);
    }
  }

 private:
  S3Reply transfer(std::chrono::milliseconds limit) {
    const std::uint64_t first = offset_ + done_;
    const std::uint64_t last = offset_ + (into_.size() - 1);
    S3Request request{.method = "GET", .key = key_, .into = into_.subspan(done_)};
    request.headers["range"] = fmt::format("bytes={}-{}", first, last);
    if (!etag_.empty()) request.headers["if-match"] = etag_;
    return client_.attempt(request, limit);
  }

  // Takes what a whole or broken 206 brought.
  Result<> account(const HttpReply& http) {
    const auto range = parse_content_range(http.header("content-range"));
    if (!range || range->first != offset_ + done_) {
      return fail(EIO,
                  doing_ + ": the service sent another range: " + http.header("content-range"));
    }
    etag_ = http.header("etag");
    object_size_ = range->size;
    done_ += http.received;
    return {};
  }

  Result<std::size_t> finish(const S3Reply& reply) {
    if (reply.http.status != 206) return fail(EIO, doing_ + ": the service sent no range");
    if (done_ < into_.size() && offset_ + done_ != object_size_) {
      return fail(EIO, doing_ + ": the service sent less than the object has");
    }
    return done_;
  }

  Failure failure(const S3Reply& reply) {
    if (reply.is("PreconditionFailed", 412)) {
      return fail(EIO, doing_ + ": the object was replaced while it was read");
    }
    return client_.failure(reply, doing_);
  }

  S3Client& client_;
  const std::string& key_;
  const std::string doing_;
  const MutableBytes into_;
  const std::uint64_t offset_;
  std::size_t done_ = 0;
  std::string etag_;
  std::uint64_t object_size_ = 0;
};

}  // namespace

Result<std::optional<std::string>> find_writer(S3Client& client, const std::string& key) {
  const S3Reply reply = client.call({.method = "HEAD", .key = key});
  if (reply.end == S3End::kDone) return reply.http.header(kWriterHeader);
  if (reply.is("NoSuchKey", 404)) return std::nullopt;
  return client.failure(reply, "look for " + client.name(key));
}

Result<std::size_t> read_object(S3Client& client, const std::string& key, MutableBytes into,
                                std::uint64_t offset) {
  if (into.empty()) return 0U;
  const std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (offset > most - into.size()) return 0U;  // no object is that large
  return RangeRead(client, key, into, offset).run();
}

std::optional<ContentRange> parse_content_range(const std::string& text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  const char* at = text.data() + kUnit.size();
  const char* const end = text.data() + text.size();
  const auto number = [&](std::uint64_t& into, char before) {
    if (before != '\0' && (at == end || *at++ != before)) return false;
    const auto [next, error] = std::from_chars(at, end, into);
    at = next;
    return error == std::errc();
  };
  ContentRange range;
  if (!number(range.first, '\0') || !number(range.last, '-') || !number(range.size, '/') ||
      at != end || range.first > range.last || range.last >= range.size) {
    return std::nullopt;
  }
  return range;
}

}  // namespace spillfs::storage::external
