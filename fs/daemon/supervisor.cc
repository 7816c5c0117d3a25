// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>

#include "fs/config/mount_request.h"
#include "fs/config/option_doubts.h"
#include "fs/daemon/own_mount.h"
#include "fs/daemon/restart_job.h"
#include "fs/daemon/service_manager.h"
#include "fs/daemon/successor.h"
#include "fs/daemon/worker.h"
#include "fs/daemon/worker_process.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/rights/own_rights.h"
#include "fs/rights/process_shield.h"
#include "fs/store/store_lock.h"
#include "fs/system/log.h"
#include "fs/system/process_identity.h"
#include "fs/system/signal_set.h"

namespace spillfs::fs {
namespace {

sigset_t supervisor_signals() { return signal_set({SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD}); }

// What comes when a worker that was killed has ended.
enum class Then : std::uint8_t { kAnother, kUpgrade, kLeave };

// After so many in a row that did not live there is no point in another one: 2.5 s, and a minute
// where the last one lacked space or memory.
constexpr unsigned kMostEarlyDeaths = 8;
constexpr unsigned kMostShortages = 65;
constexpr std::chrono::milliseconds kFirstPause{10};
constexpr std::chrono::seconds kUpgradePatience{60};
constexpr unsigned kMostForks = 9;  // while there are no processes or no memory: 10 s

class Supervisor {
 public:
  explicit Supervisor(MountPlan plan) : plan_(std::move(plan)), program_(own_program()) {
    hold_signals();
    shield_process();
  }
  Result<> start();
  Result<> go_on(const HandOver& what);
  ExitCode wait();

 private:
  using Wishes = std::pair<MountOptions, std::vector<GivenOption>>;

  void read_ahead();
  void raise_format();
  Result<> start_first_worker();
  Result<> fork_worker(Volume::Start start);
  [[noreturn]] void serve(Volume::Start start, Fd ready);
  std::chrono::milliseconds tell(pid_t awaited = 0);
  pid_t awaited();
  int next_signal(sigset_t signals);
  void stop(int signal);
  void leave();
  void kill_worker(Then then);
  std::optional<ExitCode> killed_worker_ended(Then then);
  std::optional<ExitCode> worker_ended(int status);
  bool restart();
  ExitCode end(const std::string& how);
  HandOver hand_over() const;
  void upgrade();
  Result<> prepare_upgrade();
  void finish_upgrade();
  void upgrade_failed(const Error& why);
  Result<> start_worker_of(const std::string& program);
  void become(const std::string& program);

  const pid_t self_ = ::getpid();
  const sigset_t signals_ = supervisor_signals();
  MountPlan plan_;       // its options change when the mount is reloaded
  std::string program_;  // where a newer one is looked for
  ServiceManager service_;
  Boot boot_;
  std::vector<std::byte> init_;
  Fd fuse_;
  OwnMount mount_;
  Fd staging_;
  Fd open_files_;
  bool may_restart_ = false;

