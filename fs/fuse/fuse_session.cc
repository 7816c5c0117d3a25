// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_session.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "fs/fuse/fuse_protocol.h"
#include "fs/fuse/fuse_requests.h"
#include "storage/base/threads.h"

namespace spillfs::fs {
namespace {

constexpr int kWakeSignal = SIGUSR1;  // interrupts a read that waits for a request
constexpr std::chrono::milliseconds kWakePause{5};
constexpr std::chrono::microseconds kSpin{40};
constexpr std::size_t kMemoryPage = 4096;

struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }  // NOLINT: from aligned_alloc
};

void on_init(void* /*context*/, fuse_conn_info* connection) {
  // What the kernel was told in answer_init(), as far as libfuse needs to know.
  connection->max_write = kMaxWrite;
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

// Counted first: who has the answer finds it in the counters.
ssize_t write_answer(int fuse, iovec* parts, int count, void* context) {
  static_cast<FuseContext*>(context)->times->answered({parts, static_cast<std::size_t>(count)});
  return ::writev(fuse, parts, count);
}

// The session has a loop of its own that nobody starts.
ssize_t read_nothing(int /*fuse*/, void* /*into*/, std::size_t /*size*/, void* /*context*/) {
  errno = ENOTSUP;
  return -1;
}

// A handler that does nothing: the signal's purpose is EINTR.
void install_wake_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(kWakeSignal, &action, nullptr);
}

}  // namespace

FuseSession::FuseSession(Fd fuse, Volume& volume, ControlFiles& control, Options options)
    : fuse_(std::move(fuse)),
      options_(options),
      volume_(volume),
      requesters_(options.features.maps_ids ? RequestIds::kOfWhatIsMade : RequestIds::kOfWhoAsks),
      admission_(options.threads, ::geteuid()),
      finish_syncs_{volume},
      parking_(options.space_wait),
      finish_proofs_{volume} {
  context_ = {.volume = &volume,
              .control = &control,
              .parking = &parking_,
              .requests = options.requests,
              .times = options.times,
              .clients = options.clients,
              .slow = options.slow,
              .requesters = &requesters_,
              .access = options.access,
              .fuse = fuse_.get(),
              .features = options.features};
}

Result<std::unique_ptr<FuseSession>> FuseSession::open(Fd fuse, MutableBytes init, Volume& volume,
                                                       ControlFiles& control, Options options) {
  std::unique_ptr<FuseSession> session(new FuseSession(std::move(fuse), volume, control, options));
  SPILLFS_TRY(session->start(init));
  session->connect_volume();
  return session;
}

Result<> FuseSession::start(MutableBytes init) {
  install_wake_signal();
  fuse_lowlevel_ops operations = fuse_operations();
  operations.init = on_init;
  std::string name = "spillfs";
  std::array<char*, 2> argv{name.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, argv.data());
  session_.reset(fuse_session_new(&args, &operations, sizeof(operations), &context_));
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return fail(EINVAL, "libfuse refused the session");
  Fd copy(::dup(fuse_.get()));  // the session closes its own
  if (!copy) return fail_errno(errno, "copy the FUSE descriptor");
  if (fuse_session_mount(session_.get(), fmt::format("/dev/fd/{}", copy.get()).c_str()) != 0) {
    return fail(EIO, "libfuse refused the FUSE descriptor");
  }
  const int copy_number = copy.release();
  // libfuse answers the replayed INIT as well; the kernel ignores that reply.
  fuse_buf buffer{};
  buffer.size = init.size();
  buffer.mem = init.data();
  fuse_session_process_buf(session_.get(), &buffer);
  // From here on its answers go through us: only there all of them come by.
  const fuse_custom_io io{.writev = write_answer, .read = read_nothing};
  if (fuse_session_custom_io(session_.get(), &io, copy_number) != 0) {
    return fail(EIO, "libfuse does not let us write its answers");
  }
  return {};
}

