// SPDX-License-Identifier: Apache-2.0
// null_server MOUNTPOINT [THREADS]: what FUSE alone costs. Names and sizes in memory, written bytes
// thrown away, zeros read. It agrees with the kernel on what spillfs agrees on, and answers with
// the same flags and cache times.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fs/fuse/fuse_file_ops.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/fuse/fuse_mount.h"

namespace spillfs::fs {
namespace {

struct Node {
  mode_t mode = 0;
  std::uint64_t size = 0;
  std::map<std::string, fuse_ino_t> names;  // of a directory
};

// All of it under one lock, which is held for no more than a look-up.
struct Tree {
  std::mutex mutex;
  std::unordered_map<fuse_ino_t, Node> nodes{{FUSE_ROOT_ID, {.mode = S_IFDIR | 0777}}};
  fuse_ino_t next = FUSE_ROOT_ID + 1;
  bool direct_writes = false;
};

Tree& tree_of(fuse_req_t req) { return *static_cast<Tree*>(fuse_req_userdata(req)); }

struct stat stat_of(fuse_ino_t id, const Node& node) {
  struct stat out {};
  out.st_ino = id;
  out.st_mode = node.mode;
  out.st_nlink = S_ISDIR(node.mode) ? 2 : 1;
  out.st_size = static_cast<off_t>(node.size);
  out.st_blocks = static_cast<blkcnt_t>((node.size + 511) / 512);
  out.st_blksize = 4096;
  return out;
}

fuse_entry_param entry(fuse_ino_t id, const Node& node) {
  fuse_entry_param out{};
  out.ino = id;
  out.generation = 1;
  out.attr = stat_of(id, node);
  out.attr_timeout = out.entry_timeout = kCacheSeconds;
  return out;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Tree& tree = tree_of(req);
  fuse_entry_param found{};
  found.entry_timeout = kCacheSeconds;
  {
    const std::lock_guard lock(tree.mutex);
    const auto& names = tree.nodes[parent].names;
    const auto at = names.find(name);
    if (at != names.end()) found = entry(at->second, tree.nodes[at->second]);
  }
  fuse_reply_entry(req, &found);
}

fuse_entry_param add(Tree& tree, fuse_ino_t parent, const char* name, mode_t mode) {
  const std::lock_guard lock(tree.mutex);
  const fuse_ino_t id = tree.next++;
  tree.nodes[parent].names[name] = id;
  return entry(id, tree.nodes[id] = {.mode = mode});
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  const fuse_entry_param made = add(tree_of(req), parent, name, S_IFDIR | mode);
  fuse_reply_entry(req, &made);
}

void tell_flags(fuse_req_t req, fuse_ino_t id, fuse_file_info* file) {
  const bool only_writes = (file->flags & O_ACCMODE) == O_WRONLY;
  file->direct_io = only_writes && tree_of(req).direct_writes ? 1 : 0;
  file->keep_cache = 1;
  file->fh = id;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* file) {
  const fuse_entry_param made = add(tree_of(req), parent, name, S_IFREG | mode);
  tell_flags(req, made.ino, file);
  fuse_reply_create(req, &made, file);
}

void op_open(fuse_req_t req, fuse_ino_t id, fuse_file_info* file) {
  if ((file->flags & O_TRUNC) != 0) {
    Tree& tree = tree_of(req);
    const std::lock_guard lock(tree.mutex);
    tree.nodes[id].size = 0;
  }
  tell_flags(req, id, file);
  fuse_reply_open(req, file);
}

void op_getattr(fuse_req_t req, fuse_ino_t id, fuse_file_info* /*file*/) {
  Tree& tree = tree_of(req);
  struct stat found {};
  {
    const std::lock_guard lock(tree.mutex);
    found = stat_of(id, tree.nodes[id]);
  }
  fuse_reply_attr(req, &found, kCacheSeconds);
}

void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat* to, int which, fuse_file_info* file) {
  Tree& tree = tree_of(req);
  {
    const std::lock_guard lock(tree.mutex);
    if ((which & FUSE_SET_ATTR_SIZE) != 0) {
      tree.nodes[id].size = static_cast<std::uint64_t>(to->st_size);
    }
  }
  op_getattr(req, id, file);
}

void op_read(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset,
             fuse_file_info* /*file*/) {
  static const std::vector<char> zeros(kMaxWrite);
  Tree& tree = tree_of(req);
  std::uint64_t end = 0;
  {
    const std::lock_guard lock(tree.mutex);
    end = tree.nodes[id].size;
  }
  const auto at = static_cast<std::uint64_t>(offset);
  fuse_reply_buf(req, zeros.data(), at < end ? std::min({size, end - at, zeros.size()}) : 0);
}

void op_write(fuse_req_t req, fuse_ino_t id, const char* /*data*/, std::size_t size, off_t offset,
              fuse_file_info* /*file*/) {
  Tree& tree = tree_of(req);
  {
    const std::lock_guard lock(tree.mutex);
    Node& node = tree.nodes[id];
    node.size = std::max(node.size, static_cast<std::uint64_t>(offset) + size);
  }
  fuse_reply_write(req, size);
}

void op_remove(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Tree& tree = tree_of(req);
  {
    const std::lock_guard lock(tree.mutex);
    auto& names = tree.nodes[parent].names;
    if (const auto at = names.find(name); at != names.end()) {
      tree.nodes.erase(at->second);
      names.erase(at);
    }
  }
  fuse_reply_err(req, 0);
}

void op_readdir(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset,
                fuse_file_info* /*file*/) {
  Tree& tree = tree_of(req);
  std::string reply(size, '\0');
  std::size_t used = 0;
  {
    const std::lock_guard lock(tree.mutex);
    off_t at = 0;
    for (const auto& [name, child] : tree.nodes[id].names) {
      if (++at <= offset) continue;
      const struct stat found = stat_of(child, tree.nodes[child]);
      const std::size_t needed =
          fuse_add_direntry(req, reply.data() + used, size - used, name.c_str(), &found, at);
      if (needed > size - used) break;
      used += needed;
    }
  }
  fuse_reply_buf(req, reply.data(), used);
}

void op_statfs(fuse_req_t req, fuse_ino_t /*id*/) {
  struct statvfs space {};
  space.f_bsize = space.f_frsize = 4096;
  space.f_blocks = space.f_bfree = space.f_bavail = 1 << 28;
  space.f_namemax = 255;
  fuse_reply_statfs(req, &space);
}

void reply_done(fuse_req_t req, fuse_ino_t /*id*/, fuse_file_info* /*file*/) {
  fuse_reply_err(req, 0);
}

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops{};
  ops.init = [](void*, fuse_conn_info* connection) { connection->max_write = kMaxWrite; };
  ops.lookup = op_lookup;
  ops.forget = [](fuse_req_t req, fuse_ino_t, std::uint64_t) { fuse_reply_none(req); };
  ops.forget_multi = [](fuse_req_t req, std::size_t, fuse_forget_data*) { fuse_reply_none(req); };
  ops.getattr = op_getattr;
  ops.setattr = op_setattr;
  ops.mkdir = op_mkdir;
  ops.create = op_create;
  ops.open = op_open;
  ops.read = op_read;
  ops.write = op_write;
  ops.flush = reply_done;
  ops.release = reply_done;
  ops.unlink = op_remove;
  ops.rmdir = op_remove;
  ops.opendir = [](fuse_req_t req, fuse_ino_t, fuse_file_info* file) {
    fuse_reply_open(req, file);
  };
  ops.readdir = op_readdir;
  ops.releasedir = reply_done;
  ops.statfs = op_statfs;
  return ops;
}

