// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_file_ops.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "fs/fuse/fuse_ops.h"
#include "fs/fuse/fuse_protocol.h"
#include "fs/fuse/fuse_reply.h"
#include "fs/fuse/fuse_setxattr.h"
#include "fs/fuse/fuse_statx.h"
#include "fs/fuse/read_only_requests.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kListPage = 128;  // directory entries read at a time

// libfuse does not hand the raw request to its operations; they run on the thread that read it.
thread_local Bytes request_of_this_thread;
thread_local SetGid set_gid_of_this_thread = SetGid::kStays;

HandleId handle_of(const fuse_file_info* file) { return HandleId{file->fh}; }

fuse_file_info control_file(std::uint64_t handle, fuse_file_info asked) {
  asked.fh = handle;
  asked.direct_io = 1;  // its length changes by itself
  asked.noflush = 1;
  return asked;
}

void open_control(fuse_req_t req, fuse_ino_t id, const fuse_file_info& asked) {
  const auto open = [&]() -> Result<std::uint64_t> {
    const bool writes = (asked.flags & O_ACCMODE) != O_RDONLY;
    if (writes && !context_of(req).control->takes_writes(InodeId{id})) {
      return fail(EPERM, "this control file is read-only");
    }
    return context_of(req).control->open(InodeId{id}, user_of(req));
  };
  serve(req, "open", open, [&](fuse_req_t r, Result<std::uint64_t>& handle) {
    const fuse_file_info told = control_file(*handle, asked);
    if (fuse_reply_open(r, &told) != 0) context_of(r).control->release(*handle);
  });
}

void op_open(fuse_req_t req, fuse_ino_t id, fuse_file_info* file) {
  if (ControlFiles::owns(InodeId{id})) return open_control(req, id, *file);
  const auto open = [=, flags = file->flags, caller = opener_of(req),
                     &volume = volume_of(req)]() -> Result<Opened> {
    return volume.open_file(InodeId{id}, flags, caller);
  };
  const auto reply = [](fuse_req_t r, Result<Opened>& opened) { reply_opened(r, *opened); };
  if (volume_of(req).is_doubtful(InodeId{id})) {
    const auto open_if_whole = [=]() -> Result<Opened> {
      auto opened = open();
      // The kernel looks for the name again, and may create a file.
      if (!opened && opened.error().code == ENOENT) return fail(ESTALE, opened.error().context);
      return opened;
    };
    return serve_once_proven(req, "open", InodeId{id}, open_if_whole, reply);
  }
  serve_or_park(req, "open", open, reply);
}

void op_read(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info* file) {
  const auto at = static_cast<std::uint64_t>(offset);
  // One buffer per thread, as large as its largest read so far.
  thread_local std::vector<char> buffer;
  if (buffer.size() < size) buffer.resize(size);
  const MutableBytes into = std::as_writable_bytes(std::span(buffer)).first(size);
  const auto read = [&] {
    return ControlFiles::owns(InodeId{id})
               ? context_of(req).control->read(InodeId{id}, file->fh, into, at)
               : volume_of(req).read(handle_of(file), into, at);
  };
  serve(req, "read", read,
        [&](fuse_req_t r, Result<std::size_t>& got) { fuse_reply_buf(r, buffer.data(), *got); });
}

void write_control(fuse_req_t req, Bytes from, std::uint64_t handle) {
  const auto write = [&] { return context_of(req).control->write(handle, from); };
  serve(req, "write", write,
        [size = from.size()](fuse_req_t r, Result<>&) { fuse_reply_write(r, size); });
}

void op_write(fuse_req_t req, fuse_ino_t id, const char* data, std::size_t size, off_t offset,
              fuse_file_info* file) {
  if (ControlFiles::owns(InodeId{id})) return write_control(req, as_bytes({data, size}), file->fh);
  Volume& volume = volume_of(req);
  const HandleId handle = handle_of(file);
  const auto at = static_cast<std::uint64_t>(offset);
  if (const Caller by = caller_of(req); by.privileges == Caller::Privileges::kGo) {
    auto kill = [&] { return volume.set_attributes(InodeId{id}, {.changed_by = by}); };
    if (auto killed = guarded(kill); !killed) return reply_error(req, "write", killed.error());
  }
  const auto reply = [size](fuse_req_t r, Result<>&) { fuse_reply_write(r, size); };
  Parking& parking = *context_of(req).parking;
  const Parking::Moment before = parking.now();
  const auto outcome = attempt_to(
      req, "write",
      [&](Parking::Try how) {
        return volume.write(handle, as_bytes({data, size}), at, disk_wait(how));
      },
      reply)(Parking::Try::kMayWait);
  if (outcome == Parking::Outcome::kAnswered) return;
  const auto again = [=, &volume, copy = std::string(data, size)](Parking::Try how) {
    return volume.write(handle, as_bytes(copy), at, disk_wait(how));
  };
  parking.wait(attempt_to(req, "write", again, reply), before, user_of(req));
}

