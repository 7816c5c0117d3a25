// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/hand_over.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace spillfs::fs {
namespace {

using testing::ElementsAre;

HandOver some_hand_over() {
  HandOver what;
  what.store = "/store";
  what.config_file = "/etc/mount.toml";
  what.boot = {.id = "this one", .certain = true};
  what.mount = {.id = 42, .device = "0:39", .unique = 0x100000000};
  what.options = {{.text = "quota=1GiB", .origin = "/etc/mount.toml:2"},
                  {.text = R"(data=/a\,b,threads=2)", .origin = std::string(kFromCommandLine)}};
  return what;
}

nlohmann::json content(const Fd& file) {
  std::string text(4096, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return nlohmann::json::parse(text);
}

TEST(HandOver, KeepsOptionsAndWhereTheyWereGiven) {
  const HandOver what = some_hand_over();
  const auto file = write_hand_over(what);
  ASSERT_TRUE(file);
  const auto read = read_hand_over(file->get());
  ASSERT_TRUE(read) << read.error().context;
  EXPECT_EQ(read->config_file, what.config_file);
  EXPECT_EQ(read->options, what.options);
  EXPECT_EQ(read->boot, what.boot);
  EXPECT_EQ(read->mount, what.mount);
}

TEST(HandOver, OfAProgramBeforeConfigurationFilesIsUnderstood) {
  const auto file = write_hand_over(some_hand_over());
  ASSERT_TRUE(file);
  nlohmann::json json = content(*file);
  json.erase("origins");
  json.erase("config_file");
  json.erase("boot");
  json.erase("boot_certain");
  json.erase("mount");
  const Fd older(::memfd_create("older", MFD_CLOEXEC));
  const std::string text = json.dump();
  ASSERT_EQ(::write(older.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  const auto read = read_hand_over(older.get());
  ASSERT_TRUE(read) << read.error().context;
  EXPECT_EQ(read->config_file, "");
  EXPECT_EQ(read->mount, MountNumbers{});
  EXPECT_THAT(read->options, ElementsAre(GivenOption{"quota=1GiB", "-o"},
                                         GivenOption{R"(data=/a\,b,threads=2)", "-o"}));
}

TEST(HandOver, OfAProgramThatTookOtherSizesKeepsThem) {
  HandOver what = some_hand_over();
  what.options = {{.text = "quota=10GB", .origin = "-o"}};
  const auto file = write_hand_over(what);
  ASSERT_TRUE(file);
  const auto read = read_hand_over(file->get());
  ASSERT_TRUE(read) << read.error().context;
  EXPECT_THAT(read->options, ElementsAre(GivenOption{"quota=10737418240", "-o"}));
}

}  // namespace
}  // namespace spillfs::fs
