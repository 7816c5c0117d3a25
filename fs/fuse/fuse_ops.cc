// SPDX-License-Identifier: Apache-2.0
// Attributes, names and extended attributes; open files are in fuse_file_ops.cc.
#include "fs/fuse/fuse_ops.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "fs/fuse/fuse_file_ops.h"
#include "fs/fuse/fuse_reply.h"
#include "fs/volume/names/attributes.h"
#include "fs/volume/names/own_xattrs.h"

namespace spillfs::fs {
namespace {

Failure refused() { return fail(EPERM, "the control files can't be changed"); }

// Where the segments are is their owner's to know, and root's.
bool may_know_url(fuse_req_t request) {
  const uid_t user = user_of(request);
  return user == 0 || user == ::geteuid();
}

bool is_trusted(std::string_view xattr) { return xattr.starts_with("trusted."); }

constexpr auto kReplyEntry = [](fuse_req_t r, Result<Attributes>& found) {
  const fuse_entry_param entry = entry_of(*found);
  fuse_reply_entry(r, &entry);
};

constexpr auto kReplyAttributes = [](fuse_req_t r, Result<Attributes>& found) {
  fuse_reply_attr(r, &*found, cache_seconds(*found));
};

// The answer of a request that a process before this one has done.
constexpr auto kDoneBefore = [](InodeId) { return Result<>(); };
auto entry_again(fuse_req_t request) {
  return [&volume = volume_of(request)](InodeId made) { return volume.get_attributes(made); };
}

template <class Call>
void serve_entry(fuse_req_t request, Doing doing, Call call) {
  serve_or_park(request, doing, only_once(once(request), call, entry_again(request)),
                when_durable(doing, then_forget(once(request), kReplyEntry)));
}

// Of a change of names.
template <class Call>
void serve_names(fuse_req_t request, Doing doing, Call call) {
  serve(request, doing, only_once(once(request), call, kDoneBefore),
        when_durable(doing, then_forget(once(request), kReplyDone)));
}

template <class Call>
void serve_change(fuse_req_t request, Doing doing, Call call) {
  serve(request, doing, only_once(once(request), call, kDoneBefore),
        then_forget(once(request), kReplyDone));
}

// The kernel looks for the inode of a file handle that it has forgotten: "." is the inode itself,
// ".." the directory that it is in.
bool is_by_number(std::string_view name) { return name == "." || name == ".."; }

void look_up_by_number(fuse_req_t req, InodeId id, std::string_view name) {
  const auto find = [&] {
    return name == "." ? volume_of(req).look_up_number(id) : volume_of(req).look_up_parent(id);
  };
  serve(req, "lookup", find, kReplyEntry);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const InodeId folder{parent};
  if (ControlFiles::owns(folder, name)) {
    const auto find = [&]() -> Result<Attributes> {
      return SPILLFS_TRY(context_of(req).control->lookup(folder, name));
    };
    return serve(req, "lookup", find, kReplyEntry);
  }
  if (is_by_number(name)) return look_up_by_number(req, folder, name);
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
  const Caller by = caller_of(req);
  if (by.privileges == Caller::Privileges::kGo) set.changed_by = by;
  const auto change = [=, &volume = volume_of(req)]() -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{id})) return refused();
    return volume.set_attributes(InodeId{id}, set);
  };
  if (set.size && volume_of(req).is_doubtful(InodeId{id})) {
    return serve_once_proven(req, "setattr", InodeId{id}, change, kReplyAttributes);
  }
  serve_or_park(req, "setattr", change, kReplyAttributes);
}

void op_readlink(fuse_req_t req, fuse_ino_t id) {
  serve(req, "readlink", [&] { return volume_of(req).readlink(InodeId{id}); });
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  const auto make = [=, text = std::string(name), caller = caller_of(req),
                     &volume = volume_of(req)](RequestId) -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{parent}, text)) return refused();
    return volume.mknod(InodeId{parent}, text, mode, device, caller);
  };
  serve_entry(req, "mknod", make);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  const auto make = [=, text = std::string(name), caller = caller_of(req),
                     &volume = volume_of(req)](RequestId) -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{parent}, text)) return refused();
    return volume.mkdir(InodeId{parent}, text, mode, caller);
  };
  serve_entry(req, "mkdir", make);
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  const auto make = [=, text = std::string(name), to = std::string(target), caller = caller_of(req),
                     &volume = volume_of(req)](RequestId) -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{parent}, text)) return refused();
    return volume.symlink(InodeId{parent}, text, to, caller);
  };
  serve_entry(req, "symlink", make);
}

