// SPDX-License-Identifier: Apache-2.0
// Attributes, names and extended attributes; open files are in fuse_file_ops.cc.
#include "fs/fuse_ops.h"

#include <linux/fs.h>

#include <string>
#include <vector>

#include "fs/attributes.h"
#include "fs/fuse_file_ops.h"
#include "fs/fuse_reply.h"

namespace spillfs::fs {
namespace {

Failure refused() { return fail(EPERM, "the control files can't be changed"); }

Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid, .gid = context->gid, .pid = context->pid};
}

constexpr auto kReplyEntry = [](fuse_req_t r, Result<Attributes>& found) {
  const fuse_entry_param entry = entry_of(*found);
  fuse_reply_entry(r, &entry);
};

constexpr auto kReplyAttributes = [](fuse_req_t r, Result<Attributes>& found) {
  fuse_reply_attr(r, &*found, cache_seconds(*found));
};

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const InodeId folder{parent};
  if (ControlFiles::owns(folder, name)) {
    const auto find = [&]() -> Result<Attributes> {
      return SPILLFS_TRY(context_of(req).control->lookup(folder, name));
    };
    return serve(req, "lookup", find, kReplyEntry);
  }
  auto find = [&] { return volume_of(req).lookup(folder, name); };
  auto found = guarded(find);
  if (found) return kReplyEntry(req, found);
  if (found.error().code != ENOENT) return reply_error(req, "lookup", found.error());
  fuse_entry_param nothing{};  // the kernel may remember that there is nothing
  nothing.entry_timeout = kCacheSeconds;
  fuse_reply_entry(req, &nothing);
}

void op_forget(fuse_req_t req, fuse_ino_t id, std::uint64_t /*count*/) {
  if (!ControlFiles::owns(InodeId{id})) volume_of(req).forget(InodeId{id});
  fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& forget : std::span(forgets, count)) {
    if (!ControlFiles::owns(InodeId{forget.ino})) volume_of(req).forget(InodeId{forget.ino});
  }
  fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t id, fuse_file_info* /*file*/) {
  const auto attributes = [&]() -> Result<Attributes> {
    if (!ControlFiles::owns(InodeId{id})) return volume_of(req).get_attributes(InodeId{id});
    return SPILLFS_TRY(context_of(req).control->attributes(InodeId{id}));
  };
  serve(req, "getattr", attributes, kReplyAttributes);
}

SetTime set_time(const timespec& time, bool now) { return {.now = now, .time = to_time(time)}; }

SetAttributes set_attributes_of(const struct stat& attributes, int to_set) {
  SetAttributes set;
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) set.mode = attributes.st_mode;
  if ((to_set & FUSE_SET_ATTR_UID) != 0) set.uid = attributes.st_uid;
  if ((to_set & FUSE_SET_ATTR_GID) != 0) set.gid = attributes.st_gid;
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
    set.size = static_cast<std::uint64_t>(attributes.st_size);
  }
  if ((to_set & FUSE_SET_ATTR_ATIME) != 0) {
    set.accessed = set_time(attributes.st_atim, (to_set & FUSE_SET_ATTR_ATIME_NOW) != 0);
  }
  if ((to_set & FUSE_SET_ATTR_MTIME) != 0) {
    set.modified = set_time(attributes.st_mtim, (to_set & FUSE_SET_ATTR_MTIME_NOW) != 0);
  }
  return set;
}

void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat* attributes, int to_set,
                fuse_file_info* /*file*/) {
  SetAttributes set = set_attributes_of(*attributes, to_set);
  set.kill_privileges = wants_privileges_killed(current_request());
  const auto change = [=, &volume = volume_of(req)]() -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{id})) return refused();
    return volume.set_attributes(InodeId{id}, set);
  };
  if (set.size && volume_of(req).is_doubtful(InodeId{id})) {
    return serve_slowly(req, "setattr", change, kReplyAttributes);
  }
  serve_or_park(req, "setattr", change, kReplyAttributes);
}

void op_readlink(fuse_req_t req, fuse_ino_t id) {
  serve(req, "readlink", [&] { return volume_of(req).readlink(InodeId{id}); });
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  const auto make = [&]() -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).mknod(InodeId{parent}, name, mode, device, caller_of(req));
  };
  serve(req, "mknod", make, when_durable("mknod", kReplyEntry));
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  const auto make = [&]() -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).mkdir(InodeId{parent}, name, mode, caller_of(req));
  };
  serve(req, "mkdir", make, when_durable("mkdir", kReplyEntry));
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  const auto make = [&]() -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).symlink(InodeId{parent}, name, target, caller_of(req));
  };
  serve(req, "symlink", make, when_durable("symlink", kReplyEntry));
}

