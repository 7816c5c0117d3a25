// SPDX-License-Identifier: Apache-2.0
// What an object store in an S3-compatible service does beyond the conformance suite.
#include <thread>

#include "tests/s3/s3_fixture.h"

namespace spillfs::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using S3Store = S3Test;

TEST_F(S3Store, KeepsObjectsOfEverySize) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{5 * kMiB},
                                 std::size_t{5 * kMiB + 1}, std::size_t{10 * kMiB}}) {
    const std::string key = "size/" + std::to_string(size);
    const auto bytes = random_bytes(size);
    ASSERT_TRUE(write(*store_, key, bytes)) << size;
    EXPECT_EQ(read(*store_, key, size + 10).value(), bytes) << size;
  }
  ASSERT_TRUE(store_->remove_all("size/"));
}

TEST_F(S3Store, WritesALargeObjectPartByPart) {
  const auto bytes = random_bytes(40 * kMiB + 123);
  const auto writer = store_->create("large").value();
  // In pieces that fit no part.
  for (std::size_t at = 0; at < bytes.size(); at += 777777) {
    ASSERT_TRUE(
        writer->write(Bytes(bytes).subspan(at, std::min<std::size_t>(777777, bytes.size() - at))));
  }
  EXPECT_EQ(store_->read("large", {}, 0).value(), 0U);
  EXPECT_EQ(read(*store_, "large", 1).error().code, ENOENT);
  ASSERT_TRUE(writer->finish());
  EXPECT_EQ(read(*store_, "large", bytes.size()).value(), bytes);
  const auto middle = read(*store_, "large", 100, 5 * kMiB - 50).value();
  EXPECT_TRUE(std::equal(middle.begin(), middle.end(), bytes.begin() + 5 * kMiB - 50));
  EXPECT_EQ(uploads_of("large"), 0U);
  ASSERT_TRUE(store_->remove(std::vector<std::string>{"large"}));
}

TEST_F(S3Store, ReadsUpToTheEndAndNotBeyond) {
  ASSERT_TRUE(write(*store_, "end", as_bytes("0123456789")));
  EXPECT_THAT(read(*store_, "end", 4, 8).value(), SizeIs(2));
  EXPECT_THAT(read(*store_, "end", 4, 10).value(), IsEmpty());
  EXPECT_THAT(read(*store_, "end", 4, 1000).value(), IsEmpty());
  EXPECT_THAT(read(*store_, "end", 4, ~std::uint64_t{0} - 1).value(), IsEmpty());
  const auto missing = read(*store_, "missing", 4, 8);
  EXPECT_EQ(missing.error().code, ENOENT);
  EXPECT_THAT(missing.error().context, HasSubstr("s3://spillfs-test/" + prefix_ + "/missing"));
  EXPECT_THAT(missing.error().context, HasSubstr("NoSuchKey"));
}

TEST_F(S3Store, KeepsWhatAKeyHolds) {
  ASSERT_TRUE(write(*store_, "taken", as_bytes("first")));
  const auto again = write(*store_, "taken", as_bytes("second"));
  EXPECT_EQ(again.error().code, EEXIST);
  // The service refuses this one before it has read it.
  EXPECT_EQ(write(*store_, "taken", random_bytes(5 * kMiB)).error().code, EEXIST);
  // Known before the bytes have gone over the wire.
  const auto writer = store_->create("taken").value();
  const auto bytes = random_bytes(6 * kMiB);
  EXPECT_EQ(writer->write(bytes).error().code, EEXIST);
  EXPECT_EQ(writer->finish().error().code, EINVAL);
  EXPECT_EQ(as_text(read(*store_, "taken", 10).value()), "first");
}

TEST_F(S3Store, LetsOneOfTwoWritersWin) {
  const auto bytes = random_bytes(6 * kMiB);
  const auto first = store_->create("contested").value();
  const auto second = store_->create("contested").value();
  ASSERT_TRUE(first->write(bytes));
  ASSERT_TRUE(second->write(bytes));
  ASSERT_TRUE(second->finish());
  EXPECT_EQ(first->finish().error().code, EEXIST);
  EXPECT_EQ(uploads_of("contested"), 0U);
  EXPECT_EQ(read(*store_, "contested", bytes.size()).value(), bytes);
}

TEST_F(S3Store, LeavesNothingOfAnUnfinishedWriter) {
  {
    const auto writer = store_->create("unfinished").value();
    ASSERT_TRUE(writer->write(random_bytes(11 * kMiB)));
    EXPECT_EQ(uploads_of("unfinished"), 1U);
  }
  EXPECT_EQ(uploads_of("unfinished"), 0U);
  EXPECT_EQ(read(*store_, "unfinished", 1).error().code, ENOENT);
}

