// SPDX-License-Identifier: Apache-2.0
#include "storage/write_back.h"

namespace spillfs::storage {

Result<bool> WriteBack::keep_within(std::uint64_t window, std::uint64_t length) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (error_) return tl::unexpected(*error_);
      if (length - sent_ <= window + kStep) return true;
      if (flying_ == kDepth) return false;
      ++flying_;
    }
    pool_.submit([self = shared_from_this(), from = sent_] { self->write(from); });
    sent_ += kStep;
  }
}

Result<> WriteBack::failure() {
  MutexLock lock(mutex_);
  if (error_) return tl::unexpected(*error_);
  return {};
}

void WriteBack::write(std::uint64_t from) {
  const auto written = file_->write_back(from, kStep);
  MutexLock lock(mutex_);
  --flying_;
  if (!written && !error_) error_ = written.error();
}

}  // namespace spillfs::storage
