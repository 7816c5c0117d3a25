// SPDX-License-Identifier: Apache-2.0
#include "fs/control/scrubber.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "fs/system/background_priority.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kStopLook{1000};  // how late a stop is heard at most
constexpr std::chrono::milliseconds kTellEvery{1000};
constexpr std::uint64_t kKeepEvery = 64 * kMiB;  // of the background walk's position
constexpr std::uint64_t kMostLines = 10'000;     // of damage, in a report; the log has them all

// Where that can't be read the plan knows of nothing that was compared.
index::ScrubMark kept_mark(Volume& volume) {
  const auto mark = volume.scrub_mark();
  if (!mark) spdlog::warn("scrub: {}", describe(mark.error()));
  return mark.value_or(index::ScrubMark{});
}

std::int64_t birth_of(Volume& volume) {
  const auto root = volume.committed_inode(kRootInode);
  return root ? root->born.seconds : 0;
}

class ReportReader : public ControlReader {
 public:
  explicit ReportReader(std::shared_ptr<JsonReport> report) : report_(std::move(report)) {}
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return report_->read(into, offset);
  }

 private:
  const std::shared_ptr<JsonReport> report_;
};

}  // namespace

Scrubber::Scrubber(Volume& volume, ScrubberOptions options)
    : volume_(volume),
      options_(std::move(options)),
      not_before_(Clock::now() + options_.first),
      plan_({.least_rate = options_.rate, .every = options_.every, .settled = options_.settled},
            kept_mark(volume), birth_of(volume)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Scrubber::~Scrubber() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  changed_.notify_all();
}

std::shared_ptr<JsonReport> Scrubber::demand() {
  MutexLock lock(mutex_);
  if (demanded_ == nullptr) demanded_ = std::make_shared<JsonReport>();
  changed_.notify_all();
  return demanded_;
}

std::unique_ptr<ControlReader> Scrubber::open() { return std::make_unique<ReportReader>(demand()); }

Scrubber::Status Scrubber::status() {
  MutexLock lock(mutex_);
  Status now_status = status_;
  now_status.oldest_age = plan_.oldest_age(now());
  const bool off = options_.rate == 0 || options_.every.count() == 0;
  now_status.rate = off ? 0 : plan_.rate(volume_.charged());
  return now_status;
}

std::int64_t Scrubber::now() const { return options_.now ? options_.now() : std::time(nullptr); }

void Scrubber::run(const std::stop_token& stop) {
  run_when_idle();
  while (!stop.stop_requested()) {
    if (const auto report = wait_for_work(stop)) {
      const nlohmann::json last = walk_for(*report, stop);
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
std::shared_ptr<JsonReport> Scrubber::wait_for_work(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  for (;;) {
    if (stop.stop_requested() || demanded_ != nullptr) return demanded_;
    if (Clock::now() >= not_before_ && plan_.is_due(now())) return nullptr;
    changed_.wait_for(mutex_, kStopLook);
  }
}

void Scrubber::walk_in_background(const std::stop_token& stop) {
  const auto walked = walk_from_position(stop);
  if (walked) return;
  spdlog::error("scrub: {}", describe(walked.error()));
  MutexLock lock(mutex_);
  not_before_ = Clock::now() + options_.first;
}

Result<> Scrubber::walk_from_position(const std::stop_token& stop) {
  const ScrubOptions slowly{.pace = [&](std::uint64_t bytes) { return keep_to_rate(bytes, stop); },
                            .settled = options_.settled};
  SegmentId position = SPILLFS_TRY(begin_pass());
  for (std::uint64_t since_kept = 0;;) {
    const auto found = volume_.scrub_next(position, slowly);
    if (!found && found.error().code == ENOENT) return end_pass();
    if (!found && found.error().code == ECANCELED) return keep(position);
    if (!found) return tl::unexpected(found.error());
    position = found->segment;
    since_kept += found->bytes;
    if (since_kept < kKeepEvery) continue;
    since_kept = 0;
    SPILLFS_TRY(keep(position));
  }
}

// Where it begins, or goes on.
Result<SegmentId> Scrubber::begin_pass() {
  bool goes_on = false;
  {
    MutexLock lock(mutex_);
    goes_on = plan_.mark().began != 0;  // else the position is an older version's, without a time
    plan_.begin(now());
  }
  const SegmentId position = goes_on ? SPILLFS_TRY(volume_.scrub_position()) : kNoSegment;
  SPILLFS_TRY(keep(position));
  return position;
}

Result<> Scrubber::end_pass() {
  {
    MutexLock lock(mutex_);
    plan_.end();
    status_.last_full_pass = now();
  }
  return keep(kNoSegment);
}

Result<> Scrubber::keep(SegmentId position) {
  index::ScrubMark mark;
  {
    MutexLock lock(mutex_);
    mark = plan_.mark();
  }
  return volume_.keep_scrub(position, mark);
}

// False when something more urgent has come.
bool Scrubber::keep_to_rate(std::uint64_t bytes, const std::stop_token& stop) {
  count(bytes);
  MutexLock lock(mutex_);
  const auto due = pace_.after(bytes, plan_.rate(volume_.charged()), Clock::now());
  while (!stop.stop_requested() && demanded_ == nullptr) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now());
    if (left.count() <= 0) return true;
    changed_.wait_for(mutex_, std::min(left, kStopLook));
  }
  return false;
}

// Its last line.
nlohmann::json Scrubber::walk_for(JsonReport& report, const std::stop_token& stop) {
  const std::int64_t began = now();
  const auto pass = walk_all(report, stop);
  if (!pass) {
    return {{"done", true}, {"error", describe(pass.error())}};
  }
  {
    MutexLock lock(mutex_);
    plan_.end_full(began);
    status_.last_full_pass = now();
  }
  if (auto kept = keep(kNoSegment); !kept) spdlog::warn("scrub: {}", describe(kept.error()));
  return {{"done", true},
          {"scrubbed_bytes", pass->bytes},
          {"files", pass->files},
          {"files_without_sums", pass->unsummed},
          {"damaged", pass->damaged}};
}

Result<Scrubber::Pass> Scrubber::walk_all(JsonReport& report, const std::stop_token& stop) {
  Pass pass;
  std::uint64_t read = 0;
  Clock::time_point told;
  const auto pace = [&](std::uint64_t bytes) {
    count(bytes);
    read += bytes;
    if (Clock::now() - told >= kTellEvery) {
      told = Clock::now();
      report.add({{"scrubbed_bytes", read}, {"of_bytes", volume_.status().charged}});
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

void Scrubber::tell(JsonReport& report, const Scrubbed& found, Pass& pass) {
  pass.bytes += found.bytes;
  pass.files += found.files;
  pass.unsummed += found.unsummed;
  for (const Damage& damage : found.damage) {
    if (++pass.damaged > kMostLines) continue;
    report.add({{"segment", damage.segment},
                {"offset", damage.offset},
                {"inode", number(damage.inode)},
                {"path", damage.path},
                {"damage", damage.what}});
  }
}

void Scrubber::count(std::uint64_t bytes) {
  MutexLock lock(mutex_);
  status_.bytes += bytes;
}

}  // namespace spillfs::fs