  WorkerProcess worker_;
  Fd counts_memory_;
  SupervisorCounts* counts_ = nullptr;
  unsigned early_deaths_ = 0;
  std::optional<Then> then_;  // since the worker was killed
  Wishes before_;             // this upgrade
  bool stopping_ = false;
  bool died_stopping_ = false;  // a worker, since then: one more may seal what it had not
};

Result<> Supervisor::start() {
  boot_ = this_boot();
  raise_format();
  const auto other = others_may_use(plan_.options) ? AllowOther::kYes : AllowOther::kNo;
  std::vector<std::string> flags = plan_.kernel_flags;
  if (plan_.options.read_only) flags.emplace_back("ro");
  fuse_ = SPILLFS_TRY(mount_fuse(plan_.mountpoint, plan_.store.path(), other, flags));
  mount_ = OwnMount::find(fuse_.get(), plan_.mountpoint);
  if (mount_.numbers().id == 0) {
    spdlog::warn("the mount is not on {} any more; it will have to be unmounted by hand",
                 plan_.mountpoint);
  }
  publish_mount(plan_.store.lock(), plan_.mountpoint, mount_.numbers().device);
  limit_supervisor();
  if (auto started = start_first_worker(); !started) {
    if (auto ended = mount_.end(fuse_); !ended) spdlog::error("{}", describe(ended.error()));
    return started;
  }
  read_ahead();
  if (plan_.background) leave_terminal();
  if (may_restart_ && !plan_.background) service_.keep(hand_over());
  return {};
}

// This program goes on with the mount, whatever happens to its workers.
void Supervisor::raise_format() {
  if (plan_.options.read_only) return;
  if (auto raised = plan_.store.raise_format(); !raised) {
    spdlog::warn("the store stays of format {}: {}", plan_.store.format(),
                 describe(raised.error()));
  }
}

void Supervisor::read_ahead() {
  auto ahead = set_read_ahead(mount_.numbers().device, plan_.options.read_ahead);
  if (!ahead) spdlog::info("read-ahead stays at the kernel's choice: {}", describe(ahead.error()));
}

Result<> Supervisor::start_first_worker() {
  init_ = SPILLFS_TRY(answer_init(fuse_.get(), plan_.options.without));
  may_restart_ = features_of(init_, plan_.options.without).on.has(Feature::kResend);
  staging_ = Fd(::memfd_create("spillfs-staging", MFD_CLOEXEC));
  open_files_ = Fd(::memfd_create("spillfs-open-files", MFD_CLOEXEC));
  counts_memory_ = Fd(::memfd_create("spillfs-counts", MFD_CLOEXEC));
  if (!staging_ || !open_files_ || !counts_memory_) {
    return fail_errno(errno, "make the memory that workers share");
  }
  counts_ = SPILLFS_TRY(map_counts(counts_memory_));
  SPILLFS_TRY(fork_worker(Volume::Start::kMount));
  const auto serves = worker_.await({}, [this] { return tell(); });
  if (serves) return {};
  ::waitpid(worker_.pid(), nullptr, 0);
  return tl::unexpected(serves.error());
}

Result<> Supervisor::fork_worker(Volume::Start start) {
  return worker_.start(*counts_, [this, start](Fd ready) { serve(start, std::move(ready)); });
}

// In the child, whose copy of all this is its own.
void Supervisor::serve(Volume::Start start, Fd ready) {
  if (plan_.background) leave_terminal();  // the supervisor tells what goes wrong
  be_worker({.fuse = std::move(fuse_),
             .init = std::move(init_),
             .staging = std::move(staging_),
             .open_files = std::move(open_files_),
             .start = start,
             .counts = counts_,
             .store = &plan_.store,
             .options = plan_.options,
             .mountpoint = plan_.mountpoint,
             .boot = boot_,
             .supervisor = self_},
            std::move(ready));
}

// Says when the service manager wants to be told again.
std::chrono::milliseconds Supervisor::tell(pid_t awaited) {
  service_.tell(*counts_, awaited);
  return service_.pause();
}

// The worker, when there is nothing to do but to wait for its end; else 0.
pid_t Supervisor::awaited() {
  if (!then_ && (service_.beats(*counts_) || !is_ending(worker_.pid()))) return 0;
  if (worker_.is_slow_to_end()) {
    spdlog::warn("process {} ends and is not gone yet: it waits for a disk; {} waits for it",
                 worker_.pid(), plan_.mountpoint);
  }
  return worker_.pid();
}

// Or none, when it is time to tell the service manager something.
int Supervisor::next_signal(sigset_t signals) {
  const auto pause = tell(awaited()).count();
  const timespec until{.tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1'000'000};
  return ::sigtimedwait(&signals, nullptr, &until);
}

ExitCode Supervisor::wait() {
  for (;;) {
    sigset_t signals = signals_;
    if (then_) sigdelset(&signals, SIGHUP);  // one after the other
    const int signal = next_signal(signals);
    if (signal == SIGTERM || signal == SIGINT) stop(signal);
    if (signal == SIGHUP && !stopping_) upgrade();
    if (signal == SIGUSR2) leave();
    if (worker_.pid() == kNoProcess) return end("fork failed");
    const auto status = worker_.reap();
    if (!status) continue;
    const auto code =
        then_ ? killed_worker_ended(*std::exchange(then_, std::nullopt)) : worker_ended(*status);
    if (code) return *code;
  }
}

void Supervisor::kill_worker(Then then) {
  then_ = then;
  worker_.signal(SIGKILL);
}

std::optional<ExitCode> Supervisor::killed_worker_ended(Then then) {
  if (then == Then::kLeave) {
    spdlog::info("leaves the mount on {} to the next daemon", plan_.mountpoint);
    return kExitSuccess;
  }
  if (then == Then::kUpgrade && !stopping_) {
    finish_upgrade();
  } else if (restart() && stopping_) {
    worker_.signal(SIGTERM);
  }
  return std::nullopt;
}

// For a daemon that goes on with what the service manager keeps.
void Supervisor::leave() {
  if (stopping_ || !service_.keeps()) return;
  service_.stopping();
  kill_worker(Then::kLeave);
}

void Supervisor::stop(int signal) {
  if (then_ == Then::kLeave) return;
  if (signal == SIGTERM && !stopping_ && service_.keeps() && is_being_restarted()) return leave();
  stopping_ = true;
  service_.stopping();
  publish_end(plan_.store.lock(), "ends, as it was told to", 0);
  if (auto done = mount_.unmount(fuse_.get()); !done) spdlog::error("{}", describe(done.error()));
  worker_.signal(SIGTERM);
}

// The code to end with, when there is no other worker.
std::optional<ExitCode> Supervisor::worker_ended(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return end({});
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  if (!may_restart_ || (stopping_ && std::exchange(died_stopping_, true))) return end(how);
  early_deaths_ = worker_.has_lived([this] { return tell(); }) ? 0 : early_deaths_ + 1;
  if (early_deaths_ >= (worker_.lacked_something() ? kMostShortages : kMostEarlyDeaths)) {
    return end(fmt::format("{}, as {} before it did", how, early_deaths_ - 1));
  }
  spdlog::warn("the worker of {} died ({}): another goes on", plan_.mountpoint, how);
  if (!restart()) return end(how);
  if (stopping_) worker_.signal(SIGTERM);  // it seals what the dead one had not
  return std::nullopt;
}

bool Supervisor::restart() {
  if (early_deaths_ > 1) {
    const unsigned doublings = std::min(early_deaths_, kMostEarlyDeaths - 1);
    std::this_thread::sleep_for(kFirstPause * (1U << doublings));
  }
  ++counts_->restarts;
  for (unsigned tries = 1; tries <= kMostForks; ++tries) {
    const auto forked = fork_worker(Volume::Start::kRestart);
    if (forked) return true;
    spdlog::error("{}", describe(forked.error()));
    std::this_thread::sleep_for(kFirstPause * (1U << tries));
  }
  return false;
}

HandOver Supervisor::hand_over() const {
  return {.store = plan_.store.path(),
          .mountpoint = plan_.mountpoint,
          .config_file = plan_.config_file,
          .options = plan_.given,
          .background = plan_.background,
          .program = program_,
          .init = init_,
          .boot = boot_,
          .mount = mount_.numbers(),
          .supervisor = self_,
          .worker = worker_.pid(),
          .fuse = fuse_.get(),
          .staging = staging_.get(),
          .open_files = open_files_.get(),
          .counts = counts_memory_.get(),
          .lock = plan_.store.lock()};
}

// To the mount an upgrade is a worker that dies. Once one of the new program serves, this process
// becomes that program as well. What the configuration file says by now counts from then on.
void Supervisor::upgrade() {
  before_ = {plan_.options, plan_.given};
  service_.reloading();
  const auto good = prepare_upgrade();
  if (!good) return upgrade_failed(good.error());
  kill_worker(Then::kUpgrade);
}

void Supervisor::finish_upgrade() {
  if (const auto serves = start_worker_of(program_); !serves) {
    upgrade_failed(serves.error());
    if (worker_.pid() > 0) return kill_worker(Then::kAnother);
    restart();  // wait() looks whether there is one
    return;
  }
  ++counts_->upgrades;
  read_ahead();
  become(program_);
}

Result<> Supervisor::prepare_upgrade() {
  if (!may_restart_) return fail(ENOTSUP, "this kernel can't send requests again");
  if (!plan_.config_file.empty()) {
    plan_.given = SPILLFS_TRY(read_again(plan_.config_file, plan_.given));
    plan_.options = SPILLFS_TRY(parse_options(plan_.given));
    log_doubts(plan_.given);
  }
  return probe_program(program_, hand_over(), [this] { next_signal(signal_set({SIGCHLD})); });
}

void Supervisor::upgrade_failed(const Error& why) {
  std::tie(plan_.options, plan_.given) = std::move(before_);
  ++counts_->failed_upgrades;
  service_.reloaded();
  spdlog::error("upgrade of {}: {}; the old program goes on", plan_.mountpoint, describe(why));
}

Result<> Supervisor::start_worker_of(const std::string& program) {
  HandOver what = hand_over();
  SPILLFS_TRY(worker_.start(*counts_, [&](const Fd& ready) {
    what.ready = ready.get();
    const auto file = write_hand_over(what);
    if (!file) return spdlog::error("{}", describe(file.error()));
    static_cast<void>(set_across_exec(what, Across::kStay));
    run_program(program, "--worker", *file);
  }));
  SPILLFS_TRY(worker_.await(kUpgradePatience, [this] { return tell(worker_.pid()); }));
  return {};
}

// Comes back only if it can't: then this program goes on as the supervisor, which is no harm.
void Supervisor::become(const std::string& program) {
  const HandOver what = hand_over();
  const auto file = write_hand_over(what);
  if (file && set_across_exec(what, Across::kStay)) {
    ::execl(program.c_str(), "spillfs", "take-over", std::to_string(file->get()).c_str(), nullptr);
  }
  spdlog::error("start {}: {}", program, std::generic_category().message(errno));
  static_cast<void>(set_across_exec(what, Across::kClose));
  service_.reloaded();
}

// The new program begins here, in the process of the old one. Where nothing serves the mount, as
// the service manager has kept it, wait() looks after the worker.
Result<> Supervisor::go_on(const HandOver& what) {
  limit_supervisor();
  boot_ = what.boot.id.empty() ? this_boot() : what.boot;
  init_ = what.init;
  fuse_ = Fd(what.fuse);
  mount_ = OwnMount(what.mount);
  if (what.mount.id == 0) mount_ = OwnMount::find(what.fuse, what.mountpoint);
  staging_ = Fd(what.staging);
  open_files_ = Fd(what.open_files);
  counts_memory_ = Fd(what.counts);
  counts_ = SPILLFS_TRY(map_counts(counts_memory_));
  SPILLFS_TRY(set_across_exec(what, Across::kClose));
  may_restart_ = true;
  program_ = what.program;
  raise_format();
  publish_mount(plan_.store.lock(), plan_.mountpoint, mount_.numbers().device);
  if (what.worker > 0) worker_.adopt(what.worker);
  if (!plan_.background) service_.keep(hand_over());
  if (what.worker > 0) return {};
  read_ahead();
  ++counts_->restarts;
  return fork_worker(Volume::Start::kRestart);
}

// The last copy of the descriptor goes with it, so whoever still waits for the mount is told.
ExitCode Supervisor::end(const std::string& how) {
  service_.forget();
  if (auto ended = mount_.end(fuse_); !ended) spdlog::error("{}", describe(ended.error()));
  if (how.empty()) return kExitSuccess;
  spdlog::critical("the worker of {} died ({}): the mount has ended, what was closed is kept",
                   plan_.mountpoint, how);
  return kExitWorkerDied;
}

}  // namespace

void hold_signals() {
  const sigset_t signals = supervisor_signals();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
}

Result<ExitCode> supervise(MountPlan plan, const std::function<void()>& ready) {
  Supervisor supervisor(std::move(plan));
  SPILLFS_TRY(supervisor.start());
  ready();
  return supervisor.wait();
}

Result<ExitCode> supervise_on(const HandOver& what, const MountOptions& options) {
  Supervisor supervisor({.store = SPILLFS_TRY(Store::adopt(
                             what.store, Fd(what.lock), options.foreign_store, access_of(options))),
                         .mountpoint = what.mountpoint,
                         .options = options,
                         .given = what.options,
                         .config_file = what.config_file,
                         .background = what.background});
  SPILLFS_TRY(supervisor.go_on(what));
  return supervisor.wait();
}

}  // namespace spillfs::fs
