// SPDX-License-Identifier: Apache-2.0
#include "fs/system/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "fs/system/human.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kPause{200};
constexpr std::size_t kWidth = 20;
constexpr const char* kEraseLine = "\r\033[K";

}  // namespace

ProgressBar::ProgressBar(std::ostream* out, Unit unit) : out_(out), unit_(unit) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  const auto now = Clock::now();
  if (out_ == nullptr || now - drawn_ < kPause) return;
  drawn_ = now;
  shown_ = true;
  *out_ << kEraseLine << progress_line(done, total, now - begin_, unit_) << std::flush;
}

void ProgressBar::clear() {
  if (shown_) *out_ << kEraseLine << std::flush;
  shown_ = false;
  drawn_ = {};
}

std::string progress_line(std::uint64_t done, std::uint64_t total,
                          std::chrono::duration<double> passed, ProgressBar::Unit unit) {
  const double part =
      total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<std::size_t>(part * kWidth);
  const std::string bar = fmt::format("[{}{}] {:3.0f} %", std::string(full, '#'),
                                      std::string(kWidth - full, '-'), part * 100);
  if (unit == ProgressBar::Unit::kSegments)
    return fmt::format("{}, {} of {} segments", bar, done, total);
  const double rate = passed.count() > 0 ? static_cast<double>(done) / passed.count() : 0;
  return fmt::format("{}, {} of {}, {}/s", bar, human_size(static_cast<double>(done)),
                     human_size(static_cast<double>(total)), human_size(rate));
}

}  // namespace spillfs::fs