void FuseSession::connect_volume() {
  fuse_session* session = session_.get();
  std::function<Result<int>(int)> lend;
  if (context_.features.on.has(Feature::kPassthrough)) {
    lend = [fuse = fuse_.get()](int file) { return open_backing(fuse, file); };
  }
  // Offset -1 touches no page: only attributes; it also says whether the kernel has the inode.
  const auto drop_attributes = [session](InodeId id) {
    return fuse_lowlevel_notify_inval_inode(session, number(id), -1, 0);
  };
  volume_.set_kernel({
      .holds = [drop_attributes](InodeId id) { return drop_attributes(id) != -ENOENT; },
      .drop_caches =
          [session](InodeId id) { fuse_lowlevel_notify_inval_inode(session, number(id), 0, 0); },
      .wake = [this] { parking_.wake(); },
      .lend = std::move(lend),
      .take_back = [fuse = fuse_.get()](int id) { close_backing(fuse, id); },
      // Safe while a request is served: its sender holds the inode.
      .drop_attributes = drop_attributes,
      .direct_writes = context_.features.on.has(Feature::kDirectMmap),
  });
}

FuseSession::~FuseSession() { volume_.set_kernel({}); }

void FuseSession::run() {
  if (options_.start == Volume::Start::kRestart) {
    if (auto asked = ask_for_resend(fuse_.get()); !asked) {
      spdlog::error("{}", describe(asked.error()));
    }
  }
  std::vector<std::jthread> threads;
  start_threads(threads, options_.threads, 1, [this] {
    ++running_;
    receive_loop();
    stop();  // the mount has ended for all of them
    --running_;
  });
  stopped_.wait(false);
  // A thread may be about to read when the signal comes: repeat it until all have seen the flag.
  while (running_ > 0) {
    for (std::jthread& thread : threads) ::pthread_kill(thread.native_handle(), kWakeSignal);
    std::this_thread::sleep_for(kWakePause);
  }
}

void FuseSession::stop() {
  stopped_ = true;
  stopped_.notify_all();
}

// The next request of a client that waits for this one's answer comes within microseconds: less
// than it takes to fall asleep and be woken. One thread at a time looks out for it.
void FuseSession::spin() {
  static const bool alone = std::thread::hardware_concurrency() < 2;
  if (alone || spinning_.test_and_set(std::memory_order_acquire)) return;
  pollfd fd{.fd = fuse_.get(), .events = POLLIN, .revents = 0};
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (::poll(&fd, 1, 0) == 0 && std::chrono::steady_clock::now() < end) {
  }
  spinning_.clear(std::memory_order_release);
}

void FuseSession::receive_loop() {
  const std::unique_ptr<std::byte, Free> memory(
      static_cast<std::byte*>(std::aligned_alloc(kMemoryPage, kRequestBuffer)));
  // Where the kernel has to make a page for a request, and this process is killed just then, the
  // request fails.
  std::memset(memory.get(), 0, kRequestBuffer);
  while (!stopped_) {
    spin();
    const ssize_t got = ::read(fuse_.get(), memory.get(), kRequestBuffer);
    if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
    // Unmounted, or the connection was aborted. Either may give either: an unmount aborts, too.
    if (got < 0 && (errno == ENODEV || errno == ECONNABORTED)) break;
    if (got < 0) {
      spdlog::error("receive a request: {}", std::generic_category().message(errno));
      break;
    }
    serve_in_turn({memory.get(), static_cast<std::size_t>(got)});
  }
}

// Once stop() is called, too, what is kept is served before the threads end.
void FuseSession::serve_in_turn(MutableBytes request) {
  if (!has_answer(request)) return serve_request(*session_, context_, request);
  const uid_t user = user_of_request(request);
  if (!admission_.admit(user, request)) return;
  serve_request(*session_, context_, request);
  for (auto kept = admission_.served(user); kept; kept = admission_.served(kept->user)) {
    serve_request(*session_, context_, kept->bytes);
  }
}

// The kernel does not say who closes a file for the last time, nor whose mapping it writes back.
uid_t FuseSession::user_of_request(Bytes request) {
  if (const auto handle = released_handle(request)) return volume_.opener_of(HandleId{*handle});
  const auto header = load<protocol::InHeader>(request);
  return requesters_.user_lately(header.uid, static_cast<pid_t>(header.pid));
}

}  // namespace spillfs::fs
