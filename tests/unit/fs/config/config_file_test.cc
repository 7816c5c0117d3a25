// SPDX-License-Identifier: Apache-2.0
#include "fs/config/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "fs/config/config_text.h"
#include "tests/support/shown_options.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::fs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using tests::format_options;

constexpr const char* kPath = "/etc/spill/mount.toml";

MountOptions options_of(const ConfigFile& file) {
  const auto options = parse_options(file.options);
  EXPECT_TRUE(options) << options.error().context;
  return options.value_or(MountOptions{});
}

TEST(ConfigFile, HasDirectoriesAndEveryKindOfOption) {
  const auto file = parse_config(R"(
store = "/srv/store"
mountpoint = "mnt"                # beside the file
quota = "10GiB"
pool = 4096
space_wait = 2.5
threads = 8
background_checksums = false
write = "direct"
durability = "interval=2s"
data = ["/a,b", "c:d"]
without = "killpriv:resend"
allow_other = true
index_reserve = "auto"
)",
                                 kPath);
  ASSERT_TRUE(file) << file.error().context;
  EXPECT_EQ(file->store, "/srv/store");
  EXPECT_EQ(file->store_origin, "/etc/spill/mount.toml:2");
  EXPECT_EQ(file->mountpoint, "/etc/spill/mnt");
  const MountOptions options = options_of(*file);
  EXPECT_EQ(options.quota, 10 * kGiB);
  EXPECT_EQ(options.pool, 4096U);
  EXPECT_EQ(options.space_wait, std::chrono::milliseconds(2500));
  EXPECT_EQ(options.threads, 8U);
  EXPECT_FALSE(options.background_checksums);
  EXPECT_EQ(options.write, WriteMode::kDirect);
  EXPECT_EQ(options.sync_interval, std::chrono::seconds(2));
  EXPECT_THAT(options.data, ElementsAre("/a,b", "/etc/spill/c:d"));
  EXPECT_TRUE(options.without.has(Feature::kKillpriv));
  EXPECT_EQ(options.allow_other, true);
  EXPECT_EQ(options.origins.at("quota"), "/etc/spill/mount.toml:4");
}

TEST(ConfigFile, TakesTheOtherWaysToWriteAValue) {
  const auto file = parse_config(
      "space_wait = \"3s\"\nbackground_checksums = \"yes\"\nallow_other = \"no\"\n"
      "data = []\nwithout = []\nread_ahead = \"0\"\n",
      kPath);
  ASSERT_TRUE(file) << file.error().context;
  const MountOptions options = options_of(*file);
  EXPECT_EQ(options.space_wait, std::chrono::seconds(3));
  EXPECT_EQ(options.allow_other, false);
  EXPECT_TRUE(options.data.empty());
  EXPECT_EQ(options.read_ahead, 0U);
}

TEST(ConfigFile, TakesAnyCharacterInStringsAndComments) {
  const auto file = parse_config(
      "\xef\xbb\xbf# größer\nstore = \"/spül \\\"größe\\\"\"  # ein \"Fleck\n"
      "mountpoint = '''/mnt/'ä''''  # ü\ndata = ['/ö#', \"/ß\"] # é\nquota = \"\"\"\\\n  "
      "1GiB\"\"\"",
      kPath);
  ASSERT_TRUE(file) << file.error().context;
  EXPECT_EQ(file->store, "/spül \"größe\"");
  EXPECT_EQ(file->mountpoint, "/mnt/'ä'");
  EXPECT_THAT(options_of(*file).data, testing::ElementsAre("/ö#", "/ß"));
  EXPECT_EQ(options_of(*file).quota, kGiB);
}

TEST(ConfigFile, SaysWhatIsWrongAndWhere) {
  struct Bad {
    const char* text;
    const char* line;
    const char* what;
  };
  const Bad all[] = {
      {"quotta = 1", "1", "did you mean 'quota'"},
      {"\n\nstor = \"/a\"", "3", "did you mean 'store'"},
      {"no_allow_other = true", "1", "did you mean 'allow_other'"},
      {"[mount]\nquota = 1", "1", "unknown key 'mount'"},
      {"quota = true", "1", "quota takes a size"},
      {"quota = -1", "1", "not a size"},
      {"quota = 1.5", "1", "quota takes a size"},
      {"staging = \"1KiB\"", "1", "between 1MiB and 16GiB"},
      {"staging = false", "1", "(1MiB to 16GiB)"},
      {"threads = \"4\"", "1", "a whole number (1 to 64)"},
      {"quota = 1\nthreads = 65", "2", "from 1 to 64"},
      {"space_wait = [1]", "1", "space_wait takes a time"},
      {"space_wait = 3601", "1", "is not a time"},
      {"space_wait = nan", "1", "is not a time"},
      {"write = 1", "1", "write takes a string"},
      {"write = \"fast\"", "1", "auto, direct, cached"},
      {"background_checksums = 1", "1", "true or false"},
      {"allow_other = \"maybe\"", "1", "true or false"},
      {"data = [1]", "1", "a list of strings"},
      {"data = [\"/a\", \"\"]", "1", "empty directory name"},
      {"without = [\"speed\"]", "1", "passthrough"},
      {"store = 1", "1", "a directory's name"},
      {"mountpoint = \"\"", "1", "a directory's name"},
      {"quota = 1\nquota = 2", "2", "quota"},
      {"quota = \"1\nthreads = 1", "1", ""},
      {"quota", "1", ""},
      {"[=", "1", ""},
      {"# größer\nähnlich = 1", "2", "beyond ASCII"},
      {"store = \"/ö\" ö", "1", "beyond ASCII"},
      {"\"größe\" = 1\n\"größe\" = 2", "2", "größe"},
      {"a = 1obj_'''''z\xef\xba\xbf", "1", ""},
      {"\"größe\" = 1", "1", "unknown key 'größe'"},
      {"mountpoint = '''/a'''ö", "1", "beyond ASCII"},
      {"a.b = 1", "1", "unknown key 'a'"},
      {"object_spilling_config = {}", "1", "a string with Ray's JSON"},
      {"object_spilling_config = '{'", "1", "not a JSON object"},
      {"object_spilling_config = '{\"type\": \"smart_open\", \"params\": {\"uri\": \"s3://b\"}}'",
       "1", "'spillfs spill' takes 'smart_open'"},
      {"object_spilling_config = '{\"type\": \"filesystem\"}'", "1", "directory_path"},
      {"object_spilling_config = '{\"type\": \"filesystem\", \"params\": {\"directory_path\": "
       "\"/a\", \"speed\": 1}}'",
       "1", "unknown param speed"},
      {"object_spilling_config = '{\"type\": \"filesystem\", \"params\": {\"directory_path\": "
       "\"/a\"}}'\nstore = \"/b\"",
       "", "already"},
  };
  for (const Bad& bad : all) {
    const auto file = parse_config(bad.text, kPath);
    ASSERT_FALSE(file) << bad.text;
    EXPECT_EQ(file.error().code, EINVAL);
    EXPECT_THAT(file.error().context, StartsWith(std::string(kPath) + ":" + bad.line)) << bad.text;
    EXPECT_THAT(file.error().context, HasSubstr(bad.what)) << bad.text;
  }
}

