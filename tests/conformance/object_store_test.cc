// SPDX-License-Identifier: Apache-2.0
// What every ObjectStore does, on each of them.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "storage/external/directory_object_store.h"
#include "tests/support/external.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

using ext::DirectoryObjectStore;
using ext::ObjectStore;
using ext::ObjectWriter;

struct Kind {
  std::string name;
  // Opens the same store again when it is called again.
  std::function<Result<std::unique_ptr<ObjectStore>>(const std::string& folder)> open;
  bool in_s3 = false;
  bool hides_unfinished = true;  // nobody reads an object before it is finished
};

Result<std::unique_ptr<ObjectStore>> open_in_s3(const std::string& folder) {
  const std::string name = std::filesystem::path(folder).filename();
  return ext::open_object_store(std::string(kTestBucketUri) + "/" + name, *test_s3());
}

std::vector<Kind> kinds() {
  return {{.name = "directory",
           .open = [](const auto& folder) { return DirectoryObjectStore::open_directory(folder); }},
          {.name = "directory_unbuffered",
           .open =
               [](const auto& folder) {
                 return DirectoryObjectStore::open_directory(folder, {.buffer_size = 0});
               }},
          {.name = "directory_in_place",
           .open =
               [](const auto& folder) {
                 return DirectoryObjectStore::open_directory(folder, {.unnamed = false});
               },
           .hides_unfinished = false},
          {.name = "s3", .open = open_in_s3, .in_s3 = true}};
}

class ObjectStoreTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam().in_s3 && !test_s3()) GTEST_SKIP() << kNoTestS3;
    store_ = open();
  }
  void TearDown() override {
    if (store_ == nullptr) return;
    EXPECT_TRUE(store_->remove_all(""));
    EXPECT_TRUE(folder_.files().empty());
  }

  std::unique_ptr<ObjectStore> open() { return GetParam().open(folder_.path()).value(); }

  Result<> put(const std::string& key, const std::string& bytes) const {
    const auto writer = SPILLFS_TRY(store_->create(key));
    SPILLFS_TRY(writer->write(as_bytes(bytes)));
    return writer->finish();
  }
  std::string get(const std::string& key, std::size_t count = 64 * kMiB,
                  std::uint64_t offset = 0) const {
    std::string bytes(count, '?');
    const auto got = store_->read(key, std::as_writable_bytes(std::span(bytes)), offset);
    return got ? bytes.substr(0, *got) : "error " + std::to_string(got.error().code);
  }
  // Whether there is no such object.
  bool gone(const std::string& key) const {
    return get(key, 1) == "error " + std::to_string(ENOENT);
  }
  Result<> remove(std::vector<std::string> keys) const { return store_->remove(keys); }

  TemporaryFolder folder_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_P(ObjectStoreTest, KeepsObjectsOfEverySize) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kMiB - 1, kMiB, kMiB + 1, 11 * kMiB + 3}) {
    const std::string bytes = some_bytes(size);
    ASSERT_TRUE(put("size", bytes)) << size;
    EXPECT_TRUE(get("size") == bytes) << size;
    ASSERT_TRUE(remove({"size"}));
  }
}

TEST_P(ObjectStoreTest, JoinsWritesOfAnyLength) {
  const std::string bytes = some_bytes(6 * kMiB);
  const auto writer = store_->create("pieces").value();
  for (std::size_t at = 0, length = 0; at < bytes.size(); at += length) {
    length = std::min(bytes.size() - at, at % 3 == 0 ? 17 : at + 1);
    ASSERT_TRUE(writer->write(as_bytes(bytes).subspan(at, length)));
    ASSERT_TRUE(writer->write({}));
  }
  ASSERT_TRUE(writer->finish());
  EXPECT_TRUE(get("pieces") == bytes);
}

TEST_P(ObjectStoreTest, ReadsFewerBytesOnlyAtTheEnd) {
  ASSERT_TRUE(put("ten", "0123456789"));
  EXPECT_EQ(get("ten", 3, 0), "012");
  EXPECT_EQ(get("ten", 3, 7), "789");
  EXPECT_EQ(get("ten", 3, 8), "89");
  EXPECT_EQ(get("ten", 3, 10), "");
  EXPECT_EQ(get("ten", 3, std::uint64_t{1} << 63), "");
  EXPECT_EQ(get("ten", 3, ~std::uint64_t{0}), "");
  EXPECT_EQ(get("ten", 0, 0), "");
}

TEST_P(ObjectStoreTest, SaysWhatIsMissing) {
  EXPECT_TRUE(gone("folder/absent"));
  EXPECT_TRUE(remove({"folder/absent", "absent"}));
  EXPECT_TRUE(store_->remove_all("folder/"));
  EXPECT_TRUE(store_->remove_all("absent-"));
}

TEST_P(ObjectStoreTest, RefusesWhatIsNoKey) { EXPECT_EQ(store_->create("").error().code, EINVAL); }