void op_flush(fuse_req_t req, fuse_ino_t id, fuse_file_info* file) {
  if (ControlFiles::owns(InodeId{id})) return void(fuse_reply_err(req, 0));
  const HandleId handle = handle_of(file);
  Volume& volume = volume_of(req);
  const auto flush = [=, closer = caller_of(req).pid, &volume](Parking::Try how) {
    return volume.flush(handle, disk_wait(how), closer);
  };
  const auto reply = [=, &volume, doing = Doing("flush")](fuse_req_t r, Result<>& done) {
    if (!volume.syncs_close(handle)) return reply_with(r, done);
    volume.make_durable(handle, reply_when_synced(r, doing));
  };
  if (volume.closes_slowly(handle)) return serve_slowly(req, "flush", flush, reply);
  serve_or_park(req, "flush", flush, reply);
}

void op_release(fuse_req_t req, fuse_ino_t id, fuse_file_info* file) {
  if (ControlFiles::owns(InodeId{id})) {
    context_of(req).control->release(file->fh);
    return void(fuse_reply_err(req, 0));
  }
  serve(req, "release", [&]() -> Result<> {
    auto released = volume_of(req).release(handle_of(file));
    const bool before = !released && released.error().code == EBADF && once(req).number.again;
    return before ? Result<>() : released;
  });
}

void op_fsync(fuse_req_t req, fuse_ino_t id, int /*data_only*/, fuse_file_info* file) {
  if (ControlFiles::owns(InodeId{id})) return void(fuse_reply_err(req, 0));
  const auto sync = [=, doing = Doing("fsync"), handle = handle_of(file),
                     &volume = volume_of(req)]() -> Result<> {
    volume.make_durable(handle, reply_when_synced(req, doing));
    return {};
  };
  serve_slowly(req, "fsync", sync, [](fuse_req_t, Result<>&) {});
}

void op_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t length,
                  fuse_file_info* file) {
  const auto allocate = [=, handle = handle_of(file), &volume = volume_of(req)]() -> Result<> {
    if (ControlFiles::owns(InodeId{id})) return fail(EPERM, "control files are read-only");
    return volume.allocate(handle, mode, static_cast<std::uint64_t>(offset),
                           static_cast<std::uint64_t>(length));
  };
  serve_slowly(req, "fallocate", allocate, kReplyDone);
}

void op_lseek(fuse_req_t req, fuse_ino_t id, off_t offset, int whence, fuse_file_info* file) {
  const auto seek = [&]() -> Result<std::uint64_t> {
    if (ControlFiles::owns(InodeId{id})) return fail(EINVAL, "control files have no holes");
    return volume_of(req).seek(handle_of(file), static_cast<std::uint64_t>(offset), whence);
  };
  serve(req, "lseek", seek, [](fuse_req_t r, Result<std::uint64_t>& found) {
    fuse_reply_lseek(r, static_cast<off_t>(*found));
  });
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t from_id, off_t from_offset, fuse_file_info* from,
                        fuse_ino_t to_id, off_t to_offset, fuse_file_info* to, std::size_t length,
                        int /*flags*/) {
  if (ControlFiles::owns(InodeId{from_id}) || ControlFiles::owns(InodeId{to_id})) {
    return void(fuse_reply_err(req, EOPNOTSUPP));
  }
  const auto copy = [=, source = handle_of(from), target = handle_of(to),
                     &volume = volume_of(req)] {
    return volume.copy_range(source, static_cast<std::uint64_t>(from_offset), target,
                             static_cast<std::uint64_t>(to_offset), length);
  };
  serve_slowly(req, "copy_file_range", copy,
               [](fuse_req_t r, Result<std::uint64_t>& copied) { fuse_reply_write(r, *copied); });
}

void op_opendir(fuse_req_t req, fuse_ino_t /*id*/, fuse_file_info* file) {
  fuse_reply_open(req, file);
}

void op_releasedir(fuse_req_t req, fuse_ino_t /*id*/, fuse_file_info* /*file*/) {
  fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t id, int /*data_only*/, fuse_file_info* /*file*/) {
  if (ControlFiles::owns(InodeId{id})) return void(fuse_reply_err(req, 0));
  volume_of(req).make_names_durable(reply_when_synced(req, "fsyncdir"));
}

// A readdir reply being filled.
struct ListReply {
  explicit ListReply(std::size_t size) : bytes(size, '\0') {}
  std::string bytes;
  std::size_t used = 0;
};

