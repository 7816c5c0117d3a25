// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <thread>

#include "fs/cli/shared/terminal.h"
#include "fs/config/metrics_address.h"
#include "fs/fuse/clients.h"
#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"
#include "fs/fuse/fuse_request_times.h"
#include "fs/fuse/latency_histogram.h"
#include "fs/status/exposition.h"
#include "fs/status/metrics_sample.h"
#include "fs/system/human.h"
#include "fs/system/journal_sink.h"
#include "fs/system/progress.h"
#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using testing::HasSubstr;

TEST(LatencyHistogram, BoundsGrowFromTenMicrosecondsToTenSeconds) {
  EXPECT_EQ(LatencyHistogram::kBounds.front(), microseconds(10));
  EXPECT_EQ(LatencyHistogram::kBounds.back(), std::chrono::seconds(10));
  for (std::size_t i = 1; i < LatencyHistogram::kBounds.size(); ++i) {
    const double ratio = std::chrono::duration<double>(LatencyHistogram::kBounds.at(i)) /
                         std::chrono::duration<double>(LatencyHistogram::kBounds.at(i - 1));
    EXPECT_NEAR(ratio, 2.5, 0.15) << i;
  }
}

TEST(LatencyHistogram, ABoundIsInItsOwnBucket) {
  EXPECT_EQ(LatencyHistogram::bucket_of(nanoseconds(0)), 0);
  EXPECT_EQ(LatencyHistogram::bucket_of(microseconds(10)), 0);
  EXPECT_EQ(LatencyHistogram::bucket_of(nanoseconds(10'001)), 1);
  EXPECT_EQ(LatencyHistogram::bucket_of(std::chrono::seconds(10)), 15);
  EXPECT_EQ(LatencyHistogram::bucket_of(std::chrono::seconds(11)), 16);
}

TEST(Exposition, EscapesLabelsAndHelp) {
  Exposition out(MetricLabels{{"mountpoint", "/a\"b"}});
  out.family("m", Exposition::Type::kGauge, "back\\slash\nand \"quotes\".");
  out.sample({{"x", "one\\two\nthree"}}, std::uint64_t{1});
  EXPECT_EQ(out.text(),
            "# HELP m back\\\\slash\\nand \"quotes\".\n# TYPE m gauge\n"
            "m{mountpoint=\"/a\\\"b\",x=\"one\\\\two\\nthree\"} 1\n");
}

TEST(Exposition, CumulatesBuckets) {
  LatencyHistogram times;
  times.add(microseconds(5));
  times.add(microseconds(20));
  times.add(std::chrono::seconds(20));
  Exposition out;
  out.family("t_seconds", Exposition::Type::kHistogram, "Times.");
  out.histogram({{"operation", "read"}}, times.counts());
  EXPECT_THAT(out.text(), HasSubstr("t_seconds_bucket{operation=\"read\",le=\"1e-05\"} 1\n"));
  EXPECT_THAT(out.text(), HasSubstr("t_seconds_bucket{operation=\"read\",le=\"10\"} 2\n"));
  EXPECT_THAT(out.text(), HasSubstr("t_seconds_bucket{operation=\"read\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(out.text(), HasSubstr("t_seconds_sum{operation=\"read\"} 20.000025\n"));
  EXPECT_THAT(out.text(), HasSubstr("t_seconds_count{operation=\"read\"} 3\n"));
}

TEST(MetricsAddress, IsOfThisMachine) {
  using Family = MetricsAddress::Family;
  const auto is = [](std::string_view text, Family family, const std::string& host, int port) {
    const auto found = parse_metrics_address(text);
    ASSERT_TRUE(found) << text;
    EXPECT_EQ(*found, (MetricsAddress{family, host, static_cast<std::uint16_t>(port)}));
  };
  is("127.0.0.1:9123", Family::kIpv4, "127.0.0.1", 9123);
  is("127.1.2.3:1", Family::kIpv4, "127.1.2.3", 1);
  is("localhost:65535", Family::kIpv4, "127.0.0.1", 65535);
  is("[::1]:9123", Family::kIpv6, "::1", 9123);
  is("unix:/run/x.sock", Family::kUnix, "/run/x.sock", 0);
}

TEST(MetricsAddress, RefusesTheRest) {
  for (const std::string_view text :
       {"0.0.0.0:9123", "[::]:9123", "10.0.0.1:9123", "[::ffff:127.0.0.1]:9123", "example.com:9123",
        ":9123", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "unix:run/x", ""}) {
    EXPECT_FALSE(parse_metrics_address(text)) << text;
  }
  EXPECT_FALSE(parse_metrics_address("unix:/" + std::string(107, 'x')));
  EXPECT_TRUE(parse_metrics_address("unix:/" + std::string(106, 'x')));
  EXPECT_THAT(parse_metrics_address("0.0.0.0:9123").error().context, HasSubstr("other machines"));
}

protocol::InHeader request(std::uint64_t unique, std::uint32_t opcode) {
  protocol::InHeader header{};
  header.len = sizeof(header);
  header.unique = unique;
  header.opcode = opcode;
  return header;
}

void answer(RequestTimes& times, std::uint64_t unique, int error, std::uint32_t body = 0) {
  protocol::OutHeader header{};
  header.unique = unique;
  header.error = -error;
  header.len = static_cast<std::uint32_t>(sizeof(header) + body);
  const std::array parts{iovec{&header, sizeof(header)}};
  times.answered(parts);
}

TEST(RequestTimes, CountsWhatItsThreadAnswers) {
  const auto times = std::make_unique<RequestTimes>();
  {
    const auto raw = request(7, protocol::kRead);
    const RequestTimes::Request served(*times, bytes_of(raw), Counted::kYes);
    answer(*times, 7, 0, 4096);
  }
  {
    const auto raw = request(8, protocol::kGetattr);
    const RequestTimes::Request served(*times, bytes_of(raw), Counted::kNo);
    answer(*times, 8, EIO);
  }
  ASSERT_EQ(times->latencies().size(), 1);
  EXPECT_EQ(times->latencies().front().opcode, protocol::kRead);
  EXPECT_EQ(times->latencies().front().counts.count(), 1);
  EXPECT_EQ(times->bytes_read(), 4096);
  EXPECT_TRUE(times->errors().empty());
  EXPECT_EQ(times->waiting(), 0);
}

TEST(RequestTimes, CountsWhatIsAnsweredLaterOrByAnotherThread) {
  const auto times = std::make_unique<RequestTimes>();
  {
    const auto raw = request(1, protocol::kFsync);
    const RequestTimes::Request served(*times, bytes_of(raw), Counted::kYes);
  }
  EXPECT_EQ(times->waiting(), 1);
  answer(*times, 1, ENOSPC);
  EXPECT_EQ(times->waiting(), 0);
  {
    const auto raw = request(2, protocol::kFsync);
    const RequestTimes::Request served(*times, bytes_of(raw), Counted::kYes);
    std::jthread([&] { answer(*times, 2, 0); }).join();
  }
  EXPECT_EQ(times->waiting(), 0);
  ASSERT_EQ(times->latencies().size(), 1);
  EXPECT_EQ(times->latencies().front().counts.count(), 2);
  ASSERT_EQ(times->errors().size(), 1);
  EXPECT_EQ(times->errors().front().error, ENOSPC);
}

TEST(RequestTimes, NeverWaitsForWhatHasNoAnswer) {
  const auto times = std::make_unique<RequestTimes>();
  {
    const auto raw = request(1, protocol::kForget);
    const RequestTimes::Request served(*times, bytes_of(raw), Counted::kYes);
  }
  answer(*times, 0, 0);  // a notification
  EXPECT_EQ(times->waiting(), 0);
}

TEST(Clients, KeepsTheBusiestInABoundedTable) {
  const auto clients = std::make_unique<Clients>();
  for (int round = 0; round < 1000; ++round) {
    clients->count(1);
    clients->count(1000 + round);
  }
  const auto busiest = clients->busiest();
  ASSERT_EQ(busiest.size(), Clients::kTracked);
  EXPECT_EQ(busiest.front().process, 1);
  EXPECT_GE(busiest.front().requests, 1000);
  std::uint64_t all = 0;
  for (const auto& client : busiest) {
    EXPECT_GE(client.requests, client.surplus);
    all += client.requests;
  }
  EXPECT_EQ(all, 2000);  // no request is lost, it may be another's
}

TEST(Human, SizesAndTimes) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1536), "1.5 KiB");
  EXPECT_EQ(human_size(static_cast<double>(3 * kGiB)), "3.0 GiB");
  EXPECT_EQ(human_time(microseconds(42)), "42 us");
  EXPECT_EQ(human_time(microseconds(1500)), "1.5 ms");
  EXPECT_EQ(human_time(std::chrono::seconds(12)), "12.0 s");
  EXPECT_EQ(percent(1, 4), "25 %");
  EXPECT_EQ(percent(1, 0), "-");
}

TEST(MetricsSample, ReadsBackWhatExpositionWrites) {
  LatencyHistogram times;
  for (int i = 0; i < 99; ++i) times.add(microseconds(50));
  times.add(std::chrono::seconds(20));
  Exposition out(MetricLabels{{"mountpoint", "/a\"b\\"}});
  out.counter("c_total", "C.", std::uint64_t{7});
  out.family("spillfs_request_duration_seconds", Exposition::Type::kHistogram, "Times.");
  out.histogram({{"operation", "read"}}, times.counts());
  const auto sample = MetricsSample::parse(out.text());
  EXPECT_EQ(sample.value("c_total"), 7);
  EXPECT_EQ(sample.value("c_total", {{"mountpoint", "/a\"b\\"}}), 7);
  EXPECT_EQ(sample.value("c_total", {{"mountpoint", "/a"}}), 0);
  const auto latency = latency_between(MetricsSample(), sample, "read");
  EXPECT_EQ(latency.count, 100);
  EXPECT_GT(latency.p50, microseconds(25));  // in the bucket from 25 to 63 us
  EXPECT_LE(latency.p50, microseconds(63));
  EXPECT_LE(latency.p99, microseconds(63));
  EXPECT_EQ(latency_between(sample, sample, "read").count, 0);
  EXPECT_EQ(latency_between(MetricsSample(), sample, "write").mean.count(), 0);
}

TEST(JournalFields, SayWhatALineIsAbout) {
  const JournalOrigin origin{.mountpoint = "/mnt", .store = "/store"};
  EXPECT_THAT(journal_fields(spdlog::level::warn, "a word", origin),
              testing::ElementsAre("MESSAGE=a word", "PRIORITY=4", "SYSLOG_IDENTIFIER=spillfs",
                                   "SPILLFS_MOUNTPOINT=/mnt", "SPILLFS_STORE=/store"));
  const LogAbout about("/a/b", EIO);
  EXPECT_THAT(
      journal_fields(spdlog::level::err, "write segments/7.private: Input/output error", {}),
      testing::ElementsAre("MESSAGE=write segments/7.private: Input/output error", "PRIORITY=3",
                           "SYSLOG_IDENTIFIER=spillfs", "SPILLFS_SEGMENT=7.private",
                           "SPILLFS_PATH=/a/b", "ERRNO=5"));
}

TEST(ProgressBar, DrawsABar) {
  EXPECT_EQ(progress_line(kGiB, 4 * kGiB, std::chrono::seconds(2), ProgressBar::Unit::kBytes),
            "[#####---------------]  25 %, 1.0 GiB of 4.0 GiB, 512.0 MiB/s");
  EXPECT_EQ(progress_line(3, 3, std::chrono::seconds(2), ProgressBar::Unit::kSegments),
            "[####################] 100 %, 3 of 3 segments");
  EXPECT_EQ(progress_line(0, 0, {}, ProgressBar::Unit::kSegments),
            "[--------------------]   0 %, 0 of 0 segments");
}

TEST(Terminal, FitsLettersNotBytes) {
  EXPECT_EQ(fit("abc\nd\u00e9\u00e9f\nlast", {.rows = 2, .columns = 3}), "abc\nd\u00e9\u00e9\n");
}

}  // namespace
}  // namespace spillfs::fs