TEST_P(ObjectStoreTest, LeavesNothingOfWhatGoesUnfinished) {
  {
    const auto writer = store_->create("folder/half").value();
    ASSERT_TRUE(writer->write(as_bytes(some_bytes(6 * kMiB))));
    EXPECT_TRUE(!GetParam().hides_unfinished || gone("folder/half"));
  }
  EXPECT_TRUE(gone("folder/half"));
  EXPECT_TRUE(folder_.files().empty());
  EXPECT_TRUE(put("folder/half", "whole"));
}

TEST_P(ObjectStoreTest, KeepsWhatATakenKeyHolds) {
  ASSERT_TRUE(put("taken", "first"));
  EXPECT_EQ(put("taken", "second").error().code, EEXIST);
  EXPECT_EQ(get("taken"), "first");
  ASSERT_TRUE(remove({"taken"}));
  EXPECT_TRUE(put("taken", "second"));
  EXPECT_EQ(get("taken"), "second");
}

TEST_P(ObjectStoreTest, LetsOneOfTwoWritersWin) {
  auto first = store_->create("contested");
  auto second = store_->create("contested");
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->write(as_bytes("first")));
  if (second) {
    ASSERT_TRUE((*second)->write(as_bytes("second")));
    EXPECT_TRUE((*second)->finish());
    EXPECT_EQ((*first)->finish().error().code, EEXIST);
  } else {
    EXPECT_EQ(second.error().code, EEXIST);
    EXPECT_TRUE((*first)->finish());
  }
  first = fail(ECANCELED);  // the loser's end must not take the winner's object away
  EXPECT_EQ(get("contested"), second ? "second" : "first");
}

TEST_P(ObjectStoreTest, TakesAnyCharacter) {
  std::vector<std::string> keys{"a b", "größe/雪", "q?x=1&y#z", "100%",
                                "%20", "a+b",      "..dots..",  "new\nline"};
  if (!GetParam().in_s3) keys.emplace_back("a//b");  // MinIO keeps no empty names
  for (const auto& key : keys) ASSERT_TRUE(put(key, key)) << key;
  for (const auto& key : keys) EXPECT_EQ(get(key), key);
  ASSERT_TRUE(remove(keys));
  for (const auto& key : keys) EXPECT_TRUE(gone(key)) << key;
}

TEST_P(ObjectStoreTest, RemovesByPrefix) {
  const std::vector<std::string> inside{"a/x-1", "a/x-2", "a/x-deep/er/3"};
  const std::vector<std::string> outside{"a/y", "a/x", "b/x-1", "ab"};
  for (const auto& key : inside) ASSERT_TRUE(put(key, "in"));
  for (const auto& key : outside) ASSERT_TRUE(put(key, "out"));
  ASSERT_TRUE(store_->remove_all("a/x-"));
  for (const auto& key : inside) EXPECT_TRUE(gone(key)) << key;
  for (const auto& key : outside) EXPECT_EQ(get(key), "out");
  ASSERT_TRUE(store_->remove_all("a/"));
  EXPECT_TRUE(gone("a/x") && gone("a/y"));
  EXPECT_EQ(get("ab") + get("b/x-1"), "outout");
  ASSERT_TRUE(store_->remove_all("a/"));
  EXPECT_TRUE(put("a/again", "x"));
}

TEST_P(ObjectStoreTest, RemovesAllWhileOthersWriteAndRemove) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> others;
  for (int thread = 0; thread < 3; ++thread) {
    others.emplace_back([&, thread] {
      const auto store = open();
      for (int i = 0; !stop; ++i) {
        const std::string key = "s/" + std::to_string(thread) + "/" + std::to_string(i % 50);
        const auto writer = store->create(key);
        // The folder may go between two steps.
        if (writer && (*writer)->write(as_bytes("x"))) static_cast<void>((*writer)->finish());
        if (i % 3 != 0) continue;
        EXPECT_TRUE(store->remove(std::vector<std::string>{key}));
      }
    });
  }
  for (int i = 0; i < (GetParam().in_s3 ? 5 : 50); ++i) {
    const auto removed = store_->remove_all("s/");
    // Only a directory's writers can be faster than its removal for long.
    EXPECT_TRUE(removed || removed.error().code == EBUSY) << describe(removed.error());
  }
  stop = true;
  others.clear();
  ASSERT_TRUE(store_->remove_all("s/"));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(gone("s/0/" + std::to_string(i)));
}

TEST_P(ObjectStoreTest, ServesManyThreads) {
  std::vector<std::jthread> threads;
  for (unsigned thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const std::string key = "threads/" + std::to_string(thread);
      for (unsigned i = 0; i < 10; ++i) {
        const std::string bytes = some_bytes(100000, thread * 100 + i);
        EXPECT_TRUE(put(key, bytes));
        EXPECT_TRUE(get(key, 200000) == bytes);
        EXPECT_TRUE(remove({key}));
      }
    });
  }
}

TEST_P(ObjectStoreTest, MayEndBeforeItsWriters) {
  const auto writer = store_->create("later").value();
  store_.reset();
  ASSERT_TRUE(writer->write(as_bytes("bytes")));
  ASSERT_TRUE(writer->finish());
  store_ = open();
  EXPECT_EQ(get("later"), "bytes");
}

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

INSTANTIATE_TEST_SUITE_P(Stores, ObjectStoreTest, testing::ValuesIn(kinds()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace spillfs::tests
