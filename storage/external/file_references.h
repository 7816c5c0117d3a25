// SPDX-License-Identifier: Apache-2.0
// FileReferences: which files of fused objects still hold one that lives. A runtime adds the urls
// of every spill and releases each url when its object dies; a file can be deleted with its last
// url.
//
// Threads: every method may be called from any thread. Errors: EINVAL for what is no url.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::storage::external {

class FileReferences {
 public:
  // All of them or, after an error, none. A url that is there already is counted once.
  Result<> add(std::span<const std::string> urls);
  // Returns one url for each file whose last url is among these, for delete_spilled_objects(). Urls
  // that are not, or no more, there are passed over. After an error nothing is released.
  Result<std::vector<std::string>> release(std::span<const std::string> urls);
  // The live urls of the file that `base` names.
  [[nodiscard]] std::size_t count(const std::string& base) const;

 private:
  mutable Mutex mutex_;
  // base -> the offsets of its live records
  std::map<std::string, std::set<std::uint64_t>, std::less<>> files_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::storage::external
