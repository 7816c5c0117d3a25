// SPDX-License-Identifier: Apache-2.0
// Which files and directories nobody will come back for.
#include "fs/reaper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include "fs/age.h"
#include "fs/own_xattrs.h"
#include "fs/runtimes.h"

namespace spillfs::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kNow = 1'000'000;
constexpr std::uint64_t kBytes = 8192;

// A mount that is a map.
class FakeTree : public fs::ReapTree {
 public:
  struct Node {
    mode_t mode = S_IFREG | 0600;
    std::int64_t touched = kNow - 7200;
    std::map<std::string, std::string> xattrs;
    ino_t inode = 0;
  };

  Node& add(const std::string& path, mode_t mode) {
    Node& node = nodes[path];
    node.mode = mode;
    node.inode = ++last_;
    return node;
  }
  Node& file(const std::string& path) {
    Node& node = add(path, S_IFREG | 0600);
    node.xattrs[fs::kOpensXattr] = "0";
    return node;
  }
  Node& directory(const std::string& path) { return add(path, S_IFDIR | 0700); }

  Result<std::vector<fs::ReapEntry>> list(const std::string& directory) override {
    if (const int code = refuse("list " + directory)) return fail(code, directory);
    const std::string prefix = directory.empty() ? "" : directory + "/";
    std::vector<fs::ReapEntry> entries;
    for (const auto& [path, node] : nodes) {
      if (path.starts_with(prefix) && path.find('/', prefix.size()) == std::string::npos) {
        entries.push_back({.path = path, .attributes = stat_of(node)});
      }
    }
    return entries;
  }
  Result<struct stat> look(const std::string& path) override {
    if (const int code = refuse("look " + path)) return fail(code, path);
    if (!nodes.contains(path)) return fail(ENOENT, path);
    return stat_of(nodes[path]);
  }
  Result<std::string> xattr(const std::string& path, const char* name) override {
    if (const int code = refuse("xattr " + path)) return fail(code, path);
    if (!nodes.contains(path)) return fail(ENOENT, path);
    const auto found = nodes[path].xattrs.find(name);
    return found == nodes[path].xattrs.end() ? Result<std::string>(fail(ENODATA, path))
                                             : found->second;
  }
  Result<> remove_file(const std::string& path) override {
    if (const int code = refuse("remove " + path)) return fail(code, path);
    return nodes.erase(path) == 1 ? Result<>() : fail(ENOENT, path);
  }
  Result<> remove_directory(const std::string& path) override {
    if (!list(path)->empty()) return fail(ENOTEMPTY, path);
    return remove_file(path);
  }

  std::map<std::string, Node> nodes;
  std::map<std::string, int> refused;            // "remove a/b" → errno
  std::function<void(const std::string&)> seen;  // before each call

 private:
  int refuse(const std::string& call) {
    if (seen) seen(call);
    const auto found = refused.find(call);
    return found == refused.end() ? 0 : found->second;
  }
  static struct stat stat_of(const Node& node) {
    struct stat out {};
    out.st_ino = node.inode;
    out.st_mode = node.mode;
    out.st_mtim.tv_sec = out.st_ctim.tv_sec = node.touched;
    out.st_blocks = S_ISREG(node.mode) ? kBytes / 512 : 0;
    return out;
  }
  ino_t last_ = 0;
};

class Reaper : public testing::Test {
 protected:
  // Processes 1… of this boot that live are in living_.
  std::string creator(std::vector<fs::Process> processes) const {
    return fs::to_text({.machine = machine_, .processes = std::move(processes)});
  }
  void SetUp() override {
    tree_.directory(node_).xattrs[fs::kCreatorXattr] = by_worker_;
    tree_.file(file_);
  }
  fs::ReapFindings find(std::chrono::seconds older_than = std::chrono::hours(1)) {
    return fs::find_orphans(tree_, {.machine = here_,
                                    .now = kNow,
                                    .older_than = older_than,
                                    .gone = [&](const fs::Process& process) {
                                      return !living_.contains({process.pid, process.start});
                                    }});
  }
  std::vector<std::string> found() {
    std::vector<std::string> paths;
    const auto findings = find();
    EXPECT_THAT(findings.trouble, IsEmpty());
    for (const fs::Orphan& orphan : findings.orphans) paths.push_back(orphan.path);
    return paths;
  }

  const fs::Machine machine_{.boot = "this", .pid_namespace = 7};
  fs::Machine here_ = machine_;
  const std::string by_worker_ = creator(
      {{20, 200, "ray::SPILL_Spil"}, {10, 100, "raylet"}, {5, 50, "python3"}, {2, 20, "bash"}});
  std::set<std::pair<pid_t, std::uint64_t>> living_{{5, 50}, {2, 20}};
  const std::string node_ = "ray_spilled_objects_" + std::string(56, 'a');
  const std::string file_ = node_ + "/" + std::string(32, 'b') + "-multi-12";
  FakeTree tree_;
};

