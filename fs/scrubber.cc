// SPDX-License-Identifier: Apache-2.0
#include "fs/scrubber.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kLook{1000};  // how late a stop is heard at most
constexpr std::chrono::milliseconds kTellEvery{1000};
constexpr std::uint64_t kKeepEvery = 64 * kMiB;  // of the background walk's position
constexpr std::uint64_t kMostLines = 10'000;     // of damage, in a report; the log has them all

std::string to_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// Runs, and reads, when nobody else wants to. What the kernel does not grant is not needed.
void take_lowest_priority() {
  constexpr int kNicest = 19;
  constexpr int kThisThread = 1;  // IOPRIO_WHO_PROCESS; the kernel's header is not for C++
  constexpr int kIdle = 3 << 13;  // IOPRIO_CLASS_IDLE
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNicest));
  static_cast<void>(::syscall(SYS_ioprio_set, kThisThread, 0, kIdle));
}

class ReportReader : public ControlReader {
 public:
  explicit ReportReader(std::shared_ptr<ScrubReport> report) : report_(std::move(report)) {}
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return report_->read(into, offset);
  }

 private:
  const std::shared_ptr<ScrubReport> report_;
};

}  // namespace

void ScrubReport::add(const std::string& line) {
  MutexLock lock(mutex_);
  text_ += line;
}

std::size_t ScrubReport::read(MutableBytes into, std::uint64_t offset) {
  MutexLock lock(mutex_);
  if (offset >= text_.size()) return 0;
  const Bytes from = as_bytes(text_).subspan(offset);
  const std::size_t count = std::min(into.size(), from.size());
  std::copy_n(from.begin(), count, into.begin());
  return count;
}

Scrubber::Scrubber(Volume& volume, ScrubberOptions options)
    : volume_(volume), options_(options), next_pass_(Clock::now() + options.first) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Scrubber::~Scrubber() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  changed_.notify_all();
}

std::shared_ptr<ScrubReport> Scrubber::demand() {
  MutexLock lock(mutex_);
  if (demanded_ == nullptr) demanded_ = std::make_shared<ScrubReport>();
  changed_.notify_all();
  return demanded_;
}

std::unique_ptr<ControlReader> Scrubber::open() { return std::make_unique<ReportReader>(demand()); }

Scrubber::Status Scrubber::status() {
  MutexLock lock(mutex_);
  return status_;
}

void Scrubber::run(const std::stop_token& stop) {
  take_lowest_priority();
  while (!stop.stop_requested()) {
    if (const auto report = wait_for_work(stop)) {
      const std::string last = walk_for(*report, stop);
      {
        MutexLock lock(mutex_);
        demanded_.reset();
      }
      report->add(last);
    } else if (!stop.stop_requested()) {
      walk_in_background(stop);
    }
  }
}

// Null: the background's, or the end.
std::shared_ptr<ScrubReport> Scrubber::wait_for_work(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  for (;;) {
    if (stop.stop_requested() || demanded_ != nullptr) return demanded_;
    const bool due = options_.rate != 0 && Clock::now() >= next_pass_;
    if (due) return nullptr;
    changed_.wait_for(mutex_, kLook);
  }
}

void Scrubber::walk_in_background(const std::stop_token& stop) {
  const ScrubOptions slowly{.pace = [&](std::uint64_t bytes) { return keep_to_rate(bytes, stop); },
                            .settled = options_.settled};
  auto position = volume_.scrub_position();
  std::uint64_t since_kept = 0;
  while (position) {
    const auto found = volume_.scrub_next(*position, slowly);
    if (!found) {
      const bool at_end = found.error().code == ENOENT;
      if (at_end) passed();
      const auto kept = volume_.keep_scrub_position(at_end ? kNoSegment : *position);
      if (!at_end && found.error().code != ECANCELED) position = tl::unexpected(found.error());
      if (!kept) position = tl::unexpected(kept.error());
      break;
    }
    position = found->segment;
    since_kept += found->bytes;
    if (since_kept < kKeepEvery) continue;
    since_kept = 0;
    if (auto kept = volume_.keep_scrub_position(*position); !kept) {
      position = tl::unexpected(kept.error());
    }
  }
  if (position) return;
  spdlog::error("scrub: {}", describe(position.error()));
  MutexLock lock(mutex_);
  next_pass_ = Clock::now() + options_.first;
}

// False when something more urgent has come.
bool Scrubber::keep_to_rate(std::uint64_t bytes, const std::stop_token& stop) {
  count(bytes);
  const std::chrono::duration<double> takes(static_cast<double>(bytes) /
                                            static_cast<double>(options_.rate));
  due_ = std::max(due_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(takes);
  MutexLock lock(mutex_);
  while (!stop.stop_requested() && demanded_ == nullptr) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now());
    if (left.count() <= 0) return true;
    changed_.wait_for(mutex_, std::min(left, kLook));
  }
  return false;
}

// Its last line.
std::string Scrubber::walk_for(ScrubReport& report, const std::stop_token& stop) {
  const auto pass = walk_all(report, stop);
  if (!pass) {
    return to_line({{"done", true}, {"error", describe(pass.error())}});
  }
  passed();
  if (auto kept = volume_.keep_scrub_position(kNoSegment); !kept) {
    spdlog::warn("scrub: {}", describe(kept.error()));
  }
  return to_line({{"done", true},
                  {"scrubbed_bytes", pass->bytes},
                  {"files", pass->files},
                  {"files_without_sums", pass->unsummed},
                  {"damaged", pass->damaged}});
}

Result<Scrubber::Pass> Scrubber::walk_all(ScrubReport& report, const std::stop_token& stop) {
  Pass pass;
  std::uint64_t read = 0;
  Clock::time_point told;
  const auto pace = [&](std::uint64_t bytes) {
    count(bytes);
    read += bytes;
    if (Clock::now() - told >= kTellEvery) {
      told = Clock::now();
      report.add(to_line({{"scrubbed_bytes", read}, {"of_bytes", volume_.status().charged}}));
    }
    return !stop.stop_requested();
  };
  for (SegmentId position = kNoSegment;;) {
    const auto found = volume_.scrub_next(position, {.pace = pace});
    if (!found && found.error().code == ENOENT) return pass;
    if (!found && found.error().code == ECANCELED) return fail(ECANCELED, "the mount ends");
    if (!found) return tl::unexpected(found.error());
    tell(report, *found, pass);
    position = found->segment;
  }
}

void Scrubber::tell(ScrubReport& report, const Scrubbed& found, Pass& pass) {
  pass.bytes += found.bytes;
  pass.files += found.files;
  pass.unsummed += found.unsummed;
  for (const Damage& damage : found.damage) {
    if (++pass.damaged > kMostLines) continue;
    report.add(to_line({{"segment", damage.segment},
                        {"offset", damage.offset},
                        {"inode", number(damage.inode)},
                        {"path", damage.path},
                        {"damage", damage.what}}));
  }
}

void Scrubber::passed() {
  MutexLock lock(mutex_);
  status_.last_full_pass = std::time(nullptr);
  next_pass_ = Clock::now() + options_.every;
}

void Scrubber::count(std::uint64_t bytes) {
  MutexLock lock(mutex_);
  status_.bytes += bytes;
}

}  // namespace spillfs::fs
