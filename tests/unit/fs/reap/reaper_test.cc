// SPDX-License-Identifier: Apache-2.0
// Which files and directories nobody will come back for.
#include "fs/reap/reaper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>

#include "fs/config/age.h"
#include "fs/volume/names/own_xattrs.h"
#include "fs/volume/names/runtimes.h"

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
    std::uint64_t inode = 0;
    std::uint32_t uid = 1;
    nlink_t links = 1;
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
  // With all that is in it.
  void move(const std::string& from, const std::string& to) {
    std::map<std::string, Node> moved;
    for (const auto& [path, node] : nodes) {
      const bool inside = path == from || path.starts_with(from + "/");
      moved[inside ? to + path.substr(from.size()) : path] = node;
    }
    nodes = moved;
  }

  // One at a time.
  Result<Page> list(InodeId directory, std::uint64_t after) override {
    const std::string prefix = prefix_of(directory);
    if (const int code = refuse("list " + prefix)) return fail(code, prefix);
    const Named* next = lowest_in(prefix, after);
    if (next == nullptr) return Page{};
    return Page{.entries = {{.parent = directory,
                             .name = next->first.substr(prefix.size()),
                             .inode = InodeId{next->second.inode},
                             .type = next->second.mode & S_IFMT}},
                .next = next->second.inode};
  }
  Result<InodeId> find(InodeId directory, const std::string& name) override {
    const std::string path = prefix_of(directory) + name;
    if (const int code = refuse("find " + path)) return fail(code, path);
    if (!nodes.contains(path)) return fail(ENOENT, path);
    return InodeId{nodes[path].inode};
  }
  Result<struct stat> look(InodeId inode) override {
    const auto* found = by(inode);
    if (const int code = refuse("look " + name_of(found))) return fail(code, name_of(found));
    if (found == nullptr) return fail(ENOENT, "look");
    return stat_of(found->second);
  }
  Result<std::string> xattr(InodeId inode, const char* name) override {
    const auto* found = by(inode);
    if (const int code = refuse("xattr " + name_of(found))) return fail(code, name_of(found));
    if (found == nullptr) return fail(ENOENT, "xattr");
    const auto value = found->second.xattrs.find(name);
    return value == found->second.xattrs.end() ? Result<std::string>(fail(ENODATA, found->first))
                                               : value->second;
  }
  Result<> remove(const fs::ReapEntry& entry, index::Time latest) override {
    const std::string path = prefix_of(entry.parent) + entry.name;
    if (const int code = refuse("remove " + path)) return fail(code, path);
    const auto found = nodes.find(path);
    if (found == nodes.end() || found->second.inode != number(entry.inode)) {
      return fail(ENOENT, path);
    }
    const Node& node = found->second;
    if (S_ISDIR(node.mode) && lowest_in(path + "/", 0) != nullptr) return fail(ENOTEMPTY, path);
    if (S_ISREG(node.mode) &&
        (node.xattrs.at(fs::kOpensXattr) != "0" || node.touched > latest.seconds)) {
      return fail(EBUSY, path);
    }
    nodes.erase(found);
    return {};
  }

  std::map<std::string, Node> nodes;
  std::map<std::string, int> refused;            // "remove a/b" → errno
  std::function<void(const std::string&)> seen;  // before each call

 private:
  using Named = std::pair<const std::string, Node>;

  int refuse(const std::string& call) {
    if (seen) seen(call);
    const auto found = refused.find(call);
    return found == refused.end() ? 0 : found->second;
  }
  const Named* by(InodeId inode) const {
    for (const Named& node : nodes) {
      if (node.second.inode == number(inode)) return &node;
    }
    return nullptr;
  }
  static std::string name_of(const Named* node) { return node == nullptr ? "" : node->first; }
  std::string prefix_of(InodeId directory) const {
    if (directory == kRootInode) return "";
    const Named* found = by(directory);
    return found == nullptr ? "nowhere/" : found->first + "/";
  }
  const Named* lowest_in(const std::string& prefix, std::uint64_t after) const {
    const Named* lowest = nullptr;
    for (const Named& node : nodes) {
      const std::string& path = node.first;
      const bool inside = path.starts_with(prefix) && path.size() > prefix.size() &&
                          path.find('/', prefix.size()) == std::string::npos;
      if (!inside || node.second.inode <= after) continue;
      if (lowest == nullptr || node.second.inode < lowest->second.inode) lowest = &node;
    }
    return lowest;
  }
  static struct stat stat_of(const Node& node) {
    struct stat out {};
    out.st_ino = node.inode;
    out.st_mode = node.mode;
    out.st_nlink = node.links;
    out.st_uid = node.uid;
    out.st_mtim.tv_sec = out.st_ctim.tv_sec = node.touched;
    out.st_blocks = S_ISREG(node.mode) ? kBytes / 512 : 0;
    return out;
  }
  std::uint64_t last_ = 100;
};

