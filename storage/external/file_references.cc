// SPDX-License-Identifier: Apache-2.0
#include "storage/external/file_references.h"

#include "storage/external/object_url.h"

namespace spillfs::storage::external {
namespace {

Result<std::vector<ObjectUrl>> parse_all(std::span<const std::string> urls) {
  std::vector<ObjectUrl> parsed;
  parsed.reserve(urls.size());
  for (const std::string& url : urls) parsed.push_back(SPILLFS_TRY(parse_url_with_offset(url)));
  return parsed;
}

}  // namespace

Result<> FileReferences::add(std::span<const std::string> urls) {
  const auto parsed = SPILLFS_TRY(parse_all(urls));
  MutexLock lock(mutex_);
  for (const ObjectUrl& url : parsed) files_[url.base].insert(url.offset);
  return {};
}

Result<std::vector<std::string>> FileReferences::release(std::span<const std::string> urls) {
  const auto parsed = SPILLFS_TRY(parse_all(urls));
  std::vector<std::string> last;
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < parsed.size(); ++i) {
    const auto file = files_.find(parsed[i].base);
    if (file == files_.end()) continue;
    file->second.erase(parsed[i].offset);
    if (!file->second.empty()) continue;
    files_.erase(file);
    last.push_back(urls[i]);
  }
  return last;
}

std::size_t FileReferences::count(const std::string& base) const {
  MutexLock lock(mutex_);
  const auto file = files_.find(base);
  return file == files_.end() ? 0 : file->second.size();
}

}  // namespace spillfs::storage::external
