// SPDX-License-Identifier: Apache-2.0
// What is not common to all types: the storages for testing, the functions of the process, what an
// end of a file or of a name does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "storage/external/directory_object_store.h"
#include "storage/external/external_storage.h"
#include "storage/external/file_references.h"
#include "storage/external/object_store_storage.h"
#include "storage/external/object_url.h"
#include "tests/support/external.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string config(const std::string& type, const std::string& folder,
                   const std::string& more = "") {
  return R"({"type":")" + type + R"(","params":{"directory_path":")" + folder + "\"" + more + "}}";
}

std::unique_ptr<ext::ExternalStorage> make(const std::string& text) {
  return ext::make_external_storage(text, "session").value();
}

TEST(NullStorage, RefusesEverything) {
  const auto storage = make("");
  KeepingSink sink;
  const std::vector<std::string> urls{"/a?offset=0&size=24"};
  EXPECT_EQ(storage->spill_objects({}).error().code, ENOSYS);
  EXPECT_EQ(storage->spill_objects({}).error().context, "External storage is not initialized");
  EXPECT_EQ(storage->restore_spilled_objects(urls, urls, sink).error().code, ENOSYS);
  EXPECT_EQ(storage->delete_spilled_objects(urls).error().code, ENOSYS);
  EXPECT_EQ(storage->destroy_external_storage().error().code, ENOSYS);
}

TEST(UnstableStorage, FailsAndSpillsPartsAsOftenAsItSays) {
  const TemporaryFolder folder;
  const auto storage = make(config("unstable_fs", folder.path(), R"(,"seed":1)"));
  const std::vector<ext::SpillObject> objects{object_of("a"), object_of("b"), object_of("c")};
  std::vector<int> counts(4);
  int failed = 0;
  constexpr int kSpills = 3000;
  for (int i = 0; i < kSpills; ++i) {
    const auto urls = storage->spill_objects(objects);
    if (urls) {
      ++counts[urls->size()];
      for (const auto& url : *urls) {
        EXPECT_THAT(url, HasSubstr("-multi-" + std::to_string(urls->size())));
      }
      ASSERT_TRUE(storage->delete_spilled_objects(*urls));
      continue;
    }
    EXPECT_EQ(urls.error().code, EIO);
    EXPECT_EQ(urls.error().context, "Spilling object failed intentionally for testing.");
    ++failed;
  }
  EXPECT_NEAR(failed, kSpills * 0.1, kSpills * 0.03);
  EXPECT_NEAR(counts[3], kSpills * 0.8, kSpills * 0.03);
  for (std::size_t count = 0; count < 3; ++count) EXPECT_NEAR(counts[count], kSpills * 0.1 / 3, 50);
  EXPECT_THAT(folder.files(), IsEmpty());
}

TEST(UnstableStorage, AlwaysFailsWhenToldSo) {
  const TemporaryFolder folder;
  const auto storage = make(config("unstable_fs", folder.path(), R"(,"failure_rate":1)"));
  EXPECT_EQ(storage->spill_objects(std::vector{object_of("a")}).error().code, EIO);
}

TEST(SlowStorage, WaitsBeforeItSpills) {
  const TemporaryFolder folder;
  const auto storage =
      make(config("slow_fs", folder.path(), R"(,"min_delay":0.05,"max_delay":0.06)"));
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(storage->spill_objects(std::vector{object_of("a")}));
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(50));
}

TEST(ProcessStorage, IsSetUpAndReset) {
  const TemporaryFolder folder;
  const std::vector<ext::SpillObject> objects{object_of("bytes")};
  EXPECT_EQ(ext::spill_objects(objects).error().code, ENOSYS);
  ASSERT_TRUE(ext::setup_external_storage(config("filesystem", folder.path()), "session"));
  EXPECT_FALSE(
      ext::setup_external_storage(R"({"type":"floppy"})", "session"));  // the old one stays
  const auto urls = ext::spill_objects(objects).value();
  KeepingSink sink;
  EXPECT_EQ(ext::restore_spilled_objects(refs_of(objects), urls, sink).value(), 5U);
  ASSERT_TRUE(ext::delete_spilled_objects(urls));
  ext::reset_external_storage();
  EXPECT_EQ(ext::restore_spilled_objects(refs_of(objects), urls, sink).error().code, ENOSYS);
  EXPECT_EQ(ext::delete_spilled_objects(urls).error().code, ENOSYS);
}

