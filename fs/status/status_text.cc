// SPDX-License-Identifier: Apache-2.0
#include "fs/status/status_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "fs/config/options.h"
#include "fs/control/scrubber.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/fuse/fuse_request_times.h"
#include "fs/fuse/fuse_requests.h"
#include "fs/reap/background_reaper.h"
#include "fs/store/store.h"
#include "fs/system/memory_pressure.h"
#include "fs/system/process_rights.h"
#include "fs/system/process_usage.h"
#include "fs/system/supervisor_counts.h"
#include "fs/volume/volume.h"
#include "storage/base/slow_watch.h"

namespace spillfs::fs {

namespace {

std::string shown(std::string_view option, const MountOptions& options) {
  for (const OptionSpec& spec : option_table()) {
    if (spec.name == option) return spec.show(options);
  }
  return {};
}

nlohmann::json about(const StatusSources& from) {
  const MountFacts& mount = from.mount;
  const bool resends = from.kernel.on.has(Feature::kResend);
  return {{"version", SPILLFS_VERSION},
          {"supervisor_pid", mount.supervisor},
          {"worker_pid", ::getpid()},
          {"mountpoint", mount.mountpoint},
          {"store", mount.store.path()},
          {"read_only", mount.options.read_only},
          {"uuid", storage::hex(mount.store.id())},
          {"data_directories", mount.store.directories()},
          {"kernel", describe(from.kernel)},
          {"restarts", mount.counts.restarts.load()},
          {"upgrades", mount.counts.upgrades.load()},
          {"failed_upgrades", mount.counts.failed_upgrades.load()},
          {"when_the_worker_dies",
           resends ? "another goes on" : "the mount ends; this kernel can't send requests again"}};
}

nlohmann::json space_of(const StatusSources& from, const Volume::Status& now) {
  struct statvfs space {};
  if (const auto found = from.volume.statfs()) space = *found;
  nlohmann::json directories = nlohmann::json::array();
  for (const auto& directory : from.volume.directories()) {
    directories.push_back({{"path", directory.path},
                           {"size_bytes", directory.space ? directory.space->total : 0},
                           {"free_bytes", directory.space ? directory.space->free : 0},
                           {"reserved_bytes", directory.space ? directory.space->reserved : 0},
                           {"healthy", directory.space && directory.takes_segments}});
  }
  return {{"size_bytes", space.f_blocks * space.f_frsize},
          {"free_bytes", space.f_bavail * space.f_frsize},
          {"reserved_bytes", (space.f_bfree - space.f_bavail) * space.f_frsize},
          {"charged_bytes", now.charged},
          {"dead_bytes", now.dead},
          {"pool_bytes", now.pool},
          {"quota_bytes", now.quota},
          {"user_quota_bytes", from.mount.options.user_quota},
          {"inodes", now.inodes},
          {"directories", std::move(directories)}};
}

nlohmann::json activity(const StatusSources& from, const Volume::Status& now) {
  return {{"open_handles", now.handles},
          {"cached_files", now.cached_files},
          {"direct_files", now.direct_files},
          {"passthrough_files", now.passthrough_files},
          {"requests", from.requests.counts()},
          {"waiting_requests", from.times.waiting()},
          {"read_bytes", from.times.bytes_read()},
          {"written_bytes", from.times.bytes_written()},
          {"slow_operations", from.slow.count()},
          {"reaped", from.reaped.count.load()},
          {"reaped_bytes", from.reaped.bytes.load()},
          {"memory", from.memory.describe()},
          {"staging_bytes", from.mount.options.staging},
          {"staging_free_bytes", now.staging_free},
          {"resident_bytes", process_usage().resident}};
}

nlohmann::json safety(const StatusSources& from, const Volume::Status& now) {
  const Scrubber::Status scrub = from.scrubber.status();
  return {
      {"index", now.index_trouble.empty() ? "takes changes" : "read-only: " + now.index_trouble},
      {"durability", shown("durability", from.mount.options)},
      {"sync_requests", now.sync_requests},
      {"sync_groups", now.sync_groups},
      {"unsynced", now.unsynced},
      {"scrubbed_bytes", scrub.bytes},
      {"scrub_bytes_per_second", scrub.rate},
      {"oldest_uncompared_seconds", scrub.oldest_age},
      {"files_waiting_for_sums", now.waiting_for_sums},
      {"damaged_files", now.damaged},
      {"last_full_scrub", scrub.last_full_pass
                              ? fmt::format("{:%FT%TZ}", fmt::gmtime(*scrub.last_full_pass))
                              : "none since the mount"}};
}

// A process that is not there, as a supervisor in another pid namespace, is left out.
nlohmann::json rights(const StatusSources& from) {
  nlohmann::json processes = nlohmann::json::object();
  const auto add = [&processes](const char* name, pid_t process) {
    if (const auto found = rights_of(process)) processes[name] = to_json(*found);
  };
  add("supervisor", from.mount.supervisor);
  add("worker", ::getpid());
  return {{"rights", std::move(processes)}, {"sandbox", from.sandbox}};
}

}  // namespace

std::string status_text(const StatusSources& from) {
  const Volume::Status now = from.volume.status();
  nlohmann::json json = about(from);
  json.update(space_of(from, now));
  json.update(activity(from, now));
  json.update(safety(from, now));
  json.update(rights(from));
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace spillfs::fs
