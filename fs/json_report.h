// SPDX-License-Identifier: Apache-2.0
// What a search or a walk has found so far: JSON objects, one a line, that others read while more
// of them come. The last one has "done".
//
// Threads: every method may be called from any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

// With its line break; bytes that are not UTF-8 become U+FFFD.
std::string to_line(const nlohmann::json& json);

class JsonReport {
 public:
  void add(const nlohmann::json& line);
  // The count of bytes; 0 where the text ends for now.
  std::size_t read(MutableBytes into, std::uint64_t offset);

 private:
  Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
