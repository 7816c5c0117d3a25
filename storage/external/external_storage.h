// SPDX-License-Identifier: Apache-2.0
// Ray's external storage in C++, for runtimes that link it and for the command line. The model is
// Ray's external_storage.py: same urls, same record bytes, same error texts, so that what one side
// spills the other restores. docs/RAY.md maps each of its classes and functions to this code.
//
// A spilled file holds records one behind the other, each a RayHeader (storage/format.h), owner
// address, metadata, buffer; a url "{base}?offset=N&size=N" names one of them.
//
// Threads: every method may be called from any thread. Errors: EINVAL with Ray's text where Ray
// raises ValueError, ENOSYS from a storage that was not set up, else as the object store's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs::storage::external {

// An object to be spilled. What it points to lives until the call returns.
struct SpillObject {
  std::string ref;            // hexadecimal; the first one names the file
  std::string owner_address;  // any bytes, as the metadata
  std::string metadata;
  std::optional<Bytes> buffer;  // none: the object does not exist
};

// An object that comes back.
struct RestoredObject {
  std::string ref;
  std::string owner_address;
  std::string metadata;
  std::uint64_t length = 0;  // of the buffer, bytes
};

// The buffer of a RestoredObject, from its start to its end.
class BufferReader {
 public:
  virtual ~BufferReader() = default;
  // Fills `into`; fewer bytes only at the buffer's end. EIO when the storage ends before it.
  virtual Result<std::size_t> read(MutableBytes into) = 0;
};

// Where restored objects go: the runtime's object store.
class ObjectSink {
 public:
  virtual ~ObjectSink() = default;
  // Called for one object after the other. An error ends the restore.
  virtual Result<> put(const RestoredObject& object, BufferReader& buffer) = 0;
};

class ExternalStorage {
 public:
  virtual ~ExternalStorage() = default;

  // Writes all objects to one new file. The urls are in the objects' order; fewer only where a
  // storage is made to fail (unstable_fs). After an error nothing of the file is left.
  virtual Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects) = 0;
  // Returns the bytes of all buffers. `refs` and `urls` go together.
  virtual Result<std::uint64_t> restore_spilled_objects(std::span<const std::string> refs,
                                                        std::span<const std::string> urls,
                                                        ObjectSink& sink) = 0;
  // Removes the files that the urls name, with all their objects: the caller counts references
  // (FileReferences). A file that is gone already is success.
  virtual Result<> delete_spilled_objects(std::span<const std::string> urls) = 0;
  // Removes everything this session's storages have spilled.
  virtual Result<> destroy_external_storage() = 0;
};

// Who wants to know how a spill gets on.
struct SpillHooks {
  // Called with the bytes written since the last call, by the thread that spills. An error ends the
  // spill. Empty: nobody.
  std::function<Result<>(std::uint64_t bytes)> written;
};

// `config` is Ray's object_spilling_config as JSON, {"type": …, "params": {…}}; empty: a storage
// that refuses everything. `session` names what ray_storage writes and destroys. EINVAL names what
// is wrong with them. The params of each type: docs/RAY.md.
Result<std::unique_ptr<ExternalStorage>> make_external_storage(std::string_view config,
                                                               const std::string& session,
                                                               SpillHooks hooks = {});

// As Ray's module-level functions: one storage for the whole process, refusing until set up.
Result<> setup_external_storage(std::string_view config, const std::string& session);
void reset_external_storage();
Result<std::vector<std::string>> spill_objects(std::span<const SpillObject> objects);
Result<std::uint64_t> restore_spilled_objects(std::span<const std::string> refs,
                                              std::span<const std::string> urls, ObjectSink& sink);
Result<> delete_spilled_objects(std::span<const std::string> urls);

}  // namespace spillfs::storage::external
