// SPDX-License-Identifier: Apache-2.0
// A folder of a test's own, gone with all in it afterwards.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace spillfs::tests {

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(testing::TempDir() + "spillfs-test-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

  // Every file below it, relative to it.
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      if (!entry.is_directory()) found.push_back(entry.path().lexically_relative(path_));
    }
    return found;
  }

 private:
  std::string path_;
};

}  // namespace spillfs::tests
