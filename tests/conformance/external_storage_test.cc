// SPDX-License-Identifier: Apache-2.0
// What every type of Ray's external storage does, on each of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <thread>

#include "storage/external/object_url.h"
#include "storage/format.h"
#include "tests/support/external.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

using ext::create_url_with_offset;
using ext::parse_url_with_offset;
using ext::SpillObject;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Kind {
  std::string name;
  std::function<json(const std::string& folder)> config;
  bool in_s3 = false;
};

json in_folders(const std::string& type, const std::string& folder, json params = json::object()) {
  params["directory_path"] = {folder + "/one", folder + "/two"};
  return {{"type", type}, {"params", params}};
}

json folder_uris(const std::string& folder) {
  json uris = {folder + "/one", "file://" + folder + "/two"};
  std::filesystem::create_directory(folder + "/one");
  std::filesystem::create_directory(folder + "/two");
  return uris;
}

json transport_params() {
  const auto s3 = *test_s3();
  return {{"endpoint_url", s3.endpoint},
          {"region_name", s3.region},
          {"aws_access_key_id", s3.access_key},
          {"aws_secret_access_key", s3.secret_key}};
}

std::string s3_uri(const std::string& folder) {
  return std::string(kTestBucketUri) + "/" + std::filesystem::path(folder).filename().string();
}

json smart_open_s3(const std::string& folder) {
  return {{"type", "smart_open"},
          {"params",
           {{"uri", {s3_uri(folder) + "/one/", s3_uri(folder) + "/two"}},
            {"override_transport_params", transport_params()}}}};
}

json ray_storage_s3(const std::string& folder) {
  return {
      {"type", "ray_storage"},
      {"params", {{"storage", s3_uri(folder)}, {"override_transport_params", transport_params()}}}};
}

std::vector<Kind> kinds() {
  return {
      {"filesystem",
       [](const auto& folder) {
         return json{{"type", "filesystem"}, {"params", {{"directory_path", folder}}}};
       }},
      {"filesystem_list", [](const auto& folder) { return in_folders("filesystem", folder); }},
      {"filesystem_unbuffered",
       [](const auto& folder) {
         return in_folders("filesystem", folder, {{"buffer_size", 0}});
       }},
      {"mock_distributed_fs",
       [](const auto& folder) { return in_folders("mock_distributed_fs", folder); }},
      {"unstable_fs",
       [](const auto& folder) {
         return in_folders("unstable_fs", folder,
                           {{"failure_rate", 0}, {"partial_failure_ratio", 0}});
       }},
      {"slow_fs",
       [](const auto& folder) {
         return in_folders("slow_fs", folder, {{"min_delay", 0}, {"max_delay", 0.001}});
       }},
      {"ray_storage",
       [](const auto& folder) {
         return json{{"type", "ray_storage"}, {"params", {{"storage", "file://" + folder}}}};
       }},
      {"smart_open",
       [](const auto& folder) {
         return json{{"type", "smart_open"}, {"params", {{"uri", folder_uris(folder)}}}};
       }},
      {"smart_open_s3", smart_open_s3, true},
      {"ray_storage_s3", ray_storage_s3, true},
  };
}

class ExternalStorageTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam().in_s3 && !test_s3()) GTEST_SKIP() << kNoTestS3;
    config_ = GetParam().config(folder_.path()).dump();
    storage_ = open();
  }
  void TearDown() override {
    if (storage_ == nullptr) return;
    EXPECT_TRUE(storage_->destroy_external_storage());
    EXPECT_THAT(folder_.files(), IsEmpty());
  }

  std::unique_ptr<ext::ExternalStorage> open(const std::string& session = "session") const {
    return ext::make_external_storage(config_, session).value();
  }

  std::vector<std::string> spill(const std::vector<SpillObject>& objects) {
    auto urls = storage_->spill_objects(objects);
    EXPECT_TRUE(urls) << describe(urls.error());
    return urls.value_or(std::vector<std::string>());
  }
  Result<std::uint64_t> restore(const std::vector<std::string>& urls, KeepingSink& sink) {
    return storage_->restore_spilled_objects(std::vector<std::string>(urls.size(), "00"), urls,
                                             sink);
  }
  Error restore_error(const std::string& url) {
    KeepingSink sink;
    const auto restored = restore({url}, sink);
    return restored ? Error{.code = 0, .context = "no error", .where = {}} : restored.error();
  }

  TemporaryFolder folder_;
  std::string config_;
  std::unique_ptr<ext::ExternalStorage> storage_;
};

