// SPDX-License-Identifier: Apache-2.0
// Random operations on a Volume and on a reference; every result and every byte must agree.
// SPILLFS_MODEL_OPS sets how many, SPILLFS_MODEL_SEED which.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "index/rocksdb_index.h"
#include "tests/model/reference.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

constexpr std::size_t kLargest = 200 * kKiB;

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

template <class T>
int code_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

class Model {
 public:
  // `kernel` reads and writes files by itself; null: none does.
  Model(TestStore& store, std::uint64_t seed, fs::VolumeOptions options = {},
        FakeKernel* kernel = nullptr)
      : store_(store), options_(std::move(options)), kernel_(kernel), random_(seed) {
    options_.fuse_limit = 32 * kKiB;
    open_volume();
    folders_ = {reference_.root};
    ids_[reference_.root.get()] = kRootInode;
  }

  void run(std::uint64_t operations) {
    for (std::uint64_t i = 0; i < operations && !testing::Test::HasFailure(); ++i) {
      last_ = "operation " + std::to_string(i) + ": ";
      step();
      if (i % 2000 == 1999) compare_all();
      if (i % 5000 == 4999) restart();
    }
    restart();
    volume_.reset();
    EXPECT_EQ(store_.problems(), "");
  }

 private:
  struct Open {
    fs::HandleId handle{};
    NodeRef node;
    int flags = 0;
    fs::IoMode mode = fs::IoMode::kCached;
  };
  // Of a file that the kernel wrote by itself; outlives its opens, and the mount.
  struct Mapping {
    NodeRef node;
    std::shared_ptr<storage::File> file;
  };

  void open_volume() {
    volume_ = store_.open(options_).value();
    if (kernel_ == nullptr) return;
    kernel_->held.clear();  // another mount's mappings hold nothing of this one
    volume_->set_kernel(kernel_->side());
  }

  std::size_t pick(std::size_t count) { return random_() % count; }
  bool chance(unsigned percent) { return pick(100) < percent; }
  std::string name() { return fmt::format("n{}", pick(12)); }
  NodeRef folder() { return folders_[pick(folders_.size())]; }
  InodeId id(const NodeRef& node) { return ids_.at(node.get()); }
  Open& open() { return opens_[pick(opens_.size())]; }
  std::string bytes() {
    const std::size_t length = chance(70) ? 1 + pick(6000) : 1 + pick(60000);
    std::string text(length, '\0');
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }
  std::uint64_t offset_in(const Node& node) {
    if (chance(60)) return node.bytes.size();
    return pick(std::min(node.bytes.size() + 20000, kLargest));
  }
  void agree(const std::string& what, int expected, int got) {
    last_ += what;
    EXPECT_EQ(expected, got) << last_;
  }

  void step() {
    if (kernel_ != nullptr && chance(5)) return map();
    const std::size_t what = pick(100);
    if (what < 16) return create();
    if (what < 22) return open_existing();
    if (what < 46) return opens_.empty() ? create() : write();
    if (what < 56) return opens_.empty() ? create() : read();
    if (what < 60) return truncate();
    if (what < 63) return opens_.empty() ? create() : allocate();
    if (what < 68) return opens_.empty() ? create() : flush();
    if (what < 76) return opens_.empty() ? create() : release();
    if (what < 80) return make_folder();
    if (what < 82) return link();
    if (what < 89) return rename();
    if (what < 95) return unlink();
    if (what < 96) return rmdir();
    if (what < 98) return xattrs();
    if (what < 99) return copy();
    agree("reclaim", 0, code_of(volume_->reclaim_now()));
    volume_->sum_now();
  }

  void remember(const NodeRef& node, InodeId inode) {
    ids_[node.get()] = inode;
    kept_.push_back(node);
    if (node->is_directory()) folders_.push_back(node);
  }

  void create() {
    if (opens_.size() > 20) return release();
    const NodeRef parent = folder();
    const std::string text = name();
    const int mode = chance(60) ? O_WRONLY : O_RDWR;
    const int flags = O_CREAT | mode | (chance(30) ? O_EXCL : 0) | (chance(20) ? O_TRUNC : 0) |
                      (chance(10) ? O_APPEND : 0);
    const NodeRef there = Reference::find(parent, text);
    NodeRef node = there;
    int expected = 0;
    if (there && (flags & O_EXCL) != 0) {
      expected = EEXIST;
    } else if (there && there->is_directory()) {
      expected = EISDIR;
    } else if (!there) {
      node = new_node(S_IFREG | 0644);
      expected = Reference::add(parent, text, node);
    }
    const auto opened = volume_->create(id(parent), text, 0644, flags, {});
    agree("create " + text, expected, code_of(opened));
    if (!opened) return;
    if (!there) remember(node, InodeId{opened->attributes.st_ino});
    if (there && (flags & O_TRUNC) != 0) node->bytes.clear();
    opens_.push_back({opened->handle, node, flags, opened->mode});
  }