// False when the entry does not fit any more.
bool add_entry(fuse_req_t req, Listing listing, ListReply& reply, const DirectoryEntry& entry) {
  const auto next = static_cast<off_t>(entry.cookie);
  char* to = reply.bytes.data() + reply.used;
  const std::size_t room = reply.bytes.size() - reply.used;
  std::size_t needed = 0;
  if (listing == Listing::kNames) {
    needed = fuse_add_direntry(req, to, room, entry.name.c_str(), &entry.attributes, next);
  } else {
    fuse_entry_param with = entry_of(entry.attributes);
    if (entry.name == "." || entry.name == "..") with.ino = 0;  // the kernel looks those up itself
    needed = fuse_add_direntry_plus(req, to, room, entry.name.c_str(), &with, next);
  }
  if (needed > room) return false;
  reply.used += needed;
  return true;
}

void list(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset, Listing listing) {
  const auto fill = [&]() -> Result<ListReply> {
    ListReply reply(size);
    auto after = static_cast<std::uint64_t>(offset);
    for (;;) {
      const auto entries =
          ControlFiles::owns(InodeId{id})
              ? SPILLFS_TRY(context_of(req).control->list(InodeId{id}, after, kListPage))
              : SPILLFS_TRY(volume_of(req).list(InodeId{id}, after, kListPage, listing));
      if (entries.empty()) return reply;
      for (const DirectoryEntry& entry : entries) {
        if (!add_entry(req, listing, reply, entry)) return reply;
        after = entry.cookie;
      }
      // A page of those may have taken long to find.
      if (ControlFiles::owns(InodeId{id})) return reply;
    }
  };
  serve(req, "readdir", fill, [](fuse_req_t r, Result<ListReply>& reply) {
    fuse_reply_buf(r, reply->bytes.data(), reply->used);
  });
}

void op_readdir(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset,
                fuse_file_info* /*file*/) {
  list(req, id, size, offset, Listing::kNames);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset,
                    fuse_file_info* /*file*/) {
  list(req, id, size, offset, Listing::kWithAttributes);
}

protocol::Attr raw_attributes(const struct stat& from) {
  return {.ino = from.st_ino,
          .size = static_cast<std::uint64_t>(from.st_size),
          .blocks = static_cast<std::uint64_t>(from.st_blocks),
          .atime = static_cast<std::uint64_t>(from.st_atim.tv_sec),
          .mtime = static_cast<std::uint64_t>(from.st_mtim.tv_sec),
          .ctime = static_cast<std::uint64_t>(from.st_ctim.tv_sec),
          .atimensec = static_cast<std::uint32_t>(from.st_atim.tv_nsec),
          .mtimensec = static_cast<std::uint32_t>(from.st_mtim.tv_nsec),
          .ctimensec = static_cast<std::uint32_t>(from.st_ctim.tv_nsec),
          .mode = from.st_mode,
          .nlink = static_cast<std::uint32_t>(from.st_nlink),
          .uid = from.st_uid,
          .gid = from.st_gid,
          .rdev = static_cast<std::uint32_t>(from.st_rdev),
          .blksize = static_cast<std::uint32_t>(from.st_blksize),
          .flags = 0};
}

protocol::EntryOut raw_entry(const Attributes& attributes) {
  const fuse_entry_param entry = entry_of(attributes);
  protocol::EntryOut raw{};
  raw.nodeid = entry.ino;
  raw.generation = entry.generation;
  raw.attr_valid = static_cast<std::uint64_t>(entry.attr_timeout);
  raw.entry_valid = static_cast<std::uint64_t>(entry.entry_timeout);
  raw.attr = raw_attributes(entry.attr);
  return raw;
}

protocol::OpenOut raw_open(const Opened& opened) {
  protocol::OpenOut open{};
  open.fh = static_cast<std::uint64_t>(opened.handle);
  switch (opened.mode) {
    case IoMode::kCached:
      open.open_flags = opened.keep_cache ? protocol::kOpenKeepCache : 0;
      break;
    case IoMode::kDirect:
      open.open_flags =
          protocol::kOpenDirect | protocol::kOpenKeepCache;  // of those who read it cached
      break;
    case IoMode::kPassthrough:
      open.open_flags = protocol::kOpenPassthrough;
      break;
    case IoMode::kMapped:
      open.open_flags = protocol::kOpenPassthrough | protocol::kOpenDirect;
      break;
  }
  if (goes_past(opened.mode)) open.backing_id = opened.backing;
  // The close of what can't write has nothing to tell; the kernel keeps the locks itself.
  if (!opened.may_write) open.open_flags |= protocol::kOpenNoFlush;
  return open;
}

