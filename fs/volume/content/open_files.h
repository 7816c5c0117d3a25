// SPDX-License-Identifier: Apache-2.0
// What is open, in a memfd that outlives the process: after it was killed the next one knows every
// handle that the kernel still uses, and what the users of a file see beyond what the index holds.
//
// A process may be killed between any two stores. What the next one then finds of a row in
//   add():    all fields, or no row;
//   remove(): all fields, or no row;
//   update(): the new values of the first fields in this order, the old ones of the others: dirty
//   if
//             true, segment, size, modified, changed, backing_modified (of each the seconds, then
//             the nanoseconds), backing, writer, dirty if false. So a file that was being changed
//             is dirty, and a size comes after the segment that holds its bytes.
//
// Threads: one process at a time, from any of its threads. Where no memory is left for a row that
// was never used, the process ends by SIGBUS.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "index/index.h"
#include "storage/base/fd.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

// What the kernel calls an open(2). Never 0, and another for each open until its row has been used
// 2^32 times.
enum class HandleId : std::uint64_t {};

// How the kernel does the I/O of an open file.
enum class IoMode : std::uint8_t {
  kCached,       // through its page cache
  kDirect,       // each call is a request
  kPassthrough,  // by itself, on the backing file
  kMapped,       // each call is a request, mappings are of the backing file
};
// Whether the backing file may be used without a request.
constexpr bool goes_past(IoMode mode) {
  return mode == IoMode::kPassthrough || mode == IoMode::kMapped;
}

// One open(2).
struct OpenHandle {
  InodeId inode{};  // not 0
  RequestId request = kNoRequest;
  int flags = 0;  // open(2)'s
  IoMode mode = IoMode::kCached;
  uid_t opener = 0;  // whose share it takes

  friend bool operator==(const OpenHandle&, const OpenHandle&) = default;
};

// One open inode, or one that is changed and not sealed: what its users see beyond what the index
// holds.
struct OpenFile {
  InodeId inode{};         // not 0
  std::uint64_t size = 0;  // bytes
  index::Time modified;
  index::Time changed;
  index::Time backing_modified;    // of the backing file, as far as it was looked at
  SegmentId segment = kNoSegment;  // private, that holds its bytes
  int backing = 0;                 // its id while it is open in passthrough mode, else 0
  bool dirty = false;              // differs from what the index holds
  pid_t writer = 0;                // the process that opened it last to write

  friend bool operator==(const OpenFile&, const OpenFile&) = default;
};

class OpenFiles {
 public:
  static constexpr std::size_t kMost = std::size_t{1} << 20;  // handles, and as many files
  enum class FileRow : std::uint32_t {};

  // Empty; what is in the memory goes. The second makes a memfd of its own, which nobody reopens.
  static Result<std::unique_ptr<OpenFiles>> create(Fd memory);
  static Result<std::unique_ptr<OpenFiles>> create();
  // With what an earlier process left in it. EINVAL, and the memory as it was, when it is not one
  // that create() has finished, or of another version.
  static Result<std::unique_ptr<OpenFiles>> reopen(Fd memory);

  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;
  ~OpenFiles();

  // ENFILE when there are kMost.
  Result<HandleId> add(const OpenHandle& handle) EXCLUDES(handles_.mutex);
  // Nothing happens when there is no such handle (any more).
  void remove(HandleId id) EXCLUDES(handles_.mutex);

  // ENFILE when there are kMost. One row per inode: the caller sees to it.
  Result<FileRow> add(const OpenFile& file) EXCLUDES(files_.mutex);
  // The row's own inode only. One caller at a time per row: it holds the inode's lock; so does who
  // removes it.
  void update(FileRow row, const OpenFile& file);
  void remove(FileRow row) EXCLUDES(files_.mutex);

  // For the process that comes after, before it adds or removes: while another thread does, what
  // that one is at may come out mixed. In the order of rows.
  [[nodiscard]] std::vector<std::pair<HandleId, OpenHandle>> handles() const;
  [[nodiscard]] std::vector<std::pair<FileRow, OpenFile>> files() const;

  // The highest backing id that the kernel ever gave. Ids that a dead process got and did not note
  // any more are above it, at most as many as it had threads.
  void note_backing(int id);
  [[nodiscard]] int highest_backing() const;

 private:
  struct Memory;  // the layout
  // The rows of one kind that hold nothing, of those that were ever used. The lowest is used first,
  // so that few pages are touched.
  struct FreeRows {
    Mutex mutex;
    std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> rows
        GUARDED_BY(mutex);
  };

  explicit OpenFiles(Memory* memory) : memory_(memory) {}
  static Result<std::unique_ptr<OpenFiles>> map(const Fd& memory);
  [[nodiscard]] Result<> check_header() const;
  void find_free_rows() EXCLUDES(handles_.mutex, files_.mutex);
  // `used`: how many rows were ever used, in memory.
  static Result<std::uint32_t> take(FreeRows& free, std::uint32_t& used) EXCLUDES(free.mutex);

  Memory* const memory_;
  FreeRows handles_;  // neither mutex is taken while holding the other
  FreeRows files_;
};

}  // namespace spillfs::fs