  void open_existing() {
    const NodeRef parent = folder();
    const std::string text = name();
    const NodeRef node = Reference::find(parent, text);
    const auto found = volume_->lookup(id(parent), text);
    agree("lookup " + text, node ? 0 : ENOENT, code_of(found));
    if (!node || !found) return;
    EXPECT_EQ(InodeId{found->st_ino}, id(node)) << last_;
    if (opens_.size() > 20) return;
    const int flags = (chance(50)   ? O_RDONLY
                       : chance(50) ? O_RDWR
                                    : O_WRONLY) |
                      (chance(20) ? O_APPEND : 0);
    const auto opened = volume_->open_file(id(node), flags);
    agree(" open", node->is_directory() ? EISDIR : 0, code_of(opened));
    if (opened) opens_.push_back({opened->handle, node, flags, opened->mode});
  }

  void write() {
    Open& file = open();
    const std::string text = bytes();
    const std::uint64_t offset = offset_in(*file.node);  // which an append has found already
    const bool may = (file.flags & O_ACCMODE) != O_RDONLY;
    const bool alone = may && file.mode == fs::IoMode::kPassthrough;
    const auto written = alone ? backing(file.node)->write(as_bytes(text), offset)
                               : volume_->write(file.handle, as_bytes(text), offset);
    agree("write " + std::to_string(text.size()) + " at " + std::to_string(offset), may ? 0 : EBADF,
          code_of(written));
    if (!may) return;
    std::string& all = file.node->bytes;
    all.resize(std::max(all.size(), offset + text.size()));
    all.replace(offset, text.size(), text);
  }

  void read() {
    Open& file = open();
    std::string text(1 + pick(50000), '?');
    const std::uint64_t offset = pick(file.node->bytes.size() + 1000);
    const bool may = (file.flags & O_ACCMODE) != O_WRONLY;
    const bool alone = may && file.mode == fs::IoMode::kPassthrough && chance(80);
    const auto into = std::as_writable_bytes(std::span(text));
    const auto got =
        alone ? backing(file.node)->read(into, offset) : volume_->read(file.handle, into, offset);
    agree("read", may ? 0 : EBADF, code_of(got));
    if (!got || !may) return;
    text.resize(*got);
    const std::string& all = file.node->bytes;
    const std::string wanted = offset < all.size() ? all.substr(offset, 50000) : "";
    EXPECT_TRUE(text == wanted.substr(0, text.size())) << last_;
    EXPECT_TRUE(text.size() == wanted.size() || text.size() < 50000U) << last_;
  }

  std::shared_ptr<storage::File> backing(const NodeRef& node) {
    return backing_file(store_, id(node));
  }

  // Makes a mapping, ends one, and writes through those there are.
  void map() {
    if (!opens_.empty() && mappings_.size() < 8) {
      const Open& file = open();
      if (file.mode == fs::IoMode::kPassthrough && (file.flags & O_ACCMODE) == O_RDWR) {
        mappings_.push_back({file.node, backing(file.node)});
        kernel_->held.insert(id(file.node));
      }
    }
    if (!mappings_.empty() && chance(20)) {
      const NodeRef node = mappings_.front().node;
      mappings_.erase(mappings_.begin());
      if (std::none_of(mappings_.begin(), mappings_.end(),
                       [&](const Mapping& mapping) { return mapping.node == node; })) {
        kernel_->held.erase(id(node));
      }
    }
    for (const Mapping& mapping : mappings_) {
      std::string& all = mapping.node->bytes;
      if (all.size() < 10) continue;
      const std::size_t offset = pick(all.size() - 6);
      ASSERT_TRUE(mapping.file->write(as_bytes("mapped"), offset));
      all.replace(offset, 6, "mapped");
    }
  }

  void truncate() {
    const NodeRef node =
        opens_.empty() || chance(50) ? Reference::find(folder(), name()) : open().node;
    if (!node || !ids_.contains(node.get())) return;
    const std::uint64_t size = chance(30) ? 0 : pick(kLargest);
    const auto set = volume_->set_attributes(id(node), {.mode = {}, .size = size});
    agree("truncate " + std::to_string(size), node->is_directory() ? EISDIR : 0, code_of(set));
    if (!set) return;
    EXPECT_EQ(static_cast<std::uint64_t>(set->st_size), size) << last_;
    node->bytes.resize(size);
  }