struct CreateReply {
  protocol::EntryOut entry;
  protocol::OpenOut open;
};

void reply_with_file(fuse_req_t request, const Opened& opened, Bytes reply) {
  FuseContext& context = context_of(request);
  const auto* bytes = reinterpret_cast<const char*>(reply.data());
  if (fuse_reply_buf(request, bytes, reply.size()) != 0) {
    static_cast<void>(context.volume->release(opened.handle));
  }
}

// O_TMPFILE, which libfuse does not know.
void serve_tmpfile(FuseContext& context, Bytes request) {
  auto create = [&]() -> Result<Opened> {
    const TmpfileRequest asked = SPILLFS_TRY(parse_tmpfile(request));
    return context.volume->create_unnamed(
        InodeId{asked.directory}, asked.mode, asked.flags,
        {.uid = asked.uid,
         .gid = asked.gid,
         .pid = static_cast<pid_t>(asked.pid),
         .request = number_of(context, request).id,
         .umask = asked.umask,
         .asks = context.requesters->user(asked.uid, static_cast<pid_t>(asked.pid))});
  };
  const std::uint64_t unique = load<protocol::InHeader>(request).unique;
  const auto opened = guarded(create);
  if (!opened) {
    const int code = log_error(*context.volume, "tmpfile", opened.error());
    return static_cast<void>(reply_raw(context, unique, code, {}));
  }
  const CreateReply body{.entry = raw_entry(opened->attributes), .open = raw_open(*opened)};
  if (!reply_raw(context, unique, 0, bytes_of(body))) {
    static_cast<void>(context.volume->release(opened->handle));
  }
}

}  // namespace

double cache_seconds(const Attributes& attributes) {
  const bool changes = attributes.may_change || ControlFiles::owns(InodeId{attributes.st_ino});
  return changes ? 0 : kCacheSeconds;
}

fuse_entry_param entry_of(const Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = attributes.st_ino;
  // An inode number never comes back. The kernel made the root by itself, as one of generation 0.
  entry.generation = InodeId{attributes.st_ino} == kRootInode ? 0 : 1;
  entry.attr = attributes;
  entry.attr_timeout = cache_seconds(attributes);
  entry.entry_timeout = ControlFiles::owns(InodeId{attributes.st_ino}) ? 0 : kCacheSeconds;
  return entry;
}

void reply_created(fuse_req_t request, const Opened& opened) {
  const CreateReply reply{.entry = raw_entry(opened.attributes), .open = raw_open(opened)};
  reply_with_file(request, opened, bytes_of(reply));
}

void reply_opened(fuse_req_t request, const Opened& opened) {
  const protocol::OpenOut reply = raw_open(opened);
  reply_with_file(request, opened, bytes_of(reply));
}

Bytes current_request() { return request_of_this_thread; }
SetGid current_set_gid() { return set_gid_of_this_thread; }

void serve_request(fuse_session& session, FuseContext& context, MutableBytes request) {
  const Counted counted = context.requests->count(request);
  const auto header = load<protocol::InHeader>(request);
  const RequestTimes::Request timed(*context.times, request, counted);
  if (counted == Counted::kYes) context.clients->count(static_cast<pid_t>(header.pid));
  const SlowWatch::Operation watched(context.slow, request_name(header.opcode), {}, header.nodeid);
  set_gid_of_this_thread = take_setxattr_flags(request, context.features);
  request_of_this_thread = request;
  if (context.access == storage::Access::kReadOnly && changes_files(request)) {
    static_cast<void>(reply_raw(context, header.unique, EROFS, {}));
  } else if (is_tmpfile(request)) {
    serve_tmpfile(context, request);
  } else if (is_statx(request) && context.features.on.has(Feature::kBirthTime)) {
    serve_statx(context, request);
  } else {
    fuse_buf buffer{};
    buffer.size = request.size();
    buffer.mem = request.data();
    fuse_session_process_buf(&session, &buffer);
  }
  request_of_this_thread = {};
}

void add_file_operations(fuse_lowlevel_ops& ops) {
  ops.open = op_open;
  ops.read = op_read;
  ops.write = op_write;
  ops.flush = op_flush;
  ops.release = op_release;
  ops.fsync = op_fsync;
  ops.fallocate = op_fallocate;
  ops.lseek = op_lseek;
  ops.copy_file_range = op_copy_file_range;
  ops.opendir = op_opendir;
  ops.releasedir = op_releasedir;
  ops.fsyncdir = op_fsyncdir;
  ops.readdir = op_readdir;
  ops.readdirplus = op_readdirplus;
}

}  // namespace spillfs::fs