// Keeps what was found.
class Findings : public fs::ReapVisitor {
 public:
  void found(const fs::Orphan& orphan) override { orphans.push_back(orphan); }
  void trouble(const Error& error) override { troubles.push_back(error); }
  bool goes_on() override { return left-- > 0; }

  std::vector<fs::Orphan> orphans;
  std::vector<Error> troubles;
  int left = 1000;  // looks
};

class Reaper : public testing::Test {
 protected:
  // Processes 1… of this boot that live are in living_.
  std::string creator(std::vector<fs::Process> processes, std::string runtime = "Ray") const {
    return fs::to_text(
        {.machine = machine_, .processes = std::move(processes), .runtime = std::move(runtime)});
  }
  void SetUp() override {
    tree_.directory(node_).xattrs[fs::kCreatorXattr] = by_worker_;
    tree_.file(file_);
  }
  fs::ReapRules rules() {
    return {.machine = here_,
            .latest = {.seconds = kNow - 3600, .nanoseconds = 0},
            .gone = [&](const fs::Process& process) {
              return !living_.contains({process.pid, process.start});
            }};
  }
  Findings find() {
    Findings findings;
    fs::find_orphans(tree_, rules(), findings);
    return findings;
  }
  Result<> remove(const fs::Orphan& orphan) { return fs::remove_orphan(tree_, rules(), orphan); }
  std::vector<std::string> found() {
    std::vector<std::string> paths;
    const auto findings = find();
    EXPECT_THAT(findings.troubles, IsEmpty());
    for (const fs::Orphan& orphan : findings.orphans) paths.push_back(orphan.path);
    return paths;
  }

  const fs::Machine machine_{.boot = {.id = "this", .certain = true}, .pid_namespace = 7};
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
  EXPECT_EQ(findings.orphans[0].entries.back().name, node_);
  EXPECT_THAT(findings.orphans[0].why, testing::HasSubstr("raylet 10"));
  EXPECT_TRUE(remove(findings.orphans[0]));
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
  EXPECT_THAT(found(), IsEmpty());
  tree_.nodes[node_].xattrs[fs::kCreatorXattr] =
      R"({"boot":"this","pid_namespace":7,"processes":[{"name":"raylet","pid":3,"start":4}]})";
  EXPECT_THAT(found(), IsEmpty()) << "of an earlier version";
}

TEST_F(Reaper, OtherBootsAndViews) {
  living_ = {{20, 200}, {10, 100}};
  here_.boot.id = "next";
  EXPECT_THAT(found(), ElementsAre(node_)) << "no process outlives its boot";
  here_.boot.certain = false;
  EXPECT_THAT(found(), IsEmpty()) << "perhaps a container's";
  living_.clear();
  EXPECT_THAT(found(), IsEmpty()) << "whose processes may be others";
  here_ = {};
  EXPECT_THAT(found(), IsEmpty()) << "unknown";
  here_ = machine_;
  here_.pid_namespace = 8;
  EXPECT_THAT(found(), IsEmpty()) << "its numbers mean nothing here";
  here_ = machine_;
  here_.clock = std::chrono::seconds(100);
  EXPECT_THAT(found(), IsEmpty()) << "nor do its start times";
  here_ = machine_;
  EXPECT_THAT(found(), ElementsAre(node_));
}