  void allocate() {
    Open& file = open();
    constexpr std::array kModes{0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    const int mode = kModes.at(pick(kModes.size()));
    const std::uint64_t offset = pick(kLargest / 2);
    const std::uint64_t length = 1 + pick(kLargest / 2);
    const bool may = (file.flags & O_ACCMODE) != O_RDONLY;
    const auto done = volume_->allocate(file.handle, mode, offset, length);
    agree("allocate", may ? 0 : EBADF, code_of(done));
    if (!may) return;
    std::string& all = file.node->bytes;
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0) all.resize(std::max(all.size(), offset + length));
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 && offset < all.size()) {
      const std::size_t count = std::min(length, all.size() - offset);
      all.replace(offset, count, std::string(count, '\0'));
    }
  }

  void copy() {
    if (opens_.size() < 2) return;
    const Open from = opens_[0];
    const Open to = opens_[1];
    const bool may = (from.flags & O_ACCMODE) != O_WRONLY && (to.flags & O_ACCMODE) != O_RDONLY &&
                     (to.flags & O_APPEND) == 0;
    if (!may || from.node == to.node) return;
    const std::uint64_t length = pick(30000);
    const auto copied = volume_->copy_range(from.handle, 0, to.handle, 100, length);
    agree("copy", 0, code_of(copied));
    const std::string text = from.node->bytes.substr(0, length);
    EXPECT_EQ(copied.value_or(0), text.size());
    if (text.empty()) return;
    std::string& all = to.node->bytes;
    all.resize(std::max(all.size(), 100 + text.size()));
    all.replace(100, text.size(), text);
  }

  void flush() {
    Open& file = open();
    agree("flush", 0,
          code_of(chance(80) ? volume_->flush(file.handle) : volume_->fsync(file.handle)));
  }

  void release() {
    const std::size_t at = pick(opens_.size());
    agree("flush before release", 0, code_of(volume_->flush(opens_[at].handle)));
    agree("release", 0, code_of(volume_->release(opens_[at].handle)));
    opens_.erase(opens_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void make_folder() {
    if (folders_.size() > 30) return;
    const NodeRef parent = folder();
    const std::string text = name();
    const NodeRef node = new_node(S_IFDIR | 0755);
    const int expected = Reference::add(parent, text, node);
    const auto made = volume_->mkdir(id(parent), text, 0755, {});
    agree("mkdir", expected, code_of(made));
    if (made) remember(node, InodeId{made->st_ino});
  }

  void link() {
    const NodeRef node = Reference::find(folder(), name());
    if (!node) return;
    const NodeRef parent = folder();
    const std::string text = name();
    const int expected = Reference::link(node, parent, text);
    agree("link", expected, code_of(volume_->link(id(node), id(parent), text)));
  }

  void rename() {
    const NodeRef from = folder();
    const NodeRef to = chance(50) ? from : folder();
    const std::string from_name = name();
    const std::string to_name = name();
    const unsigned flags = chance(60) ? 0U : chance(50) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    const int expected = Reference::rename(from, from_name, to, to_name, flags);
    agree("rename " + std::to_string(flags), expected,
          code_of(volume_->rename(id(from), from_name, id(to), to_name, flags)));
    forget_removed_folders();
  }

  void unlink() {
    const NodeRef parent = folder();
    const std::string text = name();
    agree("unlink", Reference::unlink(parent, text), code_of(volume_->unlink(id(parent), text)));
  }

  void rmdir() {
    const NodeRef parent = folder();
    const std::string text = name();
    agree("rmdir", Reference::rmdir(parent, text), code_of(volume_->rmdir(id(parent), text)));
    forget_removed_folders();
  }

  // The kernel sends nothing more for a folder that is gone.
  void forget_removed_folders() {
    std::erase_if(folders_, [](const NodeRef& node) { return node->links == 0; });
  }

  void xattrs() {
    const NodeRef node = Reference::find(folder(), name());
    if (!node) return;
    const std::string key = fmt::format("user.k{}", pick(3));
    const bool has = node->xattrs.contains(key);
    if (chance(50)) {
      const std::string value = fmt::format("v{}", pick(1000));
      const int flags = chance(50) ? 0 : chance(50) ? XATTR_CREATE : XATTR_REPLACE;
      const int expected = flags == XATTR_CREATE && has     ? EEXIST
                           : flags == XATTR_REPLACE && !has ? ENODATA
                                                            : 0;
      agree("setxattr", expected, code_of(volume_->set_xattr(id(node), key, value, flags)));
      if (expected == 0) node->xattrs[key] = value;
    } else if (chance(50)) {
      agree("removexattr", has ? 0 : ENODATA, code_of(volume_->remove_xattr(id(node), key)));
      node->xattrs.erase(key);
    } else {
      const auto value = volume_->get_xattr(id(node), key);
      agree("getxattr", has ? 0 : ENODATA, code_of(value));
      EXPECT_EQ(value.value_or(""), has ? node->xattrs[key] : "") << last_;
    }
  }

  // A clean end and a new start: names and bytes stay, nameless files go.
  void restart() {
    for (const Open& file : opens_) {
      EXPECT_TRUE(volume_->release(file.handle)) << last_;
    }
    opens_.clear();
    volume_.reset();
    ASSERT_EQ(store_.problems(), "") << last_;
    open_volume();
    compare_all();
  }

  void compare_all() { compare(reference_.root, "/"); }

  void compare(const NodeRef& node, const std::string& path) {
    const auto found = volume_->get_attributes(id(node));
    ASSERT_TRUE(found) << last_ << path;
    EXPECT_EQ(found->st_nlink, node->links) << last_ << path;
    EXPECT_EQ(found->st_mode, node->mode) << last_ << path;
    if (!node->is_directory()) return compare_bytes(node, *found, path);
    std::map<std::string, InodeId> listed;
    std::uint64_t after = 0;
    for (;;) {
      const auto page = volume_->list(id(node), after, 5).value();
      if (page.empty()) break;
      for (const auto& entry : page) {
        after = entry.cookie;
        if (entry.name == "." || entry.name == "..") continue;
        EXPECT_TRUE(listed.emplace(entry.name, InodeId{entry.attributes.st_ino}).second);
      }
    }
    EXPECT_EQ(listed.size(), node->entries.size()) << last_ << path;
    for (const auto& [text, child] : node->entries) {
      ASSERT_TRUE(listed.contains(text)) << last_ << path << text;
      EXPECT_EQ(listed[text], id(child)) << last_ << path << text;
      compare(child, path + text + "/");
    }
  }

  void compare_bytes(const NodeRef& node, const struct stat& found, const std::string& path) {
    ASSERT_EQ(static_cast<std::size_t>(found.st_size), node->bytes.size()) << last_ << path;
    const auto opened = volume_->open_file(id(node), O_RDONLY);
    ASSERT_TRUE(opened) << last_ << path;
    std::string text(node->bytes.size() + 10, '?');
    const auto got = volume_->read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
    ASSERT_TRUE(got) << last_ << path << describe(got.error());
    text.resize(*got);
    EXPECT_TRUE(text == node->bytes) << last_ << path;
    EXPECT_TRUE(volume_->release(opened->handle));
  }

  TestStore& store_;
  fs::VolumeOptions options_;
  FakeKernel* const kernel_;
  std::vector<Mapping> mappings_;
  std::mt19937_64 random_;
  std::unique_ptr<fs::Volume> volume_;
  Reference reference_;
  std::vector<NodeRef> folders_;
  std::vector<NodeRef> kept_;  // so that no two nodes ever share an address
  std::map<const Node*, InodeId> ids_;
  std::vector<Open> opens_;
  std::string last_;
};

std::uint64_t seed() {
  const std::uint64_t seed = from_environment("SPILLFS_MODEL_SEED", 1);
  testing::Test::RecordProperty("seed", std::to_string(seed));
  return seed;
}

TEST(VolumeModel, RandomOperationsMatchAReference) {
  TestStore store;
  Model(store, seed()).run(from_environment("SPILLFS_MODEL_OPS", 100000));
}

TEST(VolumeModel, RandomOperationsMatchAReferencePastThePageCache) {
  for (const unsigned threads : {0U, 3U}) {
    TestStore store;
    Model(store, seed() + threads,
          {.write_directly = [](pid_t) { return true; }, .write_threads = threads})
        .run(from_environment("SPILLFS_MODEL_OPS", 100000) / 2);
  }
}

TEST(VolumeModel, RandomOperationsMatchAReferenceInPassthroughMode) {
  for (const bool direct : {false, true}) {
    TestStore store;
    FakeKernel kernel;
    Model(store, seed() + 10, {.write_directly = [direct](pid_t) { return direct; }}, &kernel)
        .run(from_environment("SPILLFS_MODEL_OPS", 100000) / 2);
    EXPECT_GT(kernel.last, 100);
    EXPECT_TRUE(kernel.lent.empty());
  }
}

TEST(VolumeModel, RandomOperationsMatchAReferenceOnRocksdb) {
  std::string folder = testing::TempDir() + "spillfs-model-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  {
    TestStore store(3);
    store.index = index::RocksdbIndex::open(folder, {}).value();
    Model(store, seed() + 1).run(from_environment("SPILLFS_MODEL_OPS", 100000) / 10);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace spillfs::tests
