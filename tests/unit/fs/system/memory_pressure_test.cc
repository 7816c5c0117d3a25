// SPDX-License-Identifier: Apache-2.0
#include "fs/system/memory_pressure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;
using std::chrono_literals::operator""ms;
using testing::StartsWith;

constexpr pid_t kPid = 42;

// A machine of 64 GiB, half of it available, with memory cgroups of both versions and no limits.
class MemoryPressureTest : public testing::Test {
 protected:
  void SetUp() override {
    set_memory(64 * kGiB, 32 * kGiB);
    set_pressure("0.00");
    write("proc/self/mountinfo",
          "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
          "32 31 0:29 / /cgroups/cpu rw - cgroup cgroup rw,cpu\n"
          "35 31 0:32 / /cgroups/the\\040memory rw shared:1 - cgroup cgroup rw,memory\n"
          "41 31 0:38 / /cgroups/unified rw - cgroup2 cgroup2 rw\n");
  }
  void write(const std::string& name, const std::string& text) const {
    const files::path path = files::path(folder_.path()) / name;
    files::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void set_memory(std::uint64_t total, std::uint64_t available) const {
    write("proc/meminfo", "MemTotal:       " + std::to_string(total / kKiB) +
                              " kB\nMemFree:           12 kB\nMemAvailable:   " +
                              std::to_string(available / kKiB) + " kB\n");
  }
  void set_pressure(const std::string& percent) const {
    write("proc/pressure/memory", "some avg10=" + percent + " avg60=99.00 avg300=0.00 total=0\n" +
                                      "full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n");
  }
  void join(const std::string& memberships, pid_t pid = kPid) const {
    write("proc/" + std::to_string(pid) + "/cgroup", memberships);
  }
  void set_v1(const std::string& cgroup, const std::string& limit, std::uint64_t used,
              std::uint64_t cache = 0) const {
    const std::string at = "cgroups/the memory" + cgroup + "/memory.";
    write(at + "limit_in_bytes", limit + "\n");
    write(at + "usage_in_bytes", std::to_string(used) + "\n");
    write(at + "stat", "inactive_file 77\nactive_file 77\ntotal_inactive_file " +
                           std::to_string(cache) + "\ntotal_active_file 0\n");
  }
  void set_v2(const std::string& cgroup, const std::string& limit, std::uint64_t used,
              std::uint64_t cache = 0) const {
    const std::string at = "cgroups/unified" + cgroup + "/memory.";
    write(at + "max", limit + "\n");
    write(at + "current", std::to_string(used) + "\n");
    write(at + "stat", "anon 5\ninactive_file 0\nactive_file " + std::to_string(cache) + "\n");
  }
  // What a new MemoryPressure says of the writer.
  std::string verdict(pid_t pid = kPid) const {
    MemoryPressure memory(folder_.path());
    const bool tight = memory.tight(pid);
    EXPECT_THAT(memory.describe(), StartsWith(tight ? "tight: " : "plenty: "));
    return memory.describe();
  }

  tests::TemporaryFolder folder_;
};

std::string text(std::uint64_t bytes) { return std::to_string(bytes); }

TEST_F(MemoryPressureTest, Plenty) {
  EXPECT_EQ(verdict(), "plenty: 32.0 GiB available");
  EXPECT_EQ(verdict(0), "plenty: 32.0 GiB available");
  MemoryPressure memory(folder_.path());
  EXPECT_EQ(memory.describe(), "plenty: 32.0 GiB available") << "nobody has asked before";
}

TEST_F(MemoryPressureTest, LittleIsAvailable) {
  set_memory(64 * kGiB, 6 * kGiB);
  EXPECT_EQ(verdict(), "tight: 6.0 GiB available") << "less than a tenth";
  set_memory(64 * kGiB, 7 * kGiB);
  EXPECT_EQ(verdict(), "plenty: 7.0 GiB available");
  set_memory(8 * kGiB, 1000 * kMiB);
  EXPECT_EQ(verdict(), "tight: 1000.0 MiB available") << "less than 1 GiB";
  set_memory(8 * kGiB, 1100 * kMiB);
  EXPECT_EQ(verdict(), "plenty: 1.1 GiB available");
}

TEST_F(MemoryPressureTest, ASmallMachineIsNotAlwaysTight) {
  set_memory(kGiB, 300 * kMiB);
  EXPECT_EQ(verdict(), "plenty: 300.0 MiB available");
  set_memory(kGiB, 200 * kMiB);
  EXPECT_EQ(verdict(), "tight: 200.0 MiB available");
}

TEST_F(MemoryPressureTest, TasksWaitForMemory) {
  set_pressure("12.34");
  EXPECT_EQ(verdict(), "tight: memory pressure 12 %");
  set_pressure("10.00");
  EXPECT_EQ(verdict(), "plenty: 32.0 GiB available");
}

TEST_F(MemoryPressureTest, CgroupVersion1) {
  set_v1("", "9223372036854771712", 40 * kGiB);
  join("5:devices:/elsewhere\n4:cpuset,memory:/job1\n0::/\n");
  set_v1("/job1", text(1200 * 1000 * 1000), 300 * 1000 * 1000);
  EXPECT_EQ(verdict(), "tight: the cgroup /job1 may still take 858.3 MiB");
  set_v1("/job1", text(8 * kGiB), 2 * kGiB);
  EXPECT_EQ(verdict(), "plenty: the cgroup /job1 may still take 6.0 GiB");
  set_v1("/job1", text(8 * kGiB), 7 * kGiB);
  EXPECT_EQ(verdict(), "tight: the cgroup /job1 may still take 1.0 GiB") << "less than a quarter";
  set_v1("/job1", text(8 * kGiB), 7 * kGiB, 5 * kGiB);
  EXPECT_EQ(verdict(), "plenty: the cgroup /job1 may still take 6.0 GiB") << "cache is not used";
  set_v1("/job1", "9223372036854771712", 7 * kGiB);
  EXPECT_EQ(verdict(), "plenty: 32.0 GiB available");
  set_v1("", text(2 * kGiB), 7 * kGiB);
  EXPECT_EQ(verdict(), "tight: the cgroup / may still take 0.0 MiB") << "more used than allowed";
}

TEST_F(MemoryPressureTest, CgroupVersion2AndItsParents) {
  join("4:cpu:/job1\n0::/job:1/task/step\n");
  set_v2("/job:1/task/step", "max", kGiB);
  set_v2("/job:1/task", text(40 * kGiB), kGiB);
  set_v2("/job:1", text(8 * kGiB), 7 * kGiB);
  EXPECT_EQ(verdict(), "tight: the cgroup /job:1 may still take 1.0 GiB");
  set_v2("/job:1", text(8 * kGiB), 7 * kGiB, 7 * kGiB);
  EXPECT_EQ(verdict(), "plenty: the cgroup /job:1 may still take 8.0 GiB");
  set_v2("/job:1", text(40 * kGiB), 32 * kGiB);
  set_v2("/job:1/task", text(8 * kGiB), 2 * kGiB);
  EXPECT_EQ(verdict(), "tight: the cgroup /job:1 may still take 8.0 GiB")
      << "not the one with the least left";
  write("cgroups/unified/job:1/task/step/memory.high", text(kGiB));
  EXPECT_EQ(verdict(), "tight: the cgroup /job:1 may still take 8.0 GiB")
      << "8 GiB are 2 GiB too few, 0 of 1 GiB are 1 GiB too few";
  set_v2("/job:1", "max", 32 * kGiB);
  EXPECT_EQ(verdict(), "tight: the cgroup /job:1/task/step may still take 0.0 MiB");
}

TEST_F(MemoryPressureTest, ALimitBeyondTheMachineIsNone) {
  join("0::/job1\n");
  set_v2("/job1", text(64 * kGiB), 60 * kGiB);
  EXPECT_EQ(verdict(), "plenty: 32.0 GiB available");
}

TEST_F(MemoryPressureTest, AMountMayShowAPartOfTheHierarchy) {
  write("proc/self/mountinfo", "41 31 0:38 /pods/a /cgroups/unified rw - cgroup2 cgroup2 rw\n");
  set_v2("", text(2 * kGiB), 2 * kGiB);
  set_v2("/job1", "max", 0);
  for (const char* inside : {"0::/pods/a\n", "0::/pods/a/job1\n"}) {
    join(inside);
    EXPECT_EQ(verdict(), "tight: the cgroup /pods/a may still take 0.0 MiB") << inside;
  }
  for (const char* outside : {"0::/pods/ab\n", "0::/\n", "0::/../job1\n", "0::/pods/a/../b\n"}) {
    join(outside);
    EXPECT_EQ(verdict(), "plenty: 32.0 GiB available") << outside;
  }
}

TEST_F(MemoryPressureTest, WhatIsMissingIsPlenty) {
  join("4:memory:/gone\n0::/job1\n");
  set_v2("/job1", text(kGiB), kGiB);
  for (const char* name : {"stat", "current", "max"}) {
    files::remove(folder_.path() + "/cgroups/unified/job1/memory." + name);
    EXPECT_EQ(verdict(), "plenty: 32.0 GiB available") << name;
    set_v2("/job1", text(kGiB), kGiB);
  }
  files::remove(folder_.path() + "/proc/meminfo");
  EXPECT_EQ(verdict(), "tight: the cgroup /job1 may still take 0.0 MiB");
  files::remove(folder_.path() + "/proc/self/mountinfo");
  EXPECT_EQ(verdict(), "plenty: the available memory is not known");
  files::remove_all(folder_.path() + "/proc/pressure");
  EXPECT_EQ(verdict(), "plenty: the available memory is not known");
  files::remove_all(folder_.path() + "/proc");
  EXPECT_EQ(verdict(), "plenty: the available memory is not known");
}

TEST_F(MemoryPressureTest, GarbageIsPlenty) {
  const std::vector<std::string> garbage{"",
                                         "\n\n\n",
                                         "max",
                                         "-1",
                                         "nan",
                                         std::string(100000, '/'),
                                         std::string("\0\xff\\\\\\9", 6),
                                         "some avg10=\nMemTotal:\nMemAvailable: \ninactive_file",
                                         "99999999999999999999999999",
                                         "0",
                                         "0:",
                                         "0::",
                                         "0::..",
                                         ":::::",
                                         "4:memory",
                                         " - ",
                                         "a b c - cgroup2",
                                         " - cgroup2 \n - ",
                                         "some avg10=nan",
                                         "some avg10=inf",
                                         "some avg10=1e300",
                                         "some avg10=-50",
                                         "MemTotal: 99999999999999999999 kB\nMemAvailable: x",
                                         "MemAvailable: 1 kB"};
  const std::vector<std::string> names{"proc/meminfo",
                                       "proc/pressure/memory",
                                       "proc/self/mountinfo",
                                       "proc/42/cgroup",
                                       "cgroups/unified/job1/memory.max",
                                       "cgroups/unified/job1/memory.current",
                                       "cgroups/unified/job1/memory.stat"};
  set_v2("/job1", text(8 * kGiB), kGiB);
  join("0::/job1\n");
  for (const std::string& name : names) {
    std::ifstream file(folder_.path() + "/" + name);
    const std::string good{std::istreambuf_iterator<char>(file), {}};
    for (const std::string& bad : garbage) {
      if (bad == "0" && name.ends_with("max")) continue;  // a limit like any other
      write(name, bad);
      EXPECT_THAT(verdict(), StartsWith("plenty: ")) << name << ": " << bad.substr(0, 100);
    }
    files::remove(folder_.path() + "/" + name);
    files::create_directory(folder_.path() + "/" + name);
    EXPECT_THAT(verdict(), StartsWith("plenty: ")) << name << " is a directory";
    files::remove(folder_.path() + "/" + name);
    write(name, good);
  }
}

TEST_F(MemoryPressureTest, AnAnswerIsRememberedForASecond) {
  std::atomic<MemoryPressure::Clock::time_point> now{MemoryPressure::Clock::now()};
  MemoryPressure memory(folder_.path(), [&now] { return now.load(); });
  join("0::/job1\n");
  join("0::/job2\n", kPid + 1);
  set_v2("/job1", text(8 * kGiB), kGiB);
  EXPECT_FALSE(memory.tight(kPid));
  set_v2("/job1", text(8 * kGiB), 8 * kGiB);
  set_v2("/job2", text(8 * kGiB), 8 * kGiB);
  now = now.load() + 999ms;
  EXPECT_FALSE(memory.tight(kPid));
  EXPECT_EQ(memory.describe(), "plenty: the cgroup /job1 may still take 7.0 GiB");
  EXPECT_TRUE(memory.tight(kPid + 1)) << "another cgroup has its own answer";
  EXPECT_FALSE(memory.tight(0)) << "the machine as well";
  join("0::/job2\n");
  EXPECT_TRUE(memory.tight(kPid)) << "the process has moved";
  join("0::/job1\n");
  set_memory(64 * kGiB, kGiB);
  now = now.load() + 1ms;
  EXPECT_TRUE(memory.tight(kPid));
  EXPECT_EQ(memory.describe(), "tight: 1.0 GiB available");
  set_memory(64 * kGiB, 32 * kGiB);
  now = now.load() + 1000ms;
  EXPECT_TRUE(memory.tight(kPid));
  EXPECT_EQ(memory.describe(), "tight: the cgroup /job1 may still take 0.0 MiB");
  EXPECT_FALSE(memory.tight(0));
}

TEST_F(MemoryPressureTest, SeveralThreadsAsk) {
  join("0::/job1\n");
  join("0::/job2\n", kPid + 1);
  set_v2("/job1", text(8 * kGiB), kGiB);
  set_v2("/job2", text(8 * kGiB), 8 * kGiB);
  std::atomic<MemoryPressure::Clock::time_point> now{MemoryPressure::Clock::now()};
  MemoryPressure memory(folder_.path(), [&now] { return now.load(); });
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int n = 0; n < 500; ++n) {
          if (memory.tight(kPid + i % 2) != (i % 2 == 1)) ++wrong;
          if (memory.describe().empty()) ++wrong;
          if (n % 10 == 0) now = now.load() + 300ms;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace spillfs::fs