// Whoever may rename a directory of another user's could have it removed.
TEST_F(Reaper, ADirectoryThatWasGivenARuntimesNameStays) {
  auto& text = tree_.nodes[node_].xattrs[fs::kCreatorXattr];
  const std::vector<fs::Process> processes{{20, 200, "raylet"}};
  text = creator(processes, "");
  EXPECT_THAT(found(), IsEmpty());
  text = creator(processes, "Dask");
  EXPECT_THAT(found(), IsEmpty());
  text = creator(processes, "Ray");
  EXPECT_THAT(found(), ElementsAre(node_));
}

TEST_F(Reaper, ADirectoryStaysWithWhatIsAnothersOrHasAnotherName) {
  tree_.nodes[file_].uid = 2;
  EXPECT_THAT(found(), IsEmpty()) << "another user's";
  tree_.nodes[file_].uid = 1;
  tree_.nodes[file_].links = 2;
  EXPECT_THAT(found(), IsEmpty()) << "it has a name elsewhere";
  tree_.nodes[file_].links = 1;
  EXPECT_THAT(found(), ElementsAre(node_));
}

TEST_F(Reaper, ASearchEndsWhenItIsTold) {
  Findings findings;
  findings.left = 0;
  fs::find_orphans(tree_, rules(), findings);
  EXPECT_THAT(findings.orphans, IsEmpty());
  EXPECT_THAT(findings.troubles, IsEmpty());
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
  tree_.directory(worker).xattrs[fs::kCreatorXattr] = creator({{20, 200, "python3"}}, "Dask");
  tree_.file(worker + ".dirlock").xattrs[fs::kOpensXattr] = "1";
  EXPECT_THAT(found(), IsEmpty()) << "its worker holds it";
  tree_.nodes[worker + ".dirlock"].xattrs[fs::kOpensXattr] = "0";
  const auto findings = find();
  ASSERT_EQ(findings.orphans.size(), 1U);
  EXPECT_TRUE(remove(findings.orphans[0]));
  EXPECT_EQ(tree_.nodes.size(), 2U);
}

TEST_F(Reaper, WhatChangesMeanwhileStays) {
  const auto findings = find();
  ASSERT_EQ(findings.orphans.size(), 1U);
  auto& file = tree_.nodes[file_];
  const auto before = file;
  const auto refuses = [&](const char* why) {
    const auto removed = remove(findings.orphans[0]);
    ASSERT_FALSE(removed) << why;
    EXPECT_EQ(removed.error().code, EBUSY) << why;
    EXPECT_EQ(tree_.nodes.size(), 2U) << why;
    file = before;
  };
  file.xattrs[fs::kOpensXattr] = "1";
  refuses("open");
  file.touched = kNow;
  refuses("touched");
  file.uid = 2;
  refuses("another's");
  file.links = 2;
  refuses("linked");
}

TEST_F(Reaper, ANewFileKeepsItsDirectory) {
  const auto findings = find();
  tree_.file(node_ + "/new").touched = kNow;
  const auto removed = remove(findings.orphans.at(0));
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, EBUSY);
  EXPECT_TRUE(tree_.nodes.contains(node_ + "/new"));
}

TEST_F(Reaper, ANewDirectoryKeepsItsOwn) {
  const auto findings = find();
  tree_.directory(node_ + "/new").xattrs[fs::kCreatorXattr] = creator({{2, 20, "bash"}});
  const auto removed = remove(findings.orphans.at(0));
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, EBUSY);
  EXPECT_TRUE(tree_.nodes.contains(node_ + "/new"));
}

