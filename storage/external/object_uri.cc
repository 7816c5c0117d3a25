// SPDX-License-Identifier: Apache-2.0
#include "storage/external/object_uri.h"

#include <fmt/format.h>

#include "storage/external/directory_object_store.h"

namespace spillfs::storage::external {
namespace {

constexpr std::string_view kS3Scheme = "s3://";
constexpr std::string_view kFileScheme = "file://";

Result<std::unique_ptr<ObjectStore>> open_s3(const std::string& uri, const S3Parameters&) {
  return fail(ENOSYS, fmt::format("{}: this spillfs was built without S3", uri));
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_object_store(const std::string& uri,
                                                       const S3Parameters& parameters) {
  if (uri.starts_with(kS3Scheme)) return open_s3(uri, parameters);
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
