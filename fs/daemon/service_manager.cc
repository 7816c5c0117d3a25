// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/service_manager.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <map>
#include <string_view>

#include "fs/daemon/own_mount.h"
#include "fs/fuse/mountpoint.h"

namespace spillfs::fs {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kPause = 5s;
constexpr std::chrono::milliseconds kShortPause = 50ms;  // while it starts
constexpr std::chrono::microseconds kMoreTime = 30s;     // than TimeoutStartSec, while it recovers
constexpr std::chrono::milliseconds kNotifyPatience = 5s;  // for systemd to take what it is told
constexpr int kNoFile = -1;

struct Kept {
  const char* name;
  int HandOver::*descriptor;
};
constexpr std::array<Kept, 5> kKept{{{"fuse", &HandOver::fuse},
                                     {"staging", &HandOver::staging},
                                     {"open-files", &HandOver::open_files},
                                     {"counts", &HandOver::counts},
                                     {"lock", &HandOver::lock}}};
constexpr const char* kHandOver = "hand-over";

// A connection to NOTIFY_SOCKET; none where there is no systemd.
Fd manager_socket() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string_view name = path != nullptr ? path : "";
  if (name.empty() || name.size() >= sizeof(address.sun_path)) return {};
  std::copy(name.begin(), name.end(), address.sun_path);
  if (name.front() == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return {};
  return socket;
}

// As sd_pid_notify_with_fds(3), which waits for ever for room in the socket: a manager that does
// not read must not stop the supervisor. False where there is no systemd, or it can't be told.
bool notify(std::string_view text, std::chrono::milliseconds patience, int file = kNoFile) {
  const Fd socket = manager_socket();
  if (!socket) return false;
  pollfd writable{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&writable, 1, static_cast<int>(patience.count())) != 1) return false;
  iovec part{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (file != kNoFile) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &file, sizeof(int));
  }
  return ::sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool store_descriptor(const char* name, int file) {
  // Without FDPOLL=0 systemd would wake for every request of the mount.
  return notify(fmt::format("FDSTORE=1\nFDNAME={}\nFDPOLL=0", name), kNotifyPatience, file);
}

void remove_descriptor(const char* name) {
  notify(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name), kNotifyPatience);
}

// Comes back when systemd has done what it was told, which it says by closing a pipe.
void await_manager() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  if (!notify("BARRIER=1", kNotifyPatience, theirs.get())) return;
  theirs.reset();
  pollfd closed{.fd = ours.get(), .events = 0, .revents = 0};
  ::poll(&closed, 1, static_cast<int>(kNotifyPatience.count()));
}

void remove_descriptors() {
  for (const Kept& kept : kKept) remove_descriptor(kept.name);
  remove_descriptor(kHandOver);
  await_manager();
}

std::uint64_t monotonic_now() {  // microseconds
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

void ServiceManager::tell(const SupervisorCounts& counts, pid_t awaited) {
  if (state_ == State::kStarting && counts.serving != 0) reloaded();
  fmt::memory_buffer text;  // short enough to need no memory
  const auto end = std::back_inserter(text);
  if (state_ == State::kStopping) {
    fmt::format_to(end, "STATUS=unmounting…");
  } else if (state_ == State::kReloading) {
    fmt::format_to(end, "STATUS=upgrading…");
  } else if (counts.serving == 0) {
    fmt::format_to(end, "STATUS=recovering…");
  } else {
    fmt::format_to(end, "STATUS={} files, {:.1f} MiB used, {} restarts", counts.files.load(),
                   static_cast<double>(counts.bytes.load()) / static_cast<double>(kMiB),
                   counts.restarts.load());
  }
  if (awaited > 0) fmt::format_to(end, " (waits for process {})", awaited);
  if (state_ == State::kStarting) {
    fmt::format_to(end, "\nEXTEND_TIMEOUT_USEC={}", kMoreTime.count());
  }
  const std::uint32_t beats = counts.beats;
  if (std::exchange(beats_, beats) != beats || awaited > 0) fmt::format_to(end, "\nWATCHDOG=1");
  notify({text.data(), text.size()}, 0ms);
}

std::chrono::milliseconds ServiceManager::pause() const {
  if (state_ == State::kStarting) return kShortPause;
  std::uint64_t limit = 0;  // microseconds
  if (::sd_watchdog_enabled(0, &limit) <= 0) return kPause;
  return std::min<std::chrono::milliseconds>(kPause, std::chrono::milliseconds(limit / 4000));
}

void ServiceManager::reloading() {
  state_ = State::kReloading;
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=upgrading…", monotonic_now()),
         kNotifyPatience);
}

void ServiceManager::reloaded() {
  state_ = State::kServing;
  notify("READY=1", kNotifyPatience);
}

void ServiceManager::stopping() {
  state_ = State::kStopping;
  notify("STOPPING=1\nSTATUS=unmounting…", kNotifyPatience);
}