TEST_F(S3Store, TakesAnyKey) {
  const std::vector<std::string> keys{"a b",    "a+b",         "a%20b",   "größe/雪", "~tilde",
                                      "q?x=1",  "hash#1",      "a&b=c;d", "quo'te\"", "<x>&amp;",
                                      "[1]{2}", "e,f@g:h$i!j", "*()",     "-_."};
  for (const std::string& key : keys) {
    ASSERT_TRUE(write(*store_, key, as_bytes(key))) << key;
  }
  for (const std::string& key : keys) {
    EXPECT_EQ(as_text(read(*store_, key, 100).value()), key);
  }
  ASSERT_TRUE(store_->remove(keys));
  for (const std::string& key : keys) {
    EXPECT_EQ(read(*store_, key, 1).error().code, ENOENT) << key;
  }
  EXPECT_EQ(store_->create("").error().code, EINVAL);
}

TEST_F(S3Store, RemovesThousandsInBatches) {
  constexpr std::size_t kCount = 2100;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < kCount; ++i) keys.push_back("many/" + std::to_string(i));
  std::vector<std::jthread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < kCount; i += 4) {
        EXPECT_TRUE(write(*store_, keys[i], as_bytes("x")));
      }
    });
  }
  threads.clear();
  ASSERT_TRUE(write(*store_, "manyother", as_bytes("stays")));
  keys.emplace_back("many/missing");
  ASSERT_TRUE(store_->remove(std::span(keys).subspan(1000)));
  EXPECT_TRUE(read(*store_, keys[999], 1));
  EXPECT_EQ(read(*store_, keys[1000], 1).error().code, ENOENT);
  ASSERT_TRUE(store_->remove_all("many/"));
  EXPECT_EQ(read(*store_, keys[999], 1).error().code, ENOENT);
  EXPECT_TRUE(read(*store_, "manyother", 1));
  ASSERT_TRUE(store_->remove_all("many/"));
}

TEST_F(S3Store, RemovesAllWithWhatOthersDidNotFinish) {
  const auto other = open(parameters_);
  auto writer = other->create("session/half").value();
  ASSERT_TRUE(writer->write(random_bytes(6 * kMiB)));
  ASSERT_EQ(uploads_of("session/half"), 1U);
  ASSERT_TRUE(write(*store_, "session/whole", as_bytes("x")));
  ASSERT_TRUE(store_->remove_all("session/"));
  EXPECT_EQ(uploads_of("session/half"), 0U);
  EXPECT_EQ(read(*store_, "session/whole", 1).error().code, ENOENT);
  EXPECT_FALSE(writer->finish());
  EXPECT_EQ(read(*store_, "session/half", 1).error().code, ENOENT);
}

TEST_F(S3Store, ServesManyThreads) {
  const auto bytes = random_bytes(64 * kKiB);
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 20; ++i) {
        const std::string key = "threads/" + std::to_string(thread) + "." + std::to_string(i);
        const auto written = write(*store_, key, bytes);
        ASSERT_TRUE(written) << describe(written.error());
        EXPECT_EQ(read(*store_, key, bytes.size()).value(), bytes);
        EXPECT_TRUE(store_->remove(std::vector<std::string>{key}));
      }
    });
  }
}

TEST_F(S3Store, FindsTheBucketInTheHostName) {
  S3Parameters parameters = parameters_;
  const std::string port = parameters.endpoint.substr(parameters.endpoint.rfind(':'));
  parameters.endpoint = "http://localhost" + port;
  parameters.virtual_host = true;
  const auto by_host = open(parameters);
  ASSERT_TRUE(by_host->remove_all(""));
  ASSERT_TRUE(write(*by_host, "a b/+", as_bytes("by host")));
  EXPECT_EQ(as_text(read(*store_, "a b/+", 100).value()), "by host");
  ASSERT_TRUE(by_host->remove_all(""));
  EXPECT_EQ(read(*store_, "a b/+", 100).error().code, ENOENT);
}

TEST_F(S3Store, MayEndBeforeItsWriters) {
  auto writer = store_->create("later").value();
  store_.reset();
  ASSERT_TRUE(writer->write(as_bytes("bytes")));
  ASSERT_TRUE(writer->finish());
  EXPECT_EQ(as_text(read(*open(parameters_), "later", 10).value()), "bytes");
}

}  // namespace
}  // namespace spillfs::tests
