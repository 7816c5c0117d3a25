// SPDX-License-Identifier: Apache-2.0
// Searches a Volume for files whose process has ended, and removes them, as .spillfs/reap is asked
// to: the daemon alone knows which processes live, in its own view of the machine, and what is in
// use.
//
// A request is a JSON object in a single write, its answer a JSON object a line, which grows until
// the last one, that has "done":
//   {"dry_run":false,"older_than":3600,"view":{"processes":1,"time":2,"mounts":3}}
//   {"bytes":6000640,"path":"a/b","raw":[97,47,98],"why":"…"}
//       found, and removed unless in a dry run; `raw` is the path where that is not UTF-8, too
//   {"trouble":"…"}                             what stays, as it could not be looked at or removed
//   {"done":true} or {"done":true,"error":"…"}
//
// Threads: every method may be called from any thread. The search has one of its own, which waits
// for no request of the mount's.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "fs/control/control_files.h"
#include "fs/control/json_report.h"
#include "fs/system/namespaces.h"
#include "fs/system/process_identity.h"
#include "fs/volume/volume.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

struct ReapRequest {
  bool dry_run = false;
  std::int64_t older_than = 3600;  // seconds
  Namespaces view;                 // of who asks
};
std::string to_text(const ReapRequest& request);
// EINVAL when it is none.
Result<ReapRequest> parse_reap_request(std::string_view text);

// What was asked, and what is answered so far.
class ReapReport : public JsonReport {
 public:
  explicit ReapReport(const ReapRequest& request) : request_(request) {}

  [[nodiscard]] const ReapRequest& request() const { return request_; }

 private:
  const ReapRequest request_;
};

class ReapService {
 public:
  static constexpr std::size_t kMostWaiting = 16;

  // Searches between start() and stop(); `volume` outlives it.
  ReapService(Volume& volume, Machine machine);
  ~ReapService();

  // A handle of .spillfs/reap: a request goes in, once, and its answer comes out.
  std::unique_ptr<ControlReader> open();
  // EBUSY when too many wait.
  Result<std::shared_ptr<ReapReport>> ask(const ReapRequest& request);

  void start();
  // What is under way ends soon, what waits is not done.
  void stop();

 private:
  void run(const std::stop_token& stop);
  std::shared_ptr<ReapReport> next(const std::stop_token& stop);
  void search(ReapReport& report, const std::stop_token& stop);

  Volume& volume_;
  const Machine machine_;
  const Namespaces view_ = own_namespaces();
  Mutex mutex_;
  CondVar asked_;
  std::deque<std::shared_ptr<ReapReport>> waiting_ GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace spillfs::fs
