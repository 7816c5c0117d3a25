// SPDX-License-Identifier: Apache-2.0
#include "storage/external/object_uri.h"

#include <fmt/format.h>

#include "storage/external/directory_object_store.h"
#include "storage/external/s3_object_store.h"

namespace spillfs::storage::external {
namespace {

constexpr std::string_view kFileScheme = "file://";

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_object_store(const std::string& uri,
                                                       const S3Parameters& parameters) {
  if (const auto s3 = SPILLFS_TRY(parse_s3_uri(uri))) {
    return open_s3_store(s3->bucket, s3->prefix, parameters);
  }
  const bool is_file = uri.starts_with(kFileScheme);
  const std::string path = is_file ? uri.substr(kFileScheme.size()) : uri;
  if (is_file && !path.starts_with('/')) {
    return fail(EINVAL, fmt::format("{}: only file:///path is a directory's uri", uri));
  }
  if (const auto slash = path.find("://"); slash != std::string::npos && slash < path.find('/')) {
    return fail(EINVAL, fmt::format("{}: only s3:// and directories are known", uri));
  }
  return DirectoryObjectStore::open_directory(path, {.buffer_size = parameters.buffer_size});
}

}  // namespace spillfs::storage::external
