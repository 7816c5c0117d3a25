// SPDX-License-Identifier: Apache-2.0
// RequestTimes: how long each kind of request takes from its arrival to its answer, wherever that
// is given, and what the answers are: errors by errno, bytes of reads and writes. What the kernel
// does without us (passthrough, its page cache) is not seen.
// Threads: every method may be called from any thread; a Request ends on the thread it began on.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "fs/fuse/fuse_requests.h"
#include "fs/fuse/latency_histogram.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class RequestTimes {
 public:
  // A request, for as long as the thread that took it serves it; the answer may come later, from
  // another thread. One at a time on a thread.
  class Request {
   public:
    Request(RequestTimes& times, Bytes raw, Counted counted);
    ~Request();
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

   private:
    friend class RequestTimes;
    RequestTimes& times_;
    std::uint64_t unique_ = 0;
    std::uint32_t opcode_ = 0;
    const Counted counted_;
    bool answered_ = false;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  };

  // What is about to be written to /dev/fuse: the answer of a request, or a notification.
  void answered(std::span<const iovec> reply) EXCLUDES(mutex_);

  // Of the kinds of which some were answered.
  struct Latencies {
    std::uint32_t opcode = 0;
    LatencyHistogram::Counts counts;
  };
  [[nodiscard]] std::vector<Latencies> latencies() const;
  struct Errors {
    std::uint32_t opcode = 0;
    int error = 0;
    std::uint64_t count = 0;
  };
  [[nodiscard]] std::vector<Errors> errors() const;
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] std::uint64_t bytes_written() const { return bytes_written_; }
  // Requests that no thread serves now and that are not answered: they wait for space or a disk.
  [[nodiscard]] std::size_t waiting() EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kErrors = 134;  // Linux's, and 0 for those beyond
  struct Answer {
    int error = 0;
    std::uint64_t bytes = 0;  // read or written
    Clock::time_point at;
  };
  struct Asked {
    std::uint32_t opcode = 0;
    Counted counted = Counted::kNo;
    Clock::time_point at;
  };

  void wait_for_answer(const Request& request) EXCLUDES(mutex_);
  void count(const Asked& asked, const Answer& answer);

  std::array<LatencyHistogram, kOpcodes> latencies_{};
  std::array<std::array<std::atomic<std::uint32_t>, kErrors>, kOpcodes> errors_{};
  std::atomic<std::uint64_t> bytes_read_{0};
  std::atomic<std::uint64_t> bytes_written_{0};
  Mutex mutex_;
  std::unordered_map<std::uint64_t, Asked> waiting_ GUARDED_BY(mutex_);
  // Given before the thread that took the request had left it.
  std::unordered_map<std::uint64_t, Answer> early_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