TEST_F(Reaper, ADirectoryGoesWithAllInItWhenItsRuntimeIsGone) {
  tree_.add(node_ + "/link", S_IFLNK | 0777);
  const auto findings = find();
  ASSERT_EQ(findings.orphans.size(), 1U);
  EXPECT_EQ(findings.orphans[0].path, node_);
  EXPECT_EQ(findings.orphans[0].bytes, kBytes);
  EXPECT_EQ(findings.orphans[0].entries.back().path, node_);
  EXPECT_THAT(findings.orphans[0].why, testing::HasSubstr("raylet 10"));
  EXPECT_TRUE(fs::remove_orphan(tree_, findings.orphans[0]));
  EXPECT_THAT(tree_.nodes, IsEmpty());
}

TEST_F(Reaper, ADirectoryStaysWhileAProcessOfItsRuntimeLives) {
  for (const auto& process : {std::pair<pid_t, std::uint64_t>{20, 200}, {10, 100}}) {
    living_.insert(process);
    EXPECT_THAT(found(), IsEmpty()) << process.first;
    living_.erase(process);
  }
  living_ = {{20, 201}, {10, 101}};  // others have their numbers now
  EXPECT_THAT(found(), ElementsAre(node_));
}

TEST_F(Reaper, ADirectoryStaysWhoseCreatorIsNotKnownForCertain) {
  auto& text = tree_.nodes[node_].xattrs[fs::kCreatorXattr];
  text = creator({{20, 200, "cp"}, {2, 20, "bash"}});
  EXPECT_THAT(found(), IsEmpty()) << "a copy";
  text = "nonsense";
  EXPECT_THAT(found(), IsEmpty());
  tree_.nodes[node_].xattrs.clear();
  EXPECT_THAT(found(), IsEmpty()) << "of an earlier version";
}

TEST_F(Reaper, OtherBootsAndNamespaces) {
  living_ = {{20, 200}, {10, 100}};
  here_.boot = "next";
  EXPECT_THAT(found(), ElementsAre(node_)) << "no process outlives its boot";
  here_.boot = "";
  EXPECT_THAT(found(), IsEmpty()) << "unknown";
  living_.clear();
  here_ = {.boot = "this", .pid_namespace = 8};
  EXPECT_THAT(found(), IsEmpty()) << "its numbers mean nothing here";
}

TEST_F(Reaper, ADirectoryStaysWhenAnythingInItIsInUse) {
  tree_.nodes[file_].xattrs[fs::kOpensXattr] = "1";
  EXPECT_THAT(found(), IsEmpty()) << "open";
  tree_.nodes[file_].xattrs[fs::kOpensXattr] = "0";
  tree_.nodes[file_].touched = kNow - 3599;
  EXPECT_THAT(found(), IsEmpty()) << "young";
  tree_.nodes[file_].touched = kNow + 100;
  EXPECT_THAT(found(), IsEmpty()) << "from the future";
  tree_.nodes[file_].touched = kNow - 3600;
  EXPECT_THAT(found(), ElementsAre(node_));
  tree_.directory(node_ + "/inside");
  EXPECT_THAT(found(), IsEmpty()) << "somebody's";
  tree_.nodes[node_ + "/inside"].xattrs[fs::kCreatorXattr] = creator({{2, 20, "bash"}});
  EXPECT_THAT(found(), IsEmpty()) << "who lives";
  tree_.nodes[node_ + "/inside"].xattrs[fs::kCreatorXattr] = by_worker_;
  EXPECT_THAT(found(), ElementsAre(node_));
  tree_.add(node_ + "/pipe", S_IFIFO | 0600);
  EXPECT_THAT(found(), IsEmpty()) << "not a runtime's";
}

TEST_F(Reaper, AFileGoesThatItsWriterLeftHalfWritten) {
  living_.insert({10, 100});
  EXPECT_THAT(found(), IsEmpty());
  tree_.nodes[file_].xattrs[fs::kHalfWrittenXattr] = "killed";
  EXPECT_THAT(found(), ElementsAre(file_));
  tree_.nodes[file_].xattrs[fs::kOpensXattr] = "1";
  EXPECT_THAT(found(), IsEmpty());
  tree_.nodes[file_].xattrs[fs::kOpensXattr] = "0";
  tree_.nodes[file_].touched = kNow;
  EXPECT_THAT(found(), IsEmpty());
  tree_.file("named otherwise").xattrs[fs::kHalfWrittenXattr] = "killed";
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Reaper, ALockGoesWithItsDirectory) {
  tree_.nodes.clear();
  const std::string worker = "a/dask-scratch-space/worker-a_b1c2d3";
  tree_.directory("a");
  tree_.directory("a/dask-scratch-space");
  tree_.directory(worker).xattrs[fs::kCreatorXattr] = creator({{20, 200, "python3"}});
  tree_.file(worker + ".dirlock").xattrs[fs::kOpensXattr] = "1";
  EXPECT_THAT(found(), IsEmpty()) << "its worker holds it";
  tree_.nodes[worker + ".dirlock"].xattrs[fs::kOpensXattr] = "0";
  const auto findings = find();
  ASSERT_EQ(findings.orphans.size(), 1U);
  EXPECT_TRUE(fs::remove_orphan(tree_, findings.orphans[0]));
  EXPECT_EQ(tree_.nodes.size(), 2U);
}

