// SPDX-License-Identifier: Apache-2.0
// A store in memory, small enough that every path is taken: files over 32 KiB get private segments,
// fused segments hold 256 KiB, staging 1 MiB.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fs/repair/check.h"
#include "fs/volume/volume.h"
#include "index/memory_index.h"
#include "storage/memory_device.h"
#include "tests/support/shared.h"

namespace spillfs::tests {

class TestStore {
 public:
  explicit TestStore(std::size_t directories = 2, std::uint64_t capacity = kGiB) {
    for (std::size_t i = 0; i < directories; ++i) {
      devices.push_back(std::make_shared<storage::MemoryDevice>(capacity));
    }
  }

  std::unique_ptr<storage::SegmentStore> segments() const {
    std::vector<std::unique_ptr<storage::Device>> shared;
    for (const auto& device : devices) shared.push_back(std::make_unique<SharedDevice>(device));
    storage::SegmentOptions options;
    options.segment_size = 256 * kKiB;
    options.pool_limit = kMiB;
    options.preallocate_step = 128 * kKiB;
    options.first_directory = 0;
    return storage::SegmentStore::open(std::move(shared), {}, options).value();
  }

  Result<std::unique_ptr<fs::Volume>> open(fs::VolumeOptions options = {.fuse_limit = 32 *
                                                                                      kKiB}) const {
    fs::Volume::Parts parts{.index = std::make_unique<SharedIndex>(index),
                            .segments = segments(),
                            .staging = storage::Staging::create(kMiB).value()};
    return fs::Volume::open(std::move(parts), std::move(options));
  }

  // What check finds; empty when all is well.
  std::string problems() const {
    std::string text;
    const auto store = segments();
    const fs::BootView view{.boot = {.id = boot, .certain = !boot.empty()}};
    const auto report = fs::check_store(
        *index, *store, view, [&](const std::string& problem) { text += problem + "\n"; });
    return report ? text : describe(report.error());
  }

  std::string boot;  // the machine's boot id when check runs
  std::shared_ptr<index::Index> index = std::make_shared<index::MemoryIndex>();
  std::vector<std::shared_ptr<storage::Device>> devices;
};

}  // namespace spillfs::tests