void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char* name) {
  const auto link = [=, text = std::string(name), caller = opener_of(req),
                     &volume = volume_of(req)](RequestId) -> Result<Attributes> {
    if (ControlFiles::owns(InodeId{id}) || ControlFiles::owns(InodeId{parent}, text)) {
      return refused();
    }
    return volume.link(InodeId{id}, InodeId{parent}, text, caller);
  };
  serve_or_park(req, "link", only_once(once(req), link, entry_again(req)),
                when_durable("link", then_forget(once(req), kReplyEntry)));
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  serve_names(req, "unlink", [&](RequestId request) -> Result<> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).unlink(InodeId{parent}, name, request);
  });
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  serve_names(req, "rmdir", [&](RequestId request) -> Result<> {
    if (ControlFiles::owns(InodeId{parent}, name)) return refused();
    return volume_of(req).rmdir(InodeId{parent}, name, request);
  });
}

void op_rename(fuse_req_t req, fuse_ino_t from, const char* from_name, fuse_ino_t to,
               const char* to_name, unsigned flags) {
  const auto rename = [=, from_text = std::string(from_name), to_text = std::string(to_name),
                       caller = caller_of(req), &volume = volume_of(req)](RequestId) -> Result<> {
    if (ControlFiles::owns(InodeId{from}, from_text) || ControlFiles::owns(InodeId{to}, to_text)) {
      return refused();
    }
    return volume.rename(InodeId{from}, from_text, InodeId{to}, to_text, flags, caller);
  };
  serve_or_park(req, "rename", only_once(once(req), rename, kDoneBefore),
                when_durable("rename", then_forget(once(req), kReplyDone)));
}

void op_statfs(fuse_req_t req, fuse_ino_t /*id*/) {
  serve(req, "statfs", [&] { return volume_of(req).statfs(user_of(req)); });
}

// An ACL is of use only where the kernel keeps to it.
Result<> check_acl(fuse_req_t req, std::string_view xattr) {
  if (!is_acl(xattr) || context_of(req).features.on.has(Feature::kAcl)) return {};
  return fail(EOPNOTSUPP, "no ACLs: this kernel can't, or without=acl");
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
    if (!ControlFiles::owns(InodeId{id})) {
      SPILLFS_TRY(check_acl(req, name));
      if (name == kUrlXattr && !may_know_url(req)) return fail(ENODATA, "not for this user");
      return volume_of(req).get_xattr(InodeId{id}, name);
    }
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
  const auto set = [=, text = std::string(name), bytes = std::string(value, size),
                    set_gid = current_set_gid(),
                    &volume = volume_of(req)](RequestId request) -> Result<> {
    if (ControlFiles::owns(InodeId{id})) return refused();
    SPILLFS_TRY(check_acl(req, text));
    return volume.set_xattr(InodeId{id}, text, bytes, flags, request, set_gid);
  };
  serve_or_park(req, "setxattr", only_once(once(req), set, kDoneBefore),
                then_forget(once(req), kReplyDone));
}

void op_listxattr(fuse_req_t req, fuse_ino_t id, std::size_t size) {
  const auto list_names = [&]() -> Result<std::string> {
    std::string list;
    if (ControlFiles::owns(InodeId{id})) {  // all of theirs are our own
      SPILLFS_TRY(context_of(req).control->attributes(InodeId{id}));
      return list;
    }
    std::vector<std::string> names = SPILLFS_TRY(volume_of(req).list_xattrs(InodeId{id}));
    std::erase_if(names, [&](const std::string& name) { return !check_acl(req, name); });
    // What is in trusted xattrs the kernel keeps from others by itself, but not their names.
    if (std::ranges::any_of(names, is_trusted) && user_of(req) != 0) {
      std::erase_if(names, is_trusted);
    }
    for (const std::string& name : names) list.append(name).push_back('\0');
    return list;
  };
  serve(req, "listxattr", list_names,
        [size](fuse_req_t r, Result<std::string>& names) { reply_value(r, *names, size); });
}

void op_removexattr(fuse_req_t req, fuse_ino_t id, const char* name) {
  serve_change(req, "removexattr", [&](RequestId request) -> Result<> {
    if (ControlFiles::owns(InodeId{id})) return refused();
    SPILLFS_TRY(check_acl(req, name));
    return volume_of(req).remove_xattr(InodeId{id}, name, request);
  });
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* file) {
  const Caller caller = opener_of(req);
  const auto create = [=, text = std::string(name), flags = file->flags,
                       &volume = volume_of(req)](RequestId) -> Result<Opened> {
    if (ControlFiles::owns(InodeId{parent}, text)) return refused();
    return volume.create(InodeId{parent}, text, mode, flags, caller);
  };
  const auto open_made = [caller, flags = file->flags,
                          &volume = volume_of(req)](InodeId made) -> Result<Opened> {
    return volume.open_file(made, flags & ~(O_CREAT | O_EXCL | O_TRUNC), caller);
  };
  serve_or_park(req, "create", only_once(once(req), create, open_made),
                then_forget(once(req), [](fuse_req_t r, Result<Opened>& opened) {
                  reply_created(r, *opened);
                }));
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
