// SPDX-License-Identifier: Apache-2.0
#include "storage/ray_scanner.h"

#include <gmock/gmock.h>

#include <random>
#include <string>

namespace spillfs::storage {
namespace {

std::string record(const std::string& owner, const std::string& metadata, std::size_t length) {
  const RayHeader header{.owner_address_length = owner.size(),
                         .metadata_length = metadata.size(),
                         .data_length = length};
  return std::string(as_text(bytes_of(header))) + owner + metadata + std::string(length, 'b');
}

std::vector<RayObject> objects_in(const std::string& file, RayTail tail) {
  const auto found = find_ray_objects(
      [&](MutableBytes into, std::uint64_t offset) -> Result<> {
        const Bytes from = as_bytes(file).subspan(offset, into.size());
        std::copy(from.begin(), from.end(), into.begin());
        return {};
      },
      file.size(), tail);
  EXPECT_TRUE(found);
  return found.value_or(std::vector<RayObject>());
}

const std::string kThree =
    record("owner", "PYTHON", 100'000) + record("", "m", 0) + record("o", "", 7);

TEST(RayScanner, CountsObjectsHoweverTheBytesAreCut) {
  for (std::size_t step :
       {std::size_t{1}, std::size_t{7}, std::size_t{24}, std::size_t{4096}, kThree.size()}) {
    RayScanner scanner;
    for (std::size_t at = 0; at < kThree.size(); at += step) {
      scanner.update(as_bytes(kThree).subspan(at, std::min(step, kThree.size() - at)));
    }
    EXPECT_EQ(scanner.position(), kThree.size()) << step;
    EXPECT_EQ(scanner.objects(), 3) << step;
    EXPECT_EQ(scanner.objects_if_whole(), 3) << step;
  }
}

TEST(RayScanner, AnObjectCountsOnceItIsComplete) {
  RayScanner scanner;
  const std::string one = record("owner", "meta", 10);
  scanner.update(as_bytes(one).first(one.size() - 1));
  EXPECT_EQ(scanner.objects(), 0);
  scanner.update(as_bytes(one).last(1));
  EXPECT_EQ(scanner.objects(), 1);
  scanner.update(as_bytes(one).first(30));
  EXPECT_EQ(scanner.objects(), 1);
  EXPECT_EQ(scanner.objects_if_whole(), 0);
}

TEST(RayScanner, OtherFilesHaveNone) {
  for (const std::string& file : {std::string("a text that is long enough for a header"),
                                  std::string(4096, '\0'), std::string(23, '\1'), std::string()}) {
    RayScanner scanner;
    scanner.update(as_bytes(file));
    EXPECT_EQ(scanner.objects(), 0);
    EXPECT_THAT(objects_in(file, RayTail::kMayBeCut), testing::IsEmpty());
  }
  RayScanner scanner;  // what comes behind an object decides as well
  scanner.update(as_bytes(kThree + std::string(24, 'x')));
  EXPECT_EQ(scanner.objects(), 0);
}

TEST(RayScanner, LengthsThatOverflowAreNotRays) {
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  EXPECT_FALSE(
      ray_object(0, {.owner_address_length = 1, .metadata_length = 1, .data_length = kHuge}));
  EXPECT_FALSE(
      ray_object(0, {.owner_address_length = kHuge, .metadata_length = 1, .data_length = 1}));
  const auto large = ray_object(
      100, {.owner_address_length = 72, .metadata_length = 6, .data_length = 5ULL << 32});
  ASSERT_TRUE(large);
  EXPECT_EQ(large->end(), 100 + 24 + 72 + 6 + (5ULL << 32));
}

TEST(FindRayObjects, SaysWhereTheyAre) {
  const auto found = objects_in(kThree, RayTail::kWhole);
  ASSERT_EQ(found.size(), 3);
  EXPECT_EQ(kThree.substr(found[0].owner_address_offset(), 5), "owner");
  EXPECT_EQ(kThree.substr(found[0].metadata_offset(), 6), "PYTHON");
  EXPECT_EQ(found[1].offset, found[0].end());
  EXPECT_EQ(kThree.substr(found[2].data_offset()), "bbbbbbb");
}

TEST(FindRayObjects, ACutTailCountsOnlyWhereItMay) {
  const std::string cut = kThree.substr(0, kThree.size() - 1);
  EXPECT_EQ(objects_in(cut, RayTail::kMayBeCut).size(), 2);
  EXPECT_EQ(objects_in(cut, RayTail::kWhole).size(), 0);
  EXPECT_EQ(objects_in(kThree + "tail", RayTail::kMayBeCut).size(), 3);
  EXPECT_EQ(objects_in(kThree + "tail", RayTail::kWhole).size(), 0);
}

TEST(FindRayObjects, FindsWhatTheScannerCounts) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string file;
    for (auto i = random() % 20; i > 0; --i) {
      file += record(std::string(random() % 80, 'o'), std::string(1 + random() % 8, 'm'),
                     random() % 9000);
    }
    if (random() % 2 == 0)
      file.resize(file.size() - std::min<std::size_t>(file.size(), random() % 50));
    RayScanner scanner;
    scanner.update(as_bytes(file));
    EXPECT_EQ(objects_in(file, RayTail::kMayBeCut).size(), scanner.objects());
    EXPECT_EQ(objects_in(file, RayTail::kWhole).size(), scanner.objects_if_whole());
  }
}

}  // namespace
}  // namespace spillfs::storage