void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char* name) {
  const auto link = [=, text = std::string(name),
                     &volume = volume_of(req)]() -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{id}) || ControlFiles::owns(InodeId{parent}, text)) {
      return refused();
    }
    return volume.link(InodeId{id}, InodeId{parent}, text);
  };
  serve_or_park(req, "link", link, when_durable("link", kReplyEntry));
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto unlink = [&]() -> Result<> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).unlink(InodeId{parent}, name);
  };
  serve(req, "unlink", unlink, when_durable("unlink", kReplyDone));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto rmdir = [&]() -> Result<> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).rmdir(InodeId{parent}, name);
  };
  serve(req, "rmdir", rmdir, when_durable("rmdir", kReplyDone));
}

void op_rename(fuse_req_t req, fuse_ino_t from, const char* from_name, fuse_ino_t to,
               const char* to_name, unsigned flags) {
  const auto rename = [=, from_text = std::string(from_name), to_text = std::string(to_name),
                       &volume = volume_of(req)]() -> Result<> {
    if (ControlFiles::owns(InodeId{from}, from_text) || ControlFiles::owns(InodeId{to}, to_text)) {
      return refused();
    }
    return volume.rename(InodeId{from}, from_text, InodeId{to}, to_text, flags);
  };
  serve_or_park(req, "rename", rename, when_durable("rename", kReplyDone));
}

void op_statfs(fuse_req_t req, fuse_ino_t /*id*/) {
  serve(req, "statfs", [&] { return volume_of(req).statfs(); });
}

// A value of `size` bytes, or how long it is when the caller only asks.
void reply_value(fuse_req_t req, const std::string& value, std::size_t size) {
  if (size == 0) {
    fuse_reply_xattr(req, value.size());
  } else if (value.size() > size) {
    fuse_reply_err(req, ERANGE);
  } else {
    fuse_reply_buf(req, value.data(), value.size());
  }
}

void op_getxattr(fuse_req_t req, fuse_ino_t id, const char* name, std::size_t size) {
  const auto get = [&]() -> Result<std::string> {
    if (!ControlFiles::owns(InodeId{id})) return volume_of(req).get_xattr(InodeId{id}, name);
    for (auto& [known, value] : SPILLFS_TRY(context_of(req).control->xattrs(InodeId{id}))) {
      if (known == name) return std::move(value);
    }
    return fail(ENODATA, "no such xattr");
  };
  serve(req, "getxattr", get,
        [size](fuse_req_t r, Result<std::string>& value) { reply_value(r, *value, size); });
}

void op_setxattr(fuse_req_t req, fuse_ino_t id, const char* name, const char* value,
                 std::size_t size, int flags) {
  serve(req, "setxattr", [&]() -> Result<> {
    if (ControlFiles::owns(InodeId{id})) return refused();
    return volume_of(req).set_xattr(InodeId{id}, name, {value, size}, flags);
  });
}

void op_listxattr(fuse_req_t req, fuse_ino_t id, std::size_t size) {
  const auto list_names = [&]() -> Result<std::string> {
    std::vector<std::string> names;
    if (ControlFiles::owns(InodeId{id})) {
      for (auto& [name, value] : SPILLFS_TRY(context_of(req).control->xattrs(InodeId{id}))) {
        names.push_back(std::move(name));
      }
    } else {
      names = SPILLFS_TRY(volume_of(req).list_xattrs(InodeId{id}));
    }
    std::string list;
    for (const std::string& name : names) list.append(name).push_back('\0');
    return list;
  };
  serve(req, "listxattr", list_names,
        [size](fuse_req_t r, Result<std::string>& names) { reply_value(r, *names, size); });
}

void op_removexattr(fuse_req_t req, fuse_ino_t id, const char* name) {
  serve(req, "removexattr", [&]() -> Result<> {
    if (ControlFiles::owns(InodeId{id})) return refused();
    return volume_of(req).remove_xattr(InodeId{id}, name);
  });
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* file) {
  const auto create = [=, text = std::string(name), caller = caller_of(req), flags = file->flags,
                       &volume = volume_of(req)]() -> Result<Opened> {
    if (ControlFiles::owns(InodeId{parent}, text)) return refused();
    return volume.create(InodeId{parent}, text, mode, flags, caller);
  };
  serve_or_park(req, "create", create,
                [](fuse_req_t r, Result<Opened>& opened) { reply_created(r, *opened); });
}

}  // namespace

fuse_lowlevel_ops fuse_operations() {
  fuse_lowlevel_ops ops{};
  ops.lookup = op_lookup;
  ops.forget = op_forget;
  ops.forget_multi = op_forget_multi;
  ops.getattr = op_getattr;
  ops.setattr = op_setattr;
  ops.readlink = op_readlink;
  ops.mknod = op_mknod;
  ops.mkdir = op_mkdir;
  ops.symlink = op_symlink;
  ops.link = op_link;
  ops.unlink = op_unlink;
  ops.rmdir = op_rmdir;
  ops.rename = op_rename;
  ops.statfs = op_statfs;
  ops.getxattr = op_getxattr;
  ops.setxattr = op_setxattr;
  ops.listxattr = op_listxattr;
  ops.removexattr = op_removexattr;
  ops.create = op_create;
  add_file_operations(ops);
  return ops;
}

}  // namespace spillfs::fs
