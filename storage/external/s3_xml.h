// SPDX-License-Identifier: Apache-2.0
// The XML documents of the S3 API. Reading is forgiving about what is not needed (namespaces,
// order, unknown elements); EIO for what is no XML or another document than the expected.
#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::storage::external {

// An <Error> document, or one of the errors in a DeleteResult.
struct S3Error {
  std::string code;  // "NoSuchKey"
  std::string message;
  std::string region;  // where the bucket is, if the service says so
  std::string key;     // of a DeleteResult
};

// Nothing for a document that is not an <Error>.
std::optional<S3Error> parse_error(std::string_view xml);

// The keys of one page of ListObjectsV2 with encoding-type=url.
Result<std::vector<std::string>> parse_listing(std::string_view xml);

struct S3Upload {
  std::string key;
  std::string id;

  friend auto operator<=>(const S3Upload&, const S3Upload&) = default;
};

// One page of ListMultipartUploads with encoding-type=url; the markers are those of the next page.
struct S3UploadPage {
  std::vector<S3Upload> uploads;
  bool truncated = false;
  std::string key_marker;
  std::string id_marker;
};
Result<S3UploadPage> parse_uploads(std::string_view xml);

Result<std::string> parse_upload_id(std::string_view xml);

// The objects that were not deleted.
Result<std::vector<S3Error>> parse_delete_result(std::string_view xml);

// Whether `text` can stand in an XML document: UTF-8 without control characters.
bool fits_xml(std::string_view text);

// The bodies of DeleteObjects and CompleteMultipartUpload; part numbers count from 1.
std::string delete_document(std::span<const std::string> keys);
std::string complete_document(std::span<const std::string> etags);

}  // namespace spillfs::storage::external
