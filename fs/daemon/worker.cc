// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/worker.h"

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "fs/config/config_text.h"
#include "fs/control/directory_sizes.h"
#include "fs/control/object_folder.h"
#include "fs/control/scrubber.h"
#include "fs/control/segment_folder.h"
#include "fs/control/sync_service.h"
#include "fs/daemon/death_witness.h"
#include "fs/daemon/heartbeat.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/fuse_session.h"
#include "fs/reap/background_reaper.h"
#include "fs/reap/reap_service.h"
#include "fs/rights/own_rights.h"
#include "fs/rights/process_shield.h"
#include "fs/status/metrics.h"
#include "fs/status/metrics_file.h"
#include "fs/status/metrics_server.h"
#include "fs/status/status_text.h"
#include "fs/store/open_store.h"
#include "fs/store/store_lock.h"
#include "fs/system/guarded.h"
#include "fs/system/memory_pressure.h"
#include "fs/system/process_identity.h"
#include "fs/system/signal_set.h"
#include "fs/volume/accounts/index_room.h"
#include "storage/base/pause.h"
#include "storage/segments.h"

namespace spillfs::fs {
namespace {

static_assert(kMostHandles == OpenFiles::kMost);

constexpr unsigned kWriteThreads = 3;  // as many batches as a stream sends at a time

constexpr std::chrono::seconds kBallastPause{5};
constexpr std::chrono::seconds kBallastRetry{600};
constexpr std::chrono::seconds kChecksumDelay{5};

// So that after a loss of power there is not too much to look at; most is on disk by then.
constexpr std::chrono::minutes kSyncEvery{5};

// No user may take all descriptors of this process, of which a file takes up to two.
std::uint64_t handles_of_user(const MountOptions& options) {
  constexpr std::uint64_t kShares = 4;
  constexpr std::uint64_t kPerFile = 2;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return options.user_handles;
  const std::uint64_t share = std::max<std::uint64_t>(1, limit.rlim_cur / kShares / kPerFile);
  if (share < options.user_handles) {
    spdlog::info("a user may have {} files open, as this process may have {}", share,
                 limit.rlim_cur);
  }
  return std::min(share, options.user_handles);
}

VolumeOptions volume_options(const MountOptions& options, BootView boot, MemoryPressure& memory,
                             DeathWitness& witness) {
  VolumeOptions out{.quota = options.quota,
                    .user_quota = options.user_quota,
                    .user_handles = handles_of_user(options),
                    .fuse_limit = options.fuse_limit};
  out.write_threads = kWriteThreads;
  out.write_behind = options.write_behind;
  out.background_checksums = options.background_checksums;
  out.checksum_delay = kChecksumDelay;
  out.checksum_rate = options.checksum_rate;
  out.read_only = options.read_only;
  out.sync_closes = options.durability == Durability::kFsync;
  out.sync_every = kSyncEvery;
  if (options.durability == Durability::kInterval) out.sync_every = options.sync_interval;
  if (options.read_only) out.sync_every = std::chrono::milliseconds{0};
  out.boot = std::move(boot);
  out.creator = [machine = this_machine(out.boot.boot)](pid_t maker, std::string_view runtime) {
    auto creator = creator_of(maker, machine);
    if (!creator) return std::string();
    creator->runtime = runtime;
    return to_text(*creator);
  };
  out.dying_of = [&witness](pid_t closer) { return witness.dying_of(closer); };
  if (options.write == WriteMode::kDirect) out.write_directly = [](pid_t) { return true; };
  if (options.write == WriteMode::kAuto) {
    // A reader's passthrough pages are charged to its own cgroup, those that we write to ours.
    out.write_directly = [&memory](pid_t writer) {
      return memory.tight(writer) || memory.tight(::getpid());
    };
  }
  return out;
}

// Who has how many bytes is for the store's owner to know.
std::string users_text(Volume& volume) {
  nlohmann::json users = nlohmann::json::object();
  for (const auto& [uid, charged] : volume.users()) users[std::to_string(uid)] = charged;
  return users.dump(2) + "\n";
}

std::string config_of(const MountFacts& mount) {
  const auto ahead = read_ahead_of(mount.mountpoint);
  return config_text(mount.options, {.store = mount.store.path(),
                                     .store_origin = "the mount",
                                     .mountpoint = mount.mountpoint,
                                     .mountpoint_origin = "the mount",
                                     .data = mount.store.directories(),
                                     .read_ahead = ahead ? std::optional(*ahead) : std::nullopt});
}

// Turns SIGTERM into stop(); all threads have signals() blocked.
class StopOnSignal {
 public:
  static sigset_t signals() { return signal_set({SIGTERM, kEnd}); }
  explicit StopOnSignal(FuseSession& session)
      : thread_([&session](const std::stop_token& stop) {
          const sigset_t waited_for = signals();
          while (!stop.stop_requested()) {
            if (::sigwaitinfo(&waited_for, nullptr) == SIGTERM) session.stop();
          }
        }) {}
  ~StopOnSignal() {
    thread_.request_stop();
    ::pthread_kill(thread_.native_handle(), kEnd);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

 private:
  static constexpr int kEnd = SIGUSR2;  // of the thread

  std::jthread thread_;
};

// Null: metrics are not asked for over HTTP.
std::unique_ptr<MetricsListener> listener_of(const MountOptions& options) {
  auto address = parse_metrics_address(options.metrics);
  return address ? std::make_unique<MetricsListener>(*std::move(address)) : nullptr;
}

std::optional<ReapRunner> reap_runner_of(const WorkerStart& start) {
  if (!start.options.reap) return std::nullopt;
  return std::optional<ReapRunner>(std::in_place,
                                   BackgroundReapOptions{start.mountpoint, *start.options.reap});
}

// Gives the metrics to others while it lives.
struct Published {
  std::optional<MetricsServer> server;
  std::optional<MetricsFile> file;
};

void publish(const StatusSources& from, std::unique_ptr<MetricsListener> listener,
             Published& published) {
  const MountOptions& options = from.mount.options;
  if (listener) {
    published.server.emplace(
        std::move(listener),
        MetricsHttp::Sources{.metrics = [&from] { return metrics_text(from); },
                             .trouble = [&from] { return mount_trouble(from); }});
  }
  if (!options.metrics_file.empty()) {
    published.file.emplace(options.metrics_file, [&from] { return mount_metrics_text(from); });
  }
}

// What concerns this whole process.
Result<> prepare_process(pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != supervisor) return fail(ESRCH, "the supervisor is gone");
  // With an arena for each thread every one of them would come to hold as much as the block cache.
  ::mallopt(M_ARENA_MAX, 1);
  ::signal(SIGINT, SIG_IGN);  // Ctrl-C is the supervisor's to handle
  const sigset_t waited_for = StopOnSignal::signals();
  ::pthread_sigmask(SIG_BLOCK, &waited_for, nullptr);
  shield_process();  // a supervisor of an older version has not
  return {};
}

// What is in .spillfs. All of it outlives `control`.
void add_control_files(ControlFiles& control, const StatusSources& from, Clients& clients,
                       DirectorySizes& sizes, ReapService& reaping, SyncService& syncing) {
  constexpr auto kOwner = ControlAccess::kOwner;
  const std::string& mountpoint = from.mount.mountpoint;
  control.add("status", [&from] { return status_text(from); });
  control.add("metrics", [&from] { return metrics_text(from); });
  control.add(
      "clients", [&clients] { return clients_text(clients); }, kOwner);
  control.add(
      "directories", [&sizes] { return sizes.text(); }, kOwner);
  control.add_file("reap", ControlAccess::kOwnerWrites, [&reaping] { return reaping.open(); });
  control.add_file("sync", ControlAccess::kEveryoneWrites, [&syncing] { return syncing.open(); });
  control.add_file("scrub", kOwner, [&from] { return from.scrubber.open(); });
  control.add(
      "users", [&from] { return users_text(from.volume); }, kOwner);
  control.add("config", [&from] { return config_of(from.mount); });
  control.add_folder("objects", std::make_unique<ObjectFolder>(from.volume, mountpoint));
  control.add_folder("segments", std::make_unique<SegmentFolder>(from.volume));
}

// Given up on a full disk, it is made again once there is room. Where there seems to be room and is
// none, as a quota may have it, each attempt takes what there is for a moment.
void keep_ballast(const Store& store, const std::stop_token& stop) {
  for (bool told = false; !stop.stop_requested();) {
    auto next = kBallastPause;
    if (!store.has_ballast() && store.has_room_for_ballast()) {
      const auto kept = store.keep_ballast();
      if (kept) spdlog::info("there is room for the ballast again");
      if (!kept && !std::exchange(told, true))
        spdlog::warn("no ballast: {}", describe(kept.error()));
      if (!kept) next = kBallastRetry;
    }
    pause(next, stop);
  }
}

// What is left of a worker before this one, or begins with this one.
Result<Volume::Parts> parts_of(WorkerStart& start, SlowWatch& slow) {
  const bool again = start.start == Volume::Start::kRestart;
  auto staging = SPILLFS_TRY(
      again ? storage::Staging::reopen(std::move(start.staging), start.options.staging)
            : storage::Staging::create(std::move(start.staging), start.options.staging));
  auto open_files = SPILLFS_TRY(again ? OpenFiles::reopen(std::move(start.open_files))
                                      : OpenFiles::create(std::move(start.open_files)));
  if (!start.options.read_only) {
    if (auto kept = start.store->keep_ballast(); !kept) {
      spdlog::warn("no ballast: {}", describe(kept.error()));
    }
  }
  auto parts = SPILLFS_TRY(open_parts(*start.store, start.options, std::move(staging), &slow));
  parts.open_files = std::move(open_files);
  parts.start = start.start;
  parts.take_back = [fuse = start.fuse.get()](int id) { close_backing(fuse, id); };
  return parts;
}

// Of a mount that may write.
std::jthread ballast_keeper(const WorkerStart& start) {
  if (start.options.read_only) return {};
  return std::jthread(
      [store = start.store](const std::stop_token& ended) { keep_ballast(*store, ended); });
}

ScrubberOptions scrubbing_of(const MountOptions& options) {
  return {.rate = options.scrub_rate, .every = options.scrub_every, .now = nullptr};
}

// Without those who count and watch.
FuseSession::Options serving_of(const WorkerStart& start, const KernelFeatures& kernel) {
  FuseSession::Options out;
  out.threads = static_cast<unsigned>(start.options.threads);
  out.space_wait = start.options.space_wait;
  out.features = kernel;
  out.start = start.start;
  out.access = start.store->access();
  return out;
}

// Calls `ready` once requests are answered. What is returned after it is how it ended.
Result<> run_worker(WorkerStart start, const std::function<void()>& ready) {
  SPILLFS_TRY(prepare_process(start.supervisor));
  DeathWitness witness;
  auto runner = reap_runner_of(start);
  auto listener = listener_of(start.options);
  KernelFeatures kernel = features_of(start.init, start.options.without);
  const std::string sandbox = limit_worker(
      start.options,
      worker_needs(start.options, kernel.on, start.store->path(), start.store->directories()));
  Heartbeat heartbeat(*start.counts);
  const int probed = probe_passthrough(start.fuse.get(), start.staging.get(), kernel);
  SlowWatch slow;
  BootView boot = boot_view(start.boot, start.options.boot, start.store->index_path());
  auto parts = SPILLFS_TRY(parts_of(start, slow));
  OpenFiles& table = *parts.open_files;
  MemoryPressure memory;
  IndexRoom room(start.store->index_path(), reserve_for_index(*start.store, start.options));
  VolumeOptions options = volume_options(start.options, std::move(boot), memory, witness);
  options.index_room = [&room] { return room.check(); };
  EndReport end(start.store->lock());
  options.ending = [&end](std::string_view doing) { end.tell(doing); };
  const auto volume = SPILLFS_TRY(Volume::open(std::move(parts), std::move(options)));
  RequestCounters requests;
  const auto times = std::make_unique<RequestTimes>();  // large
  const auto clients = std::make_unique<Clients>();
  Scrubber scrubber(*volume, scrubbing_of(start.options));
  DirectorySizes sizes(*volume);
  ReapService reaping(*volume, this_machine(start.boot));
  SyncService syncing([&volume] { return volume->sync_everything(); });
  Reaped reaped;
  const MountFacts facts{*start.store, start.options, start.mountpoint, start.supervisor,
                         *start.counts};
  const StatusSources sources{facts,    kernel, memory, *volume, scrubber,
                              requests, *times, slow,   reaped,  sandbox};
  ControlFiles control;
  add_control_files(control, sources, *clients, sizes, reaping, syncing);
  FuseSession::Options serving = serving_of(start, kernel);
  serving.requests = &requests;
  serving.times = times.get();
  serving.clients = clients.get();
  serving.slow = &slow;
  const auto session =
      SPILLFS_TRY(FuseSession::open(std::move(start.fuse), start.init, *volume, control, serving));
  table.note_backing(probed);  // the volume has given back what was beyond the highest known
  const Heartbeat::Proof proof(heartbeat, *volume, slow);
  Published published;
  publish(sources, std::move(listener), published);
  const StopOnSignal stop(*session);
  const std::jthread ballast = ballast_keeper(start);
  std::optional<BackgroundReaper> reaper;
  if (runner) reaper.emplace(*runner, *start.options.reap, reaped);
  reaping.start();
  syncing.start();
  ready();
  session->run();
  end.tell("answers what is under way");
  syncing.stop();
  reaping.stop();  // it speaks through the session
  return {};
}

void tell_failure(int pipe, const Error& error) {
  const std::string text = fmt::format("{}\n{}", error.code, error.context);
  if (::write(pipe, text.data(), text.size()) < 0) spdlog::error("{}", describe(error));
}

}  // namespace

void be_worker(WorkerStart start, Fd ready) {
  const auto tell = [&ready] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const std::string text = fmt::format("+{}", now / std::chrono::nanoseconds(1));
    if (::write(ready.get(), text.data(), text.size()) > 0) ready.reset();
  };
  const auto run = [&] { return run_worker(std::move(start), tell); };
  const auto done = guarded(run);
  if (!done && ready) tell_failure(ready.get(), done.error());
  if (!done && !ready) spdlog::error("{}", describe(done.error()));
  spdlog::shutdown();
  ::_exit(done ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace spillfs::fs
