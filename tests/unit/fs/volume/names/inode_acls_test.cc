// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/inode_acls.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "fs/volume/accounts/metadata_charge.h"
#include "index/memory_index.h"
#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

struct Entry {
  std::uint16_t tag;
  std::uint16_t permissions;
  std::uint32_t id = ~std::uint32_t{0};
};

std::string value(const std::vector<Entry>& entries) {
  std::string bytes(as_text(bytes_of(std::uint32_t{2})));
  for (const Entry& entry : entries) bytes += as_text(bytes_of(entry));
  return bytes;
}

// The owner and user 4001 rwx, the group r-x, others nothing.
const std::string kShared = value({{1, 7}, {2, 7, 4001}, {4, 5}, {16, 7}, {32, 0}});
const std::string kOnlyMode = value({{1, 6}, {4, 4}, {32, 0}});
const std::string kNothing = value({});

class InodeAclsTest : public testing::Test {
 protected:
  index::Inode inode(std::uint32_t mode) { return {.id = InodeId{++last_}, .mode = mode}; }
  // Sets, and commits as the Volume would.
  Result<> set(index::Inode& inode, std::string_view name, std::string_view acl,
               SetGid set_gid = SetGid::kStays) {
    auto change = SPILLFS_TRY(acls_.set(inode, name, acl, set_gid));
    return index_.commit({.put_inodes = {inode}, .xattrs = {std::move(change)}});
  }
  // What is made in `folder`, with the xattrs that it gets.
  struct Made {
    index::Inode inode;
    std::vector<index::Batch::XattrChange> xattrs;
  };
  Made make_in(const index::Inode& folder, std::uint32_t umask, std::uint32_t mode) {
    index::Inode made = inode(mode);
    index::Batch batch;
    EXPECT_TRUE(acls_.inherit(folder, umask, made, batch));
    return {.inode = made, .xattrs = batch.xattrs};
  }
  std::string get(const index::Inode& inode, std::string_view name) {
    return index_.xattr(inode.id, name).value_or("");
  }

  std::uint64_t last_ = 10;
  index::MemoryIndex index_;
  InodeAcls acls_{index_};
};

TEST_F(InodeAclsTest, TheModeFollowsTheAccessAcl) {
  index::Inode file = inode(S_IFREG | 0644);
  ASSERT_TRUE(set(file, kAccessAcl, kShared));
  EXPECT_EQ(file.mode, S_IFREG | 0770U);
  EXPECT_EQ(get(file, kAccessAcl), kShared);
  EXPECT_EQ(file.metadata, xattr_charge(kAccessAcl, kShared.size()));
  ASSERT_TRUE(set(file, kAccessAcl, kOnlyMode));
  EXPECT_EQ(file.mode, S_IFREG | 0640U);
  EXPECT_EQ(get(file, kAccessAcl), "") << "the mode says it all";
  EXPECT_EQ(file.metadata, 0U);
}

TEST_F(InodeAclsTest, OneWithoutEntriesTakesItAway) {
  for (const std::string& nothing : {std::string(), kNothing}) {
    index::Inode file = inode(S_IFREG | 0644);
    ASSERT_TRUE(set(file, kAccessAcl, kShared));
    ASSERT_TRUE(set(file, kAccessAcl, nothing));
    EXPECT_EQ(get(file, kAccessAcl), "");
    EXPECT_EQ(file.mode, S_IFREG | 0770U) << "the mode stays as it is";
    EXPECT_EQ(file.metadata, 0U);
  }
}

TEST_F(InodeAclsTest, SetGidGoesWhenTheKernelSaysSo) {
  index::Inode folder = inode(S_IFDIR | 02755);
  ASSERT_TRUE(set(folder, kDefaultAcl, kShared, SetGid::kGoes));
  EXPECT_EQ(folder.mode, S_IFDIR | 02755U) << "a default ACL changes no mode";
  ASSERT_TRUE(set(folder, kAccessAcl, kShared));
  EXPECT_EQ(folder.mode, S_IFDIR | 02770U);
  ASSERT_TRUE(set(folder, kAccessAcl, kShared, SetGid::kGoes));
  EXPECT_EQ(folder.mode, S_IFDIR | 0770U);
}