// Another directory has its name then.
TEST_F(Reaper, WhatIsMovedMeanwhileStays) {
  std::vector<std::string> calls;
  tree_.seen = [&](const std::string& call) { calls.push_back(call); };
  const auto findings = find();
  const std::size_t at_first = calls.size();
  ASSERT_TRUE(remove(findings.orphans.at(0)));
  const std::size_t in_all = calls.size();
  ASSERT_GT(in_all, at_first + 4);
  for (std::size_t at = at_first; at < in_all; ++at) {
    tree_.seen = nullptr;
    tree_.nodes.clear();
    SetUp();
    const auto again = find();
    tree_.directory("private").uid = 2;
    tree_.file("private/" + file_.substr(node_.size() + 1)).uid = 2;
    std::size_t call = at_first;
    tree_.seen = [&](const std::string&) {
      if (call++ != at) return;
      tree_.move(node_, "aside");
      tree_.move("private", node_);
    };
    static_cast<void>(remove(again.orphans.at(0)));
    tree_.seen = nullptr;
    EXPECT_TRUE(tree_.nodes.contains(node_) || tree_.nodes.contains("private")) << at;
    EXPECT_TRUE(tree_.nodes.contains(file_) ||
                tree_.nodes.contains("private/" + file_.substr(node_.size() + 1)))
        << at;
    if (tree_.nodes.contains(node_)) {
      EXPECT_EQ(tree_.nodes[node_].uid, 2U) << at;
    }
  }
}

// At every call, what is looked at is gone, or is refused.
TEST_F(Reaper, WhatVanishesOrIsRefusedIsNoHarm) {
  std::vector<std::string> calls;
  tree_.seen = [&](const std::string& call) { calls.push_back(call); };
  for (const fs::Orphan& orphan : find().orphans) ASSERT_TRUE(remove(orphan));
  tree_.seen = nullptr;
  ASSERT_GT(calls.size(), 8U);
  for (const std::string& call : calls) {
    for (const int code : {ENOENT, EACCES}) {
      tree_.nodes.clear();
      SetUp();
      tree_.refused = {{call, code}};
      const auto findings = find();
      std::size_t trouble = findings.troubles.size();
      for (const fs::Orphan& orphan : findings.orphans) {
        const auto removed = remove(orphan);
        if (!removed && removed.error().code != EBUSY) ++trouble;
      }
      // Where a directory on the way can't be found it counts as moved.
      const bool moved = call.starts_with("find ");
      EXPECT_EQ(trouble, code == EACCES && !moved ? 1U : 0U) << call << " " << code;
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
  EXPECT_EQ(runtime("", "flink-io-" + uuid), "Flink");
  EXPECT_EQ(runtime("", "flink-netty-shuffle-" + uuid), "Flink");
  EXPECT_EQ(runtime("", "flink-dist-cache-" + uuid), "");
  EXPECT_EQ(runtime("", "datafusion-MS8d85"), "DataFusion");
  EXPECT_EQ(runtime("", "datafusion-results"), "");
  EXPECT_EQ(runtime("spill", "12345"), "Polars");
  EXPECT_EQ(runtime("spill", "12345a"), "");
  EXPECT_EQ(runtime("sort", uuid), "Polars");
  EXPECT_EQ(runtime("", uuid), "");
  EXPECT_EQ(runtime("", "hf_datasets-a1b2c3d4"), "HF datasets");
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

TEST(Runtimes, OfPolarsTheMakersNumberIsTheName) {
  const fs::RuntimeDirectory* polars = fs::runtime_directory("spill", "77");
  ASSERT_NE(polars, nullptr);
  const fs::Creator creator{.processes = {{.pid = 77, .name = "any"}, {.pid = 5, .name = "sh"}}};
  EXPECT_TRUE(fs::is_named_by(*polars, "77", creator));
  EXPECT_FALSE(fs::is_named_by(*polars, "5", creator));
  EXPECT_FALSE(fs::is_named_by(*polars, "77", fs::Creator{}));
  EXPECT_EQ(fs::owners(*polars, creator), 1U);  // not the shell that started it
  EXPECT_FALSE(fs::owners(*polars, fs::Creator{}));
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
