// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "fs/config/options.h"
#include "fs/control/scrubber.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/fuse/fuse_request_times.h"
#include "fs/reap/background_reaper.h"
#include "fs/status/exposition.h"
#include "fs/store/store.h"
#include "fs/system/memory_pressure.h"
#include "fs/system/process_usage.h"
#include "fs/system/supervisor_counts.h"
#include "fs/volume/volume.h"
#include "storage/base/slow_watch.h"

namespace spillfs::fs {
namespace {

using Type = Exposition::Type;

std::uint64_t yes(bool is) { return is ? 1 : 0; }

std::string operation_name(std::uint32_t opcode) {
  std::string name(request_name(opcode));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::string error_name(int error) {
  const char* name = ::strerrorname_np(error);
  return error == 0 || name == nullptr ? "other" : name;
}

void add_build(Exposition& out, const StatusSources& from) {
  out.family("spillfs_build_info", Type::kGauge, "1, with the version of the serving program.");
  out.sample({{"version", SPILLFS_VERSION}}, std::uint64_t{1});
  out.gauge("spillfs_passthrough_enabled",
            "1 when the kernel reads and writes large files without the daemon.",
            yes(from.kernel.on.has(Feature::kPassthrough)));
  out.gauge("spillfs_restart_enabled",
            "1 when another worker goes on where one dies; 0: the mount ends then.",
            yes(from.kernel.on.has(Feature::kResend)));
}

void add_requests(Exposition& out, const StatusSources& from) {
  out.family("spillfs_requests_total", Type::kCounter,
             "Requests from the kernel, but for those about .spillfs. What the kernel answers from "
             "its caches, and passthrough, does not come here.");
  for (const auto& [opcode, count] : from.requests.by_opcode()) {
    out.sample({{"operation", operation_name(opcode)}}, count);
  }
  out.family("spillfs_request_duration_seconds", Type::kHistogram,
             "Time from a request's arrival in the daemon to its answer.");
  for (const auto& [opcode, counts] : from.times.latencies()) {
    out.histogram({{"operation", operation_name(opcode)}}, counts);
  }
  out.family("spillfs_request_errors_total", Type::kCounter,
             "Requests answered with an error; many are ordinary, as ENOENT of a lookup.");
  for (const auto& [opcode, error, count] : from.times.errors()) {
    out.sample({{"operation", operation_name(opcode)}, {"errno", error_name(error)}}, count);
  }
  out.counter("spillfs_read_bytes_total",
              "Bytes read through the daemon; not those of the kernel's page cache or passthrough.",
              from.times.bytes_read());
  out.counter("spillfs_written_bytes_total",
              "Bytes written through the daemon; not those of passthrough.",
              from.times.bytes_written());
  out.gauge("spillfs_waiting_requests", "Requests that wait for space, a disk or a sync.",
            std::uint64_t{from.times.waiting()});
  out.counter("spillfs_slow_operations_total",
              "Requests and calls to a disk that took more than five seconds.", from.slow.count());
}

void add_space(Exposition& out, const StatusSources& from, const Volume::Status& now) {
  struct statvfs space {};
  if (const auto found = from.volume.statfs()) space = *found;
  out.gauge("spillfs_size_bytes", "What the mount may hold, as df says.",
            std::uint64_t{space.f_blocks * space.f_frsize});
  out.gauge("spillfs_free_bytes", "What may still be written, as df says.",
            std::uint64_t{space.f_bavail * space.f_frsize});
  out.gauge("spillfs_reserved_bytes",
            "Free, and kept for the index; df has it neither used nor free.",
            std::uint64_t{(space.f_bfree - space.f_bavail) * space.f_frsize});
  out.gauge("spillfs_charged_bytes", "What files, named or open, count for.", now.charged);
  out.gauge("spillfs_dead_bytes", "What no file needs any more and reclaim has not given back.",
            now.dead);
  out.gauge("spillfs_pool_bytes", "Dead segments kept for recycling.", now.pool);
  out.gauge("spillfs_quota_bytes", "The quota of the mount; 0: none.", now.quota);
  out.gauge("spillfs_inodes", "Files, directories and the rest.", static_cast<double>(now.inodes));
  out.gauge("spillfs_open_handles", "Open files.", std::uint64_t{now.handles});
  out.gauge("spillfs_fused_segments", "Segments that hold many small files.", now.fused_segments);
  out.gauge("spillfs_fused_bytes", "Bytes of records in fused segments, live or dead.",
            now.fused_bytes);
  out.gauge("spillfs_fused_live_bytes", "Bytes of records in fused segments that a file needs.",
            now.fused_live);
}

void add_directories(Exposition& out, const StatusSources& from) {
  const auto directories = from.volume.directories();
  out.family("spillfs_data_directory_size_bytes", Type::kGauge,
             "Size of the file system of a data directory.");
  for (const auto& directory : directories) {
    if (directory.space) out.sample({{"directory", directory.path}}, directory.space->total);
  }
  out.family("spillfs_data_directory_free_bytes", Type::kGauge,
             "What the file system of a data directory has free, less what is kept for the index.");
  for (const auto& directory : directories) {
    if (directory.space) out.sample({{"directory", directory.path}}, directory.space->free);
  }
  out.family("spillfs_data_directory_healthy", Type::kGauge,
             "0 while a data directory is left out because it has failed.");
  for (const auto& directory : directories) {
    out.sample({{"directory", directory.path}}, yes(directory.space && directory.takes_segments));
  }
}

void add_writing(Exposition& out, const StatusSources& from, const Volume::Status& now) {
  out.family("spillfs_private_files_total", Type::kCounter,
             "Segments made for one file, by the way they are written.");
  out.sample({{"mode", "cached"}}, now.cached_files);
  out.sample({{"mode", "direct"}}, now.direct_files);
  out.sample({{"mode", "passthrough"}}, now.passthrough_files);
  const std::uint64_t staging = from.mount.options.staging;
  out.gauge("spillfs_staging_size_bytes", "Memory for bytes that are not sealed.", staging);
  out.gauge("spillfs_staging_used_bytes", "Memory that such bytes take now.",
            staging - std::min(staging, now.staging_free));
  out.gauge("spillfs_memory_tight",
            "1 when memory was tight when last looked at: large files go past the page cache.",
            yes(from.memory.describe().starts_with("tight")));
}

void add_background(Exposition& out, const StatusSources& from, const Volume::Status& now) {
  out.counter("spillfs_reclaim_runs_total", "Runs of reclaim.", now.reclaim_runs);
  out.counter("spillfs_reclaim_freed_segments_total", "Segments removed or recycled.",
              now.freed_segments);
  out.counter("spillfs_reclaim_copied_bytes_total",
              "Bytes of live records that compaction moved to free a segment.", now.copied_bytes);
  out.counter("spillfs_reaped_total",
              "Files and directories of dead processes that the option reap removed.",
              from.reaped.count.load());
  out.counter("spillfs_reaped_bytes_total", "Bytes of those files.", from.reaped.bytes.load());
  out.counter("spillfs_sync_requests_total", "Calls that waited for a sync.", now.sync_requests);
  out.counter("spillfs_sync_groups_total", "Syncs that answered them, many at a time.",
              now.sync_groups);
  out.gauge("spillfs_unsynced", "1 when something was sealed since the last sync of everything.",
            yes(now.unsynced));
  const Scrubber::Status scrub = from.scrubber.status();
  out.counter("spillfs_scrub_bytes_total", "Bytes compared with their sums.", scrub.bytes);
  out.gauge("spillfs_scrub_last_full_timestamp_seconds",
            "When the last scrub of everything ended; 0: none since this process began.",
            static_cast<std::uint64_t>(scrub.last_full_pass.value_or(0)));
  out.gauge("spillfs_scrub_oldest_uncompared_seconds",
            "How long ago the oldest bytes that have a sum were compared or written, at most.",
            static_cast<std::uint64_t>(scrub.oldest_age));
  out.gauge("spillfs_scrub_bytes_per_second", "The background scrub's rate; 0: it is off.",
            scrub.rate);
  out.counter("spillfs_checksum_bytes_total",
              "Bytes read to make sums of what was changed in place.", now.summed);
  out.gauge("spillfs_files_waiting_for_sums", "Files changed in place whose sums are not begun.",
            now.waiting_for_sums);
  out.gauge("spillfs_damaged_files", "Files that scrub found to be wrong.",
            std::uint64_t{now.damaged});
  out.gauge("spillfs_index_read_only",
            "1 while the index takes no changes, because its disk fails or is full.",
            yes(!now.index_trouble.empty()));
}

void add_lives(Exposition& out, const StatusSources& from) {
  const SupervisorCounts& counts = from.mount.counts;
  out.counter("spillfs_worker_restarts_total", "Workers that died and were replaced, of the mount.",
              std::uint64_t{counts.restarts});
  out.counter("spillfs_worker_upgrades_total", "Upgrades to another program, of the mount.",
              std::uint64_t{counts.upgrades});
  out.counter("spillfs_worker_failed_upgrades_total",
              "Upgrades after which the old program went on, of the mount.",
              std::uint64_t{counts.failed_upgrades});
}

// Names and meanings are those of Prometheus' own client libraries.
void add_process(Exposition& out) {
  const ProcessUsage usage = process_usage();
  out.counter("process_cpu_seconds_total", "CPU time of the serving process, user and system.",
              usage.cpu_seconds);
  out.gauge("process_resident_memory_bytes", "Resident memory of the serving process.",
            usage.resident);
  out.gauge("process_virtual_memory_bytes", "Virtual memory of the serving process.",
            usage.virtual_size);
  out.gauge("process_open_fds", "Open descriptors of the serving process.", usage.descriptors);
  out.gauge("process_max_fds", "How many descriptors it may have.", usage.most_descriptors);
  out.gauge("process_threads", "Threads of the serving process.", usage.threads);
  out.gauge("process_start_time_seconds", "When the serving process began, since 1970.",
            usage.start_time);
}

}  // namespace

std::string mount_metrics_text(const StatusSources& from) {
  Exposition out(MetricLabels{{"mountpoint", from.mount.mountpoint}});
  const Volume::Status now = from.volume.status();
  add_build(out, from);
  add_requests(out, from);
  add_space(out, from, now);
  add_directories(out, from);
  add_writing(out, from, now);
  add_background(out, from, now);
  add_lives(out, from);
  return out.text();
}

std::string metrics_text(const StatusSources& from) {
  Exposition process;
  add_process(process);
  return mount_metrics_text(from) + process.text();
}

// Each of the threads that take requests may be with one that takes long, and nothing goes on then.
std::string mount_trouble(const StatusSources& from) {
  const std::size_t late = from.slow.late_requests();
  if (late < from.mount.options.threads) return {};
  return fmt::format("{} requests have been under way for more than five seconds", late);
}

}  // namespace spillfs::fs