TEST_F(InodeAclsTest, WhatIsRefusedChangesNothing) {
  index::Inode file = inode(S_IFREG | 0644);
  EXPECT_EQ(set(file, kAccessAcl, "bad").error().code, EINVAL);
  EXPECT_EQ(set(file, kDefaultAcl, kShared).error().code, EACCES);
  index::Inode link = inode(S_IFLNK | 0777);
  EXPECT_EQ(set(link, kAccessAcl, kShared).error().code, EOPNOTSUPP);
  EXPECT_EQ(file, (index::Inode{.id = file.id, .mode = S_IFREG | 0644}));
}

TEST_F(InodeAclsTest, ChmodIsFollowed) {
  index::Inode file = inode(S_IFREG | 0644);
  ASSERT_TRUE(set(file, kAccessAcl, kShared));
  file.mode = S_IFREG | 0640;
  index::Batch batch{.put_inodes = {file}};
  ASSERT_TRUE(acls_.follow_mode(file, batch));
  ASSERT_TRUE(index_.commit(batch));
  EXPECT_EQ(get(file, kAccessAcl), value({{1, 6}, {2, 7, 4001}, {4, 5}, {16, 4}, {32, 0}}));
  index::Inode other = inode(S_IFREG | 0644);
  index::Batch nothing;
  ASSERT_TRUE(acls_.follow_mode(other, nothing));
  EXPECT_TRUE(nothing.xattrs.empty());
}

TEST_F(InodeAclsTest, WhatIsMadeHasTheDirectorysDefault) {
  index::Inode folder = inode(S_IFDIR | 0755);
  ASSERT_TRUE(set(folder, kDefaultAcl, kShared));

  const Made file = make_in(folder, 0077, S_IFREG | 0644);
  EXPECT_EQ(file.inode.mode, S_IFREG | 0640U) << "the umask does not count";
  ASSERT_EQ(file.xattrs.size(), 1U);
  EXPECT_EQ(file.xattrs[0].name, kAccessAcl);
  EXPECT_EQ(file.xattrs[0].value, value({{1, 6}, {2, 7, 4001}, {4, 5}, {16, 4}, {32, 0}}));
  EXPECT_TRUE(file.inode.has_xattrs);
  EXPECT_EQ(file.inode.metadata, xattr_charge(kAccessAcl, kShared.size()));

  const Made inner = make_in(folder, 0077, S_IFDIR | 0777);
  EXPECT_EQ(inner.inode.mode, S_IFDIR | 0770U);
  ASSERT_EQ(inner.xattrs.size(), 2U);
  EXPECT_EQ(inner.xattrs[1].name, kDefaultAcl);
  EXPECT_EQ(inner.xattrs[1].value, kShared);

  const Made link = make_in(folder, 0077, S_IFLNK | 0777);
  EXPECT_EQ(link.inode.mode, S_IFLNK | 0777U);
  EXPECT_TRUE(link.xattrs.empty());
}

TEST_F(InodeAclsTest, WithoutADefaultTheUmaskCounts) {
  index::Inode folder = inode(S_IFDIR | 0755);
  ASSERT_TRUE(set(folder, kAccessAcl, kShared));
  const Made file = make_in(folder, 0027, S_IFREG | 06666);
  EXPECT_EQ(file.inode.mode, S_IFREG | 06640U);
  EXPECT_TRUE(file.xattrs.empty());
}

TEST_F(InodeAclsTest, ADefaultThatIsOnlyAModeLeavesNoAccessAcl) {
  index::Inode folder = inode(S_IFDIR | 0755);
  ASSERT_TRUE(set(folder, kDefaultAcl, kOnlyMode));
  EXPECT_EQ(get(folder, kDefaultAcl), kOnlyMode);
  const Made file = make_in(folder, 0077, S_IFREG | 0666);
  EXPECT_EQ(file.inode.mode, S_IFREG | 0640U);
  EXPECT_TRUE(file.xattrs.empty());
}

TEST_F(InodeAclsTest, WhoKnowsNothingOfItGivesTheGroupNoMore) {
  index::Inode file = inode(S_IFREG | 0644);
  ASSERT_TRUE(set(file, kAccessAcl, kShared));
  EXPECT_EQ(*acls_.mode_without(file), S_IFREG | 0750U);
  EXPECT_EQ(*acls_.mode_without(inode(S_IFREG | 0664)), S_IFREG | 0664U);
}

}  // namespace
}  // namespace spillfs::fs