TEST(Filesystem, HasRaysPaths) {
  const TemporaryFolder folder;
  const auto storage = make(config("filesystem", folder.path()));
  EXPECT_TRUE(std::filesystem::is_directory(folder.path() + "/ray_spilled_objects"));
  const auto object = object_of("bytes");
  EXPECT_THAT(storage->spill_objects(std::vector{object}).value(),
              ElementsAre(folder.path() + "/ray_spilled_objects/" + object.ref +
                          "-multi-1?offset=0&size=38"));
  ASSERT_TRUE(storage->destroy_external_storage());
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/ray_spilled_objects"));
}

TEST(Filesystem, SaysWhichDirectoryCannotBeMade) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() + "/file");
  const auto made =
      ext::make_external_storage(config("filesystem", folder.path() + "/file"), "session");
  EXPECT_EQ(made.error().code, ENOTDIR);
  EXPECT_THAT(made.error().context, HasSubstr(folder.path() + "/file/ray_spilled_objects"));
}

TEST(SmartOpen, WantsADirectoryThatExists) {
  const TemporaryFolder folder;
  const auto made = ext::make_external_storage(
      R"({"type":"smart_open","params":{"uri":")" + folder.path() + R"(/absent"}})", "session");
  EXPECT_EQ(made.error().code, ENOENT);
  EXPECT_EQ(ext::open_object_store("gs://bucket", {}).error().code, EINVAL);
  EXPECT_EQ(ext::open_object_store("file://host/path", {}).error().code, EINVAL);
}

TEST(SmartOpen, DestroysOnlyItsOwn) {
  const TemporaryFolder folder;
  const auto storage =
      make(R"({"type":"smart_open","params":{"uri":")" + folder.path() + R"(","prefix":"mine"}})");
  ASSERT_TRUE(storage->spill_objects(std::vector{object_of("bytes")}));
  std::ofstream(folder.path() + "/mineral");
  ASSERT_TRUE(storage->destroy_external_storage());
  EXPECT_THAT(folder.files(), ElementsAre("mineral"));
}

TEST(RayStorage, DestroysOnlyItsSession) {
  const TemporaryFolder folder;
  const std::string text =
      R"({"type":"ray_storage","params":{"storage":")" + folder.path() + "\"}}";
  const auto one = ext::make_external_storage(text, "one").value();
  const auto two = ext::make_external_storage(text, "two").value();
  ASSERT_TRUE(one->spill_objects(std::vector{object_of("bytes")}));
  const auto object = object_of("bytes");
  ASSERT_TRUE(two->spill_objects(std::vector{object}));
  ASSERT_TRUE(one->destroy_external_storage());
  EXPECT_THAT(folder.files(), ElementsAre("spilled_objects/two/" + object.ref + "-multi-1"));
}

TEST(Restore, FindsTheEndOfATruncatedFile) {
  const TemporaryFolder folder;
  const auto storage = make(config("filesystem", folder.path()));
  const std::string bytes = some_bytes(3 * kMiB);
  const auto urls = storage->spill_objects(std::vector{object_of(bytes)}).value();
  const std::string path = ext::parse_url_with_offset(urls[0])->base;
  for (const std::uint64_t size : {3 * kMiB + 30, kMiB + 1, std::uint64_t{24}, std::uint64_t{23}}) {
    std::filesystem::resize_file(path, size);
    KeepingSink sink(kMiB);
    const auto restored =
        storage->restore_spilled_objects(std::vector<std::string>{"00"}, urls, sink);
    ASSERT_FALSE(restored) << size;
    EXPECT_EQ(restored.error().code, EIO);
    EXPECT_THAT(restored.error().context, HasSubstr(path + " ends before"));
  }
}