TEST_F(Reaper, WhatChangesMeanwhileStays) {
  const auto findings = find();
  ASSERT_EQ(findings.orphans.size(), 1U);
  auto& file = tree_.nodes[file_];
  const auto before = file;
  const auto refuses = [&] {
    const auto removed = fs::remove_orphan(tree_, findings.orphans[0]);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, EBUSY);
    EXPECT_EQ(tree_.nodes.size(), 2U);
    file = before;
  };
  file.xattrs[fs::kOpensXattr] = "1";
  refuses();
  file.touched = kNow;
  refuses();
  file.inode = 99;
  refuses();
}

TEST_F(Reaper, ANewFileKeepsItsDirectory) {
  const auto findings = find();
  tree_.file(node_ + "/new");
  const auto removed = fs::remove_orphan(tree_, findings.orphans.at(0));
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, EBUSY);
  EXPECT_TRUE(tree_.nodes.contains(node_ + "/new"));
}

// At every call, what is looked at is gone, or is refused.
TEST_F(Reaper, WhatVanishesOrIsRefusedIsNoHarm) {
  std::vector<std::string> calls;
  tree_.seen = [&](const std::string& call) { calls.push_back(call); };
  for (const fs::Orphan& orphan : find().orphans) ASSERT_TRUE(fs::remove_orphan(tree_, orphan));
  tree_.seen = nullptr;
  ASSERT_GT(calls.size(), 8U);
  for (const std::string& call : calls) {
    for (const int code : {ENOENT, EACCES}) {
      tree_.nodes.clear();
      SetUp();
      tree_.refused = {{call, code}};
      const auto findings = find();
      std::size_t trouble = findings.trouble.size();
      for (const fs::Orphan& orphan : findings.orphans) {
        const auto removed = fs::remove_orphan(tree_, orphan);
        if (!removed && removed.error().code != EBUSY) ++trouble;
      }
      EXPECT_EQ(trouble, code == EACCES ? 1U : 0U) << call << " " << code;
      tree_.refused.clear();
    }
  }
}

TEST(Runtimes, AreKnownByTheirNames) {
  const std::string uuid = "01234567-89ab-cdef-0123-456789abcdef";
  const auto runtime = [](const std::string& parent, const std::string& name) {
    const auto* found = fs::runtime_directory(parent, name);
    return found == nullptr ? "" : found->runtime;
  };
  EXPECT_EQ(runtime("", "ray_spilled_objects_" + std::string(56, '0')), "Ray");
  EXPECT_EQ(runtime("", "ray_spilled_objects_backup"), "");
  EXPECT_EQ(runtime("dask-scratch-space", "worker-abcd_123"), "Dask");
  EXPECT_EQ(runtime("dask-scratch-space-1000", "worker-abcd_123"), "Dask");
  EXPECT_EQ(runtime("", "worker-abcd_123"), "");
  EXPECT_EQ(runtime("", "spark-" + uuid), "Spark");
  EXPECT_EQ(runtime("", "blockmgr-" + uuid), "Spark");
  EXPECT_EQ(runtime("application_1700000000000_0001", "blockmgr-" + uuid), "");
  EXPECT_EQ(runtime("", "spark-results"), "");
  const std::string ray = "ray_spilled_objects_" + std::string(56, '0');
  EXPECT_EQ(fs::writes_whole_files(ray, std::string(32, 'a') + "-multi-2000"), "Ray");
  EXPECT_EQ(fs::writes_whole_files("", std::string(32, 'a') + "-multi-2000"), "");
  EXPECT_EQ(fs::writes_whole_files("any", "duckdb_temp_storage_S32K-0.tmp"), "DuckDB");
  EXPECT_EQ(fs::writes_whole_files("any", "duckdb_temp_storage_DEFAULT-12.tmp"), "DuckDB");
  EXPECT_EQ(fs::writes_whole_files("any", "duckdb_temp_block-140.block"), "DuckDB");
  EXPECT_EQ(fs::writes_whole_files("any", "duckdb_temp_21857_0_storage_DEFAULT-0.tmp"), "DuckDB");
  EXPECT_EQ(fs::writes_whole_files("any", "duckdb_temp_21857_0_owner"), "");
  EXPECT_EQ(fs::writes_whole_files("any", "duckdb.tmp"), "");
}

TEST(Age, IsANumberAndAUnit) {
  EXPECT_EQ(fs::parse_age("90s").value().count(), 90);
  EXPECT_EQ(fs::parse_age("0s").value().count(), 0);
  EXPECT_EQ(fs::parse_age("2d").value().count(), 172800);
  for (const char* text : {"", "1", "h", "-1h", "1.5h", "1hh", "1 h", "99999999999999999999s",
                           "18446744073709551615d"}) {
    EXPECT_FALSE(fs::parse_age(text)) << text;
  }
  for (const char* text : {"90s", "15m", "1h", "2d", "0s"}) {
    EXPECT_EQ(fs::format_age(fs::parse_age(text).value()), text);
  }
}

}  // namespace
}  // namespace spillfs::tests
