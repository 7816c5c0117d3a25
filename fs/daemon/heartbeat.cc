// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/heartbeat.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kPeriod{1};
constexpr std::chrono::seconds kStuck{10};  // no request takes that long but for its disk

}  // namespace

bool waits_for_a_disk() {
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream file(task.path() / "stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');  // proc(5): "pid (name) state …"
    if (name_end != std::string::npos && text.compare(name_end, 3, ") D") == 0) return true;
  }
  return false;
}

Heartbeat::Heartbeat(SupervisorCounts& counts)
    : counts_(counts), thread_([this](const std::stop_token& stop) { beat(stop); }) {}

Heartbeat::~Heartbeat() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  stopping_.notify_all();
}

void Heartbeat::beat(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    const bool stuck = slow_ != nullptr && slow_->stuck(kStuck) && !waits_for_a_disk();
    if (!stuck) ++counts_.beats;
    stopping_.wait_for(mutex_, kPeriod);
  }
}

Heartbeat::Proof::Proof(Heartbeat& heartbeat, Volume& volume, SlowWatch& slow)
    : heartbeat_(heartbeat),
      volume_(volume),
      slow_(slow),
      thread_([this](const std::stop_token& stop) { ask(stop); }) {
  MutexLock lock(heartbeat_.mutex_);
  heartbeat_.slow_ = &slow;
  heartbeat_.counts_.serving = 1;
}

Heartbeat::Proof::~Proof() {
  MutexLock lock(heartbeat_.mutex_);
  heartbeat_.slow_ = nullptr;
}

void Heartbeat::Proof::ask(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      const SlowWatch::Operation watched(&slow_, "look", {}, number(kRootInode));
      if (auto root = volume_.get_attributes(kRootInode); !root) {
        spdlog::debug("{}", describe(root.error()));
      }
      const Volume::Status now = volume_.status();
      heartbeat_.counts_.files = static_cast<std::uint64_t>(now.inodes);
      heartbeat_.counts_.bytes = now.charged;
    }
    pause(kPeriod, stop);
  }
}

}  // namespace spillfs::fs