// Through a link, by a relative path, and with "file://".
TEST(Urls, NameTheSamePlaceInOtherWays) {
  const TemporaryFolder folder;
  const auto storage = make(config("filesystem", folder.path() + "/own"));
  std::filesystem::create_directory_symlink(folder.path() + "/own", folder.path() + "/link");
  const auto urls = storage->spill_objects(std::vector{object_of("bytes")}).value();
  const std::string relative =
      std::filesystem::path(urls[0]).lexically_relative(std::filesystem::current_path());
  const std::string through = folder.path() + "/link" + urls[0].substr(folder.path().size() + 4);
  KeepingSink sink;
  for (const auto& url : {urls[0], "file://" + urls[0], relative, through}) {
    const auto restored =
        storage->restore_spilled_objects(std::vector<std::string>{"00"}, std::vector{url}, sink);
    EXPECT_TRUE(restored) << url << ": " << restored.error().context;
  }
  EXPECT_THAT(sink.kept, SizeIs(4));
  EXPECT_TRUE(storage->delete_spilled_objects(std::vector{through}));
  EXPECT_THAT(folder.files(), IsEmpty());
  // A storage that was set up through the link gives urls through it.
  const auto linked = make(config("filesystem", folder.path() + "/link"));
  const auto more = linked->spill_objects(std::vector{object_of("bytes")}).value();
  EXPECT_TRUE(storage->delete_spilled_objects(more));
  EXPECT_THAT(folder.files(), IsEmpty());
}

// Today's Ray has the node's id behind the folder's name.
TEST(Urls, NameTheFoldersOfOtherVersionsOfRay) {
  const TemporaryFolder folder;
  const auto storage = make(config("filesystem", folder.path()));
  const auto url = storage->spill_objects(std::vector{object_of("bytes")}).value()[0];
  const std::string todays = folder.path() + "/ray_spilled_objects_0a1b";
  std::filesystem::rename(folder.path() + "/ray_spilled_objects", todays);
  const std::string name = url.substr(url.rfind('/'));
  KeepingSink sink;
  EXPECT_TRUE(storage->restore_spilled_objects(std::vector<std::string>{"00"},
                                               std::vector{todays + name}, sink));
  EXPECT_TRUE(storage->delete_spilled_objects(std::vector{todays + name}));
  EXPECT_THAT(folder.files(), IsEmpty());
}

TEST(Urls, OfOtherPlacesAreRefused) {
  const TemporaryFolder folder;
  const auto other = make(config("filesystem", folder.path() + "/other"));
  const auto foreign = other->spill_objects(std::vector{object_of("bytes")}).value()[0];
  const auto storage = make(config("filesystem", folder.path() + "/own"));
  std::ofstream(folder.path() + "/own/beside") << "x";
  const std::string own = folder.path() + "/own/ray_spilled_objects/";
  const std::vector<std::string> bad{
      foreign,
      "file://" + foreign,
      own + "../beside?offset=0&size=24",
      own + "../../other" + foreign.substr(folder.path().size() + 6),
      folder.path() + "/own/beside?offset=0&size=24",
      folder.path() + "/own/../own/ray_spilled_objects/../beside?offset=0&size=24",
      own + "?offset=0&size=24",
      "s3://bucket/ray_spilled_objects/x?offset=0&size=24",
      "/etc/passwd?offset=0&size=24"};
  const auto before = folder.files();
  for (const auto& url : bad) {
    KeepingSink sink;
    const auto restored =
        storage->restore_spilled_objects(std::vector<std::string>{"00"}, std::vector{url}, sink);
    EXPECT_EQ(restored.error().code, EPERM) << url;
    EXPECT_THAT(restored.error().context,
                HasSubstr("is not in this storage, whose urls begin with " + own));
    EXPECT_EQ(storage->delete_spilled_objects(std::vector{url}).error().code, EPERM) << url;
  }
  EXPECT_EQ(folder.files(), before);
}

