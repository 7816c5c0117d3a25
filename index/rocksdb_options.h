// SPDX-License-Identifier: Apache-2.0
// How the index sets RocksDB up: bounded memory, a short log to replay, messages through spdlog,
// and an errno for every status.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "storage/base/result.h"

namespace spillfs::index {

// `env`: what files are made with.
rocksdb::DBOptions database_options(rocksdb::Env& env);
// `block_cache` is shared by all column families.
rocksdb::ColumnFamilyOptions family_options(const std::shared_ptr<rocksdb::Cache>& block_cache);
std::shared_ptr<rocksdb::Cache> make_block_cache(std::uint64_t bytes);

// What RocksDB says, with its files named as people know them: "index/000012.sst" where it was
// given a descriptor's path.
std::string shown(std::string text);

// The one place where a Status becomes an errno.
Failure failure_of(const rocksdb::Status& status, const std::string& doing,
                   Where where = Where::here());
inline Result<> result_of(const rocksdb::Status& status, const std::string& doing,
                          Where where = Where::here()) {
  if (status.ok()) return {};
  return failure_of(status, doing, where);
}

}  // namespace spillfs::index