void ServiceManager::keep(const HandOver& what) {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
  const auto file = write_hand_over(what);
  if (!file) return spdlog::warn("a restart will unmount: {}", describe(file.error()));
  remove_descriptor(kHandOver);  // of the program before
  keeps_ = store_descriptor(kHandOver, file->get()) &&
           std::all_of(kKept.begin(), kKept.end(), [&](const Kept& kept) {
             return store_descriptor(kept.name, what.*kept.descriptor);
           });
  if (!keeps_) remove_descriptors();  // a part of them would only keep the mount from ending
}

void ServiceManager::forget() {
  if (std::exchange(keeps_, false)) remove_descriptors();
}

namespace {

using Descriptors = std::map<std::string, Fd>;

// All that systemd passes, by name.
Descriptors passed_descriptors() {
  Descriptors found;
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    found[names[i]] = Fd(SD_LISTEN_FDS_START + i);
    std::free(names[i]);  // NOLINT: from libsystemd
  }
  std::free(names);  // NOLINT: from libsystemd
  return found;
}

Result<HandOver> to_hand_over(const Descriptors& passed) {
  const auto file = passed.find(kHandOver);
  if (file == passed.end()) return fail(ENOENT, "it has no hand-over");
  HandOver what = SPILLFS_TRY(read_hand_over(file->second.get()));
  what.supervisor = ::getpid();
  what.worker = 0;
  for (const Kept& kept : kKept) {
    const auto found = passed.find(kept.name);
    if (found == passed.end()) return fail(ENOENT, fmt::format("it has no {}", kept.name));
    what.*kept.descriptor = found->second.get();
  }
  return what;
}

bool is_connection(int file) {
  struct stat kept {};
  struct stat wanted {};
  return ::fstat(file, &kept) == 0 && ::stat("/dev/fuse", &wanted) == 0 && S_ISCHR(kept.st_mode) &&
         kept.st_rdev == wanted.st_rdev;
}

Result<> check_it_is_wanted(const HandOver& what, const MountRequest& request) {
  std::error_code error;
  if (!std::filesystem::equivalent(what.store, request.store, error) || error) {
    return fail(ESTALE, "it is of the store " + what.store);
  }
  if (what.mountpoint != SPILLFS_TRY(absolute_mountpoint(request.mountpoint))) {
    return fail(ESTALE, "it is on " + what.mountpoint);
  }
  return {};
}

OwnMount mount_of(const HandOver& what) {
  return what.mount.id != 0 ? OwnMount(what.mount) : OwnMount::find(what.fuse, what.mountpoint);
}

Result<> check_it_is_there(const HandOver& what) {
  if (!is_connection(what.fuse)) return fail(EBADF, "its descriptor is not one of FUSE");
  const auto mount = mount_of(what).pin();
  if (!mount || !is_connected(what.fuse)) return fail(ESTALE, "it has ended");
  if (mount->path() != what.mountpoint) return fail(ESTALE, "it is on " + mount->path() + " now");
  return {};
}

Result<KeptMount> to_mount(const Descriptors& passed, const MountRequest* request) {
  KeptMount mount{.what = SPILLFS_TRY(to_hand_over(passed)), .options = {}};
  if (request != nullptr) SPILLFS_TRY(check_it_is_wanted(mount.what, *request));
  SPILLFS_TRY(check_it_is_there(mount.what));
  if (request != nullptr) {
    const MountOptions before = SPILLFS_TRY(parse_options(mount.what.options));
    mount.what.options = request->options;
    mount.what.config_file = request->config_file;
    SPILLFS_TRY(keep_what_stays(before, mount.what.options));
  }
  mount.options = SPILLFS_TRY(parse_options(mount.what.options));
  return mount;
}

// Systemd's copies, too: the store's lock and the connection are as free as if nothing had been
// kept.
void let_go(const Descriptors& passed, const std::string& mountpoint) {
  const auto what = to_hand_over(passed);
  if (const auto fuse = passed.find("fuse"); fuse != passed.end()) {
    const int file = fuse->second.get();
    const OwnMount mount = what ? mount_of(*what) : OwnMount::find(file, mountpoint);
    if (auto done = mount.unmount(file); !done) spdlog::error("{}", describe(done.error()));
  }
  remove_descriptors();
}

}  // namespace

bool has_kept() { return ::sd_listen_fds(0) > 0; }

std::optional<KeptMount> take_kept(const MountRequest* request) {
  Descriptors passed = passed_descriptors();
  if (passed.empty()) return std::nullopt;
  auto mount = to_mount(passed, request);
  if (!mount) {
    spdlog::warn("the mount that was kept is let go: {}", describe(mount.error()));
    let_go(passed, request != nullptr ? request->mountpoint : std::string());
    return std::nullopt;
  }
  for (const Kept& kept : kKept) static_cast<void>(passed.at(kept.name).release());
  spdlog::info("goes on with the mount on {}", mount->what.mountpoint);
  return *std::move(mount);
}

}  // namespace spillfs::fs