// 5 GiB that take no memory and no disk: the length in the header, and the offset behind it.
TEST(Records, CountBeyond4GiB) {
  class CountingWriter final : public ext::ObjectWriter {
   public:
    explicit CountingWriter(std::vector<std::uint64_t>& written) : written_(written) {}
    Result<> write(Bytes from) override {
      if (from.size() == sizeof(RayLengths)) lengths_ = load<RayLengths>(from);
      if (from.size() == sizeof(RayLengths)) written_.push_back(lengths_.data);
      return {};
    }
    Result<> finish() override { return {}; }

   private:
    struct RayLengths {
      std::uint64_t owner, metadata, data;
    };
    RayLengths lengths_{};
    std::vector<std::uint64_t>& written_;
  };
  class CountingStore final : public ext::ObjectStore {
   public:
    Result<std::unique_ptr<ext::ObjectWriter>> create(const std::string&) override {
      return std::make_unique<CountingWriter>(lengths);
    }
    Result<std::size_t> read(const std::string&, MutableBytes, std::uint64_t) override {
      return fail(ENOENT);
    }
    Result<> remove(std::span<const std::string>) override { return {}; }
    Result<> remove_all(const std::string&) override { return {}; }
    [[nodiscard]] bool is_at(const std::string&) const override { return false; }
    std::vector<std::uint64_t> lengths;
  };
  const auto store = std::make_shared<CountingStore>();
  ext::ObjectStoreStorage storage(
      {.places = {{.store = store, .key_prefix = "", .url_prefix = "/p/"}}});
  // Nobody looks at the bytes.
  const Bytes large(reinterpret_cast<const std::byte*>(&storage), std::uint64_t{5} * kGiB);
  std::vector<ext::SpillObject> objects{object_of("", "", ""), object_of("x", "", "")};
  objects[0].buffer = large;
  const auto urls = storage.spill_objects(objects).value();
  EXPECT_THAT(store->lengths, ElementsAre(std::uint64_t{5} * kGiB, 1));
  EXPECT_EQ(ext::parse_url_with_offset(urls[0])->size, std::uint64_t{5} * kGiB + 24);
  EXPECT_EQ(ext::parse_url_with_offset(urls[1])->offset, std::uint64_t{5} * kGiB + 24);
  objects[0].buffer = Bytes(large.data(), ~std::size_t{0} - 10);
  EXPECT_EQ(storage.spill_objects(objects).error().code, EOVERFLOW);
}

TEST(SplitUri, FindsStoresAndKeys) {
  using ext::StoreAndKey;
  EXPECT_THAT(ext::split_uri("s3://bucket/a/b"),
              ElementsAre(StoreAndKey{"s3://bucket/", "a/b"}, StoreAndKey{"s3://bucket/a/", "b"}));
  EXPECT_THAT(ext::split_uri("/a/b"),
              ElementsAre(StoreAndKey{"/", "a/b"}, StoreAndKey{"/a/", "b"}));
  EXPECT_THAT(ext::split_uri("file:///a"), ElementsAre(StoreAndKey{"/", "a"}));
  EXPECT_THAT(ext::split_uri("a/b"), ElementsAre(StoreAndKey{"a/", "b"}, StoreAndKey{".", "a/b"}));
  for (const char* uri : {"s3://bucket", "s3://bucket/", "/", ""}) {
    EXPECT_THAT(ext::split_uri(uri), IsEmpty()) << uri;
  }
}

TEST(FileReferences, NamesTheFileWhenItsLastUrlGoes) {
  ext::FileReferences references;
  const std::vector<std::string> urls{"/a?offset=0&size=30", "/a?offset=30&size=30",
                                      "/b?offset=0&size=30"};
  ASSERT_TRUE(references.add(urls));
  ASSERT_TRUE(references.add(urls));  // told twice, counted once
  EXPECT_EQ(references.count("/a"), 2U);
  EXPECT_THAT(references.release(std::vector{urls[0]}).value(), IsEmpty());
  EXPECT_THAT(references.release(std::vector{urls[0]}).value(), IsEmpty());  // not counted again
  EXPECT_THAT(references.release(std::vector{urls[2], urls[1]}).value(),
              ElementsAre(urls[2], urls[1]));
  EXPECT_EQ(references.count("/a"), 0U);
  EXPECT_THAT(references.release(urls).value(), IsEmpty());
  const std::vector<std::string> bad{urls[0], "no url"};
  EXPECT_EQ(references.add(bad).error().code, EINVAL);
  EXPECT_EQ(references.count("/a"), 0U);
  EXPECT_EQ(references.release(bad).error().code, EINVAL);
}

TEST(FileReferences, GivesEachFileToOneThread) {
  ext::FileReferences references;
  constexpr int kFiles = 200;
  std::vector<std::string> urls;
  for (int i = 0; i < kFiles * 4; ++i) {
    urls.push_back(ext::create_url_with_offset("/f" + std::to_string(i % kFiles),
                                               static_cast<std::uint64_t>(i), 24));
  }
  ASSERT_TRUE(references.add(urls));
  std::atomic<int> files = 0;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (const auto& url : urls) {
        files += static_cast<int>(references.release(std::vector{url})->size());
      }
    });
  }
  threads.clear();
  EXPECT_EQ(files, kFiles);
}

}  // namespace
}  // namespace spillfs::tests
