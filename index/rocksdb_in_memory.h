// SPDX-License-Identifier: Apache-2.0
// Opens a database without changing a file of it: what RocksDB writes stays in memory.
#pragma once

#include <rocksdb/env.h>

#include <memory>

namespace spillfs::index {

// An environment like `base`, which outlives it, for one database. Files are read from `base`, and
// from memory where the database has written them; what it removes is only not seen any more. The
// memory that it takes is what the database writes: its log and the tables made of that.
// Directories are not made, and nothing is locked: who opens the database has to know that no
// process writes it.
std::shared_ptr<rocksdb::Env> keep_changes_in_memory(rocksdb::Env& base);

}  // namespace spillfs::index