void serve(fuse_session* session, int fuse) {
  std::vector<char> memory(kRequestBuffer);
  for (;;) {
    const ssize_t got = ::read(fuse, memory.data(), memory.size());
    if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
    if (got < 0) return;  // unmounted
    fuse_buf buffer{};
    buffer.size = static_cast<std::size_t>(got);
    buffer.mem = memory.data();
    fuse_session_process_buf(session, &buffer);
  }
}

Result<> run(const std::string& mountpoint, unsigned threads) {
  const Fd fuse = SPILLFS_TRY(mount_fuse(mountpoint, "null", AllowOther::kYes));
  std::vector<std::byte> init = SPILLFS_TRY(answer_init(fuse.get(), {}));
  Tree tree;
  tree.direct_writes = features_of(init, {}).on.has(Feature::kDirectMmap);
  const fuse_lowlevel_ops ops = operations();
  std::string name = "null_server";
  std::array<char*, 2> argv{name.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, argv.data());
  fuse_session* session = fuse_session_new(&args, &ops, sizeof(ops), &tree);
  if (session == nullptr) return fail(EINVAL, "libfuse refused the session");
  if (fuse_session_mount(session, fmt::format("/dev/fd/{}", ::dup(fuse.get())).c_str()) != 0) {
    return fail(EIO, "libfuse refused the FUSE descriptor");
  }
  fuse_buf first{};
  first.size = init.size();
  first.mem = init.data();
  fuse_session_process_buf(session, &first);
  {
    std::vector<std::jthread> servers;
    for (unsigned i = 0; i < threads; ++i) {
      servers.emplace_back([session, descriptor = fuse.get()] { serve(session, descriptor); });
    }
  }
  fuse_session_destroy(session);
  return {};
}

}  // namespace
}  // namespace spillfs::fs

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: null_server MOUNTPOINT [THREADS]\n", stderr);
    return 2;
  }
  const unsigned threads = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 4;
  const auto done = spillfs::fs::run(argv[1], threads);
  if (!done) std::fprintf(stderr, "null_server: %s\n", describe(done.error()).c_str());
  return done ? 0 : 1;
}