TEST_P(ExternalStorageTest, RestoresWhatWasSpilled) {
  const std::vector<std::size_t> sizes{0, 1, 4095, 4096, 100'000, kMiB + 1, 9 * kMiB, 0};
  std::vector<std::string> bytes;
  for (const std::size_t size : sizes) bytes.push_back(some_bytes(size));
  bytes.push_back(bytes[2]);
  std::vector<SpillObject> objects;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    objects.push_back(object_of(bytes[i], some_bytes(i * 7, 1), some_bytes(i % 3, 2)));
  }
  objects.push_back(object_of(bytes.back(), std::string(3 * kMiB, 'o'), ""));

  const auto urls = spill(objects);
  ASSERT_EQ(urls.size(), objects.size());
  KeepingSink sink;
  const auto refs = refs_of(objects);
  const auto restored = storage_->restore_spilled_objects(refs, urls, sink);
  ASSERT_TRUE(restored) << describe(restored.error());
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const auto& [object, read] = sink.kept[i];
    EXPECT_EQ(object.ref, objects[i].ref);
    EXPECT_TRUE(object.owner_address == objects[i].owner_address) << i;
    EXPECT_TRUE(object.metadata == objects[i].metadata) << i;
    EXPECT_EQ(object.length, bytes[i].size());
    EXPECT_TRUE(read == bytes[i]) << i;
    total += bytes[i].size();
  }
  EXPECT_EQ(*restored, total);
}

TEST_P(ExternalStorageTest, FusesTheObjectsOfOneSpill) {
  const std::string bytes = some_bytes(1000);
  const std::vector<SpillObject> objects{object_of(bytes, "o", "mm"), object_of("", "", ""),
                                         object_of(bytes)};
  const auto urls = spill(objects);
  ASSERT_EQ(urls.size(), 3U);
  std::uint64_t end = 0;
  for (const auto& text : urls) {
    const auto url = parse_url_with_offset(text).value();
    EXPECT_EQ(url.base, parse_url_with_offset(urls[0])->base);
    EXPECT_EQ(url.offset, end);
    end += url.size;
  }
  EXPECT_EQ(end, 3U * 24 + 3 + 1000 + 9 + 1000);
  EXPECT_THAT(urls[0], HasSubstr(objects[0].ref + "-multi-3?offset=0&size=1027"));
}

TEST_P(ExternalStorageTest, SpillsNothingWithoutWriting) {
  EXPECT_THAT(spill({}), IsEmpty());
  EXPECT_THAT(folder_.files(), IsEmpty());
}