TEST(ConfigFile, RaysDirectoriesHoldTheStore) {
  const auto one = parse_config(
      R"(object_spilling_config = '{"type": "filesystem", "params": {"directory_path": "/a"}}')",
      kPath);
  ASSERT_TRUE(one) << one.error().context;
  EXPECT_EQ(one->store, "/a/spillfs-store");
  EXPECT_TRUE(one->options.empty());
  const auto two =
      parse_config(R"(object_spilling_config = '{"type": "filesystem", "buffer_size": 1048576,)"
                   R"( "params": {"directory_path": ["/a", "/b,c"]}}')",
                   kPath);
  ASSERT_TRUE(two) << two.error().context;
  EXPECT_EQ(two->store, "/a/spillfs-store");
  EXPECT_THAT(options_of(*two).data, ElementsAre("/a/spillfs-store", "/b,c/spillfs-store"));
}

TEST(ConfigFile, MissingOnesAreTold) {
  const auto file = read_config_file("/nowhere/mount.toml");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ENOENT);
  EXPECT_THAT(file.error().context, HasSubstr("/nowhere/mount.toml"));
  EXPECT_EQ(read_config_file("/").error().code, EISDIR);
  EXPECT_EQ(read_config_file("/dev/zero").error().code, EPERM);
  const tests::TemporaryFolder folder;
  const std::string large = folder.path() + "/large.toml";
  std::ofstream(large) << std::string(kMiB + 1, '#');
  EXPECT_EQ(read_config_file(large).error().code, EFBIG);
}

TEST(ConfigText, IsAConfigurationFile) {
  MountOptions options;
  ASSERT_TRUE(parse_options(
      R"(quota=10GiB,data=/a\,b:/c\\:d:/"e,without=resend,durability=interval=2,space_wait=0.25,)"
      "background_checksums=no,no_allow_other,threads=7",
      options));
  const std::string text = config_text(options, {.store = "/st\"ore\n",
                                                 .store_origin = "command line",
                                                 .mountpoint = "",
                                                 .mountpoint_origin = "",
                                                 .data = {},
                                                 .read_ahead = {}});
  EXPECT_THAT(text, HasSubstr("quota = \"10GiB\""));
  EXPECT_THAT(text, HasSubstr("  # -o\n"));
  const auto file = parse_config(text, kPath);
  ASSERT_TRUE(file) << file.error().context;
  EXPECT_EQ(file->store, "/st\"ore\n");
  EXPECT_EQ(format_options(options_of(*file)), format_options(options));
}

TEST(ConfigText, SaysWhereValuesComeFrom) {
  const auto options = parse_options({{"pool=0", "/f.toml:1"}, {"threads=2", "-o"}});
  ASSERT_TRUE(options);
  const std::string text = config_text(*options, {.store = {},
                                                  .store_origin = {},
                                                  .mountpoint = {},
                                                  .mountpoint_origin = {},
                                                  .data = {"/data"},
                                                  .read_ahead = 128 * kKiB});
  const auto shown = config_as_json(text);
  ASSERT_TRUE(shown) << shown.error().context;
  const auto json = nlohmann::json::parse(*shown);
  EXPECT_EQ(json["pool"], (nlohmann::json{{"value", "0"}, {"from", "/f.toml:1"}}));
  EXPECT_EQ(json["threads"], (nlohmann::json{{"value", 2}, {"from", "-o"}}));
  EXPECT_EQ(json["read_ahead"], (nlohmann::json{{"value", "128KiB"}, {"from", "the kernel"}}));
  EXPECT_EQ(json["data"], (nlohmann::json{{"value", {"/data"}}, {"from", "default"}}));
}

}  // namespace
}  // namespace spillfs::fs
