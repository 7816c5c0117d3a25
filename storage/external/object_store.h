// SPDX-License-Identifier: Apache-2.0
// An object store: byte strings under keys, in an S3-compatible service or in a directory.
// DirectoryObjectStore and S3ObjectStore implement it; one conformance suite runs on both.
//
// Keys are '/'-separated, without a leading '/', relative to the store's root ("s3://bucket/prefix"
// or a directory). Offsets and lengths are bytes.
// Threads: every method of an ObjectStore may be called from any thread; an ObjectWriter is one
// thread's. Errors are errnos, their context names the object and what the service said: ENOENT no
// such object, EEXIST there is one, EACCES refused, EINVAL no possible key, ETIMEDOUT gave up
// trying; anything else is EIO from a service and the system's errno from a directory (ENOSPC, …).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs::storage::external {

// An object being written. Nobody reads it before finish(), save in a directory whose file system
// shows it earlier (directory_object_store.h); one that goes unfinished leaves nothing behind.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;

  virtual Result<> write(Bytes from) = 0;
  virtual Result<> finish() = 0;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // EEXIST when the key is taken, here or, at the latest, from finish().
  virtual Result<std::unique_ptr<ObjectWriter>> create(const std::string& key) = 0;
  // Fills `into` from `offset`; fewer bytes only at the object's end.
  virtual Result<std::size_t> read(const std::string& key, MutableBytes into,
                                   std::uint64_t offset) = 0;
  // A missing object is success. Goes on after an error and returns the first.
  virtual Result<> remove(std::span<const std::string> keys) = 0;
  // Removes all objects whose keys start with `prefix`, also those written meanwhile, and what
  // unfinished writers of other processes left under it. Nothing there is success.
  virtual Result<> remove_all(const std::string& prefix) = 0;
  // Whether `root`, a directory or "s3://bucket/prefix", is this store's root.
  [[nodiscard]] virtual bool is_at(const std::string& root) const = 0;
};

}  // namespace spillfs::storage::external