TEST_P(ExternalStorageTest, RestoresInAnyOrderAndInSmallPieces) {
  const std::string first = some_bytes(70'000, 1);
  const std::string second = some_bytes(kMiB + 70'000, 2);
  auto urls = spill({object_of(first), object_of(second)});
  KeepingSink sink(4097);
  ASSERT_TRUE(restore({urls[1], urls[0], urls[1]}, sink));
  EXPECT_TRUE(sink.kept[0].bytes == second);
  EXPECT_TRUE(sink.kept[1].bytes == first);
  EXPECT_TRUE(sink.kept[2].bytes == second);
  EXPECT_EQ(storage_->restore_spilled_objects({}, urls, sink).error().code, EINVAL);
}

TEST_P(ExternalStorageTest, RestoresInAnotherProcess) {
  const std::string bytes = some_bytes(5000);
  const auto urls = spill({object_of(bytes)});
  const auto other = open("another session");
  KeepingSink sink;
  ASSERT_TRUE(other->restore_spilled_objects(std::vector<std::string>{"00"}, urls, sink));
  EXPECT_TRUE(sink.kept[0].bytes == bytes);
  ASSERT_TRUE(other->delete_spilled_objects(urls));
  EXPECT_EQ(restore_error(urls[0]).code, ENOENT);
}

TEST_P(ExternalStorageTest, GoesRoundItsPlaces) {
  std::set<std::string> places;
  for (int i = 0; i < 4; ++i) {
    const std::string url = spill({object_of("x")})[0];
    places.insert(url.substr(0, url.rfind('/')));
  }
  const json params = json::parse(config_)["params"];
  const auto& list = params.value("directory_path", params.value("uri", json("one")));
  EXPECT_EQ(places.size(), list.is_array() ? 2U : 1U);
}

TEST_P(ExternalStorageTest, RefusesObjectsThatDoNotExist) {
  SpillObject missing = object_of("");
  missing.buffer.reset();
  const std::vector<SpillObject> objects{object_of("bytes"), missing};
  EXPECT_EQ(storage_->spill_objects(objects).error().context,
            "object ref " + missing.ref + " does not exist.");
  missing.metadata = "F";
  const auto failed = storage_->spill_objects(std::vector{missing});
  EXPECT_EQ(failed.error().code, EINVAL);
  EXPECT_EQ(failed.error().context, "object ref " + missing.ref +
                                        " does not exist. This is probably since its owner has "
                                        "failed.");
  missing = object_of("bytes");
  missing.ref = "../../etc/passwd";
  EXPECT_EQ(storage_->spill_objects(std::vector{missing}).error().code, EINVAL);
  EXPECT_THAT(folder_.files(), IsEmpty());
}

TEST_P(ExternalStorageTest, GivesNoNameTwice) {
  const std::string first = some_bytes(1000, 1);
  const std::string second = some_bytes(1000, 2);
  SpillObject object = object_of(first);
  const auto place_count = 2;
  std::vector<std::string> urls;
  for (int i = 0; i <= place_count; ++i) {  // one of the places is used twice
    object.buffer = as_bytes(i == place_count ? second : first);
    urls.push_back(spill({object})[0]);
  }
  EXPECT_EQ(std::set<std::string>(urls.begin(), urls.end()).size(), urls.size());
  const auto last = parse_url_with_offset(urls.back())->base;
  EXPECT_THAT(last, testing::MatchesRegex(".*[0-9a-f]{32}-multi-1"));
  EXPECT_THAT(last, testing::Not(HasSubstr(object.ref)));
  KeepingSink sink;
  ASSERT_TRUE(restore(urls, sink));
  EXPECT_TRUE(sink.kept[0].bytes == first);
  EXPECT_TRUE(sink.kept.back().bytes == second);
}

TEST_P(ExternalStorageTest, DeletesFilesOnceAndAgain) {
  const auto urls = spill({object_of("one"), object_of("two")});
  const auto stays = spill({object_of("three")});
  ASSERT_TRUE(storage_->delete_spilled_objects(std::vector{urls[1]}));
  EXPECT_EQ(restore_error(urls[0]).code, ENOENT);
  EXPECT_TRUE(storage_->delete_spilled_objects(urls));
  EXPECT_TRUE(storage_->delete_spilled_objects({}));
  KeepingSink sink;
  EXPECT_TRUE(restore(stays, sink));
}

TEST_P(ExternalStorageTest, DeletesTheOthersWhenOneUrlIsBad) {
  auto urls = spill({object_of("one")});
  urls.insert(urls.begin(), "no url");
  const auto deleted = storage_->delete_spilled_objects(urls);
  EXPECT_EQ(deleted.error().code, EINVAL);
  EXPECT_EQ(deleted.error().context, "Failed to parse URL: no url");
  EXPECT_EQ(restore_error(urls[1]).code, ENOENT);
}

TEST_P(ExternalStorageTest, DestroysEverything) {
  std::vector<std::string> urls;
  for (int i = 0; i < 5; ++i) urls.push_back(spill({object_of("bytes")})[0]);
  ASSERT_TRUE(open()->destroy_external_storage());
  EXPECT_THAT(folder_.files(), IsEmpty());
  for (const auto& url : urls) EXPECT_EQ(restore_error(url).code, ENOENT);
  ASSERT_TRUE(storage_->destroy_external_storage());
  EXPECT_TRUE(storage_->delete_spilled_objects(urls));
  KeepingSink sink;
  EXPECT_TRUE(restore(spill({object_of("again")}), sink));
}

TEST_P(ExternalStorageTest, ChecksTheSize) {
  const std::string url = spill({object_of("12345")})[0];
  const auto parsed = parse_url_with_offset(url).value();
  ASSERT_EQ(parsed.size, 38U);
  const auto with = [&](std::uint64_t offset, std::uint64_t size) {
    return restore_error(create_url_with_offset(parsed.base, offset, size));
  };
  EXPECT_EQ(with(0, 37).code, EINVAL);
  EXPECT_EQ(with(0, 37).context,
            "Obtained data has a size of 38, although it is supposed to have the size of 37.");
  EXPECT_EQ(with(0, 0).code, EINVAL);
  EXPECT_EQ(with(0, 39).code, EINVAL);
  EXPECT_EQ(with(38, 24).code, EIO);
  EXPECT_EQ(with(1000, 24).code, EIO);
  EXPECT_EQ(with(~std::uint64_t{0}, 24).code, EIO);
}

// Records inside an object's buffer, with lengths that nothing has written.
TEST_P(ExternalStorageTest, BelievesNoLengths) {
  const auto forged = [](std::uint64_t owner, std::uint64_t metadata, std::uint64_t data) {
    return storage::RayHeader{
        .owner_address_length = owner, .metadata_length = metadata, .data_length = data};
  };
  const auto error_of = [&](const storage::RayHeader& header, std::uint64_t size) {
    const std::string bytes(as_text(bytes_of(header)));
    const auto url = parse_url_with_offset(spill({object_of(bytes, "", "")})[0]).value();
    return restore_error(create_url_with_offset(url.base, 24, size));
  };
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  // As 64 bits the sum would be the url's size.
  const auto wrapped = error_of(forged(kMost, kMost, 3), 24 + 1);
  EXPECT_EQ(wrapped.code, EINVAL);
  EXPECT_THAT(wrapped.context, HasSubstr("has a size of 36893488147419103257,"));
  EXPECT_EQ(error_of(forged(0, kMost - 24, 0), kMost).code, EIO);
  EXPECT_EQ(error_of(forged(kMost - 24, 0, 0), kMost).code, EIO);
  EXPECT_EQ(error_of(forged(0, std::uint64_t{1} << 40, 0), (std::uint64_t{1} << 40) + 24).code,
            EIO);
}

class RefusingSink final : public ext::ObjectSink {
 public:
  Result<> put(const ext::RestoredObject&, ext::BufferReader&) override {
    ++calls;
    return fail(ENOMEM, "the store is full");
  }
  int calls = 0;
};

TEST_P(ExternalStorageTest, EndsARestoreWithTheSinksError) {
  const auto urls = spill({object_of("one"), object_of("two")});
  RefusingSink sink;
  const auto restored =
      storage_->restore_spilled_objects(std::vector<std::string>{"00", "01"}, urls, sink);
  EXPECT_EQ(restored.error().code, ENOMEM);
  EXPECT_EQ(sink.calls, 1);
}

TEST_P(ExternalStorageTest, ServesManyThreads) {
  std::vector<std::jthread> threads;
  for (unsigned thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      for (unsigned i = 0; i < 5; ++i) {
        const std::string bytes = some_bytes(50'000, thread * 10 + i);
        const auto urls = spill({object_of("first"), object_of(bytes)});
        KeepingSink sink;
        EXPECT_TRUE(restore(urls, sink));
        EXPECT_TRUE(sink.kept[1].bytes == bytes);
        EXPECT_TRUE(storage_->delete_spilled_objects(urls));
      }
    });
  }
}

TEST_P(ExternalStorageTest, TellsTheHooksWhatIsWrittenAndStops) {
  std::uint64_t written = 0;
  const std::string bytes = some_bytes(20 * kMiB);
  const std::vector<SpillObject> objects{object_of(bytes)};
  auto storage = ext::make_external_storage(config_, "session",
                                            {.written =
                                                 [&](auto count) {
                                                   written += count;
                                                   return Result<>();
                                                 }})
                     .value();
  const auto urls = storage->spill_objects(objects);
  ASSERT_TRUE(urls);
  EXPECT_EQ(written, parse_url_with_offset(urls->at(0))->size);
  storage =
      ext::make_external_storage(
          config_, "session", {.written = [&](auto) -> Result<> { return fail(EINTR, "enough"); }})
          .value();
  const auto before = folder_.files();
  EXPECT_EQ(storage->spill_objects(std::vector{object_of(bytes)}).error().code, EINTR);
  EXPECT_EQ(folder_.files(), before);
}

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

INSTANTIATE_TEST_SUITE_P(Types, ExternalStorageTest, testing::ValuesIn(kinds()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace spillfs::tests
