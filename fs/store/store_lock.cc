// SPDX-License-Identifier: Apache-2.0
#include "fs/store/store_lock.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "fs/store/store_holder.h"

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kFirstPause{5};
constexpr std::chrono::milliseconds kLongestPause{100};
constexpr std::chrono::seconds kSilence{1};  // then people are told what is waited for

// The time that a holder which ends has left.
class Wait {
 public:
  explicit Wait(const EndPatience& patience) : patience_(patience) {}

  bool is_over(const StoreHolder& holder) {
    const auto now = Clock::now();
    if (holder.state() == StoreHolder::State::kDetached) {
      return now - begin_ >= patience_.detached;
    }
    if (std::string seen = holder.progress(); seen != seen_) {
      seen_ = std::move(seen);
      moved_ = now;
    }
    return now - moved_ >= patience_.idle;
  }

  void pause(const StoreHolder& holder) {
    if (Clock::now() - begin_ >= kSilence && !std::exchange(told_, true)) {
      spdlog::info("waits for {}", holder.waited_for());
    }
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(2 * pause_, kLongestPause);
  }

 private:
  const EndPatience patience_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point moved_ = begin_;
  std::string seen_;
  std::chrono::milliseconds pause_ = kFirstPause;
  bool told_ = false;
};

Result<> wait_for(const Fd& lock, int kind, const TrustedDirectory& store,
                  const EndPatience& patience) {
  Wait wait(patience);
  while (::flock(lock.get(), kind | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno(errno, "lock " + store.path_to(kLockFile));
    const auto holder = StoreHolder::look(lock.get(), store.path());
    if (holder.state() == StoreHolder::State::kUses || wait.is_over(holder)) {
      return fail(EBUSY, holder.sentence());
    }
    wait.pause(holder);
  }
  return {};
}

}  // namespace

Result<Fd> lock_store(const TrustedDirectory& store, const EndPatience& patience) {
  Fd lock = SPILLFS_TRY(store.open_file(kLockFile, O_RDWR | O_CREAT));
  SPILLFS_TRY(wait_for(lock, LOCK_EX, store, patience));
  publish_use(lock.get(), own_use());
  return lock;
}

Result<Fd> lock_store_for_reading(const TrustedDirectory& store, const EndPatience& patience) {
  auto lock = store.open_file(kLockFile, O_RDONLY);
  if (!lock && lock.error().code == ENOENT) return Fd();
  if (!lock) return lock;
  SPILLFS_TRY(wait_for(*lock, LOCK_SH, store, patience));
  return lock;
}

void publish_mount(int lock, const std::string& mountpoint, const std::string& device) {
  StoreUse use = own_use();
  use.mountpoint = mountpoint;
  use.device = device;
  publish_use(lock, use);
}

void publish_end(int lock, std::string_view doing, std::uint64_t done) {
  StoreUse use = published_use(lock).value_or(own_use());
  use.worker = ::getpid();
  use.doing = doing;
  use.done = done;
  publish_use(lock, use);
}

void EndReport::tell(std::string_view doing) {
  const auto now = Clock::now();
  ++done_;
  if (doing == doing_ && now - told_ < kLongestPause) return;
  if (doing != doing_) done_ = 0;
  doing_ = doing;
  told_ = now;
  publish_end(lock_, doing, done_);
}

}  // namespace spillfs::fs
