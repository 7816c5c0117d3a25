// SPDX-License-Identifier: Apache-2.0
// Which of Ray's objects a Volume sees in a file.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

std::string ray_record(std::size_t data) {
  const storage::RayHeader header{
      .owner_address_length = 5, .metadata_length = 0, .data_length = data};
  return std::string(as_text(bytes_of(header))) + "owner" + std::string(data, 'd');
}

TEST(VolumeObjects, AFileThatIsCutAtItsEndHasNoneAfterItsLastWriter) {
  TestStore store;
  const auto volume = store.open().value();
  const auto made = volume->create(kRootInode, "file", 0644, O_RDWR, {}).value();
  const InodeId inode{made.attributes.st_ino};
  ASSERT_TRUE(volume->write(made.handle, as_bytes(ray_record(1000) + "cut"), 0));
  ASSERT_TRUE(volume->write(made.handle, as_bytes("D"), 100));  // in place: it is read again
  ASSERT_TRUE(volume->flush(made.handle));
  EXPECT_EQ(volume->ray_objects(inode).value().objects.size(), 1U);
  ASSERT_TRUE(volume->release(made.handle));
  EXPECT_EQ(volume->count_ray_objects(inode).value(), 0U);
  const auto found = volume->ray_objects(inode);
  ASSERT_TRUE(found) << describe(found.error());
  EXPECT_EQ(found->objects.size(), 0U);
}

}  // namespace
}  // namespace spillfs::tests
