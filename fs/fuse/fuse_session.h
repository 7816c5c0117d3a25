// SPDX-License-Identifier: Apache-2.0
// FuseSession: serves a mount's requests from a Volume until the mount ends or stop() is called. It
// is built on the mount's descriptor and the INIT that has been answered already.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "fs/control/control_files.h"
#include "fs/fuse/admission.h"
#include "fs/fuse/fuse_ops.h"
#include "fs/fuse/parking.h"
#include "fs/volume/volume.h"
#include "storage/base/fd.h"

namespace spillfs::fs {

class FuseSession {
 public:
  struct Options {
    unsigned threads = 8;
    std::chrono::milliseconds space_wait{10000};  // how long a writer waits for reclaim
    KernelFeatures features;                      // what the kernel and we agreed on
    Volume::Start start = Volume::Start::kMount;
    storage::Access access = storage::Access::kReadWrite;
    RequestCounters* requests = nullptr;
    RequestTimes* times = nullptr;
    Clients* clients = nullptr;
    SlowWatch* slow = nullptr;
  };
  // `volume`, `control` and what the options point to outlive the session.
  static Result<std::unique_ptr<FuseSession>> open(Fd fuse, MutableBytes init, Volume& volume,
                                                   ControlFiles& control, Options options);
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;
  ~FuseSession();

  // Serves until the mount has ended or stop() is called.
  void run();
  // May be called from any thread and from a signal handler's thread; run() returns soon.
  void stop();

 private:
  struct Destroy {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
  };

  // Goes between the session and what is answered through it.
  struct FinishSyncs {
    Volume& volume;
    ~FinishSyncs() { volume.finish_syncs(); }
  };
  // Goes before the parking, where requests that wait for a proof go on.
  struct FinishProofs {
    Volume& volume;
    ~FinishProofs() { volume.finish_proofs(); }
  };

  FuseSession(Fd fuse, Volume& volume, ControlFiles& control, Options options);
  Result<> start(MutableBytes init);
  void connect_volume();
  void receive_loop();
  void serve_in_turn(MutableBytes request);
  [[nodiscard]] uid_t user_of_request(Bytes request);
  void spin();

  const Fd fuse_;
  const Options options_;
  Volume& volume_;
  const Requesters requesters_;
  FuseContext context_;
  Admission admission_;
  std::unique_ptr<fuse_session, Destroy> session_;
  const FinishSyncs finish_syncs_;
  Parking parking_;  // goes before it: what waits is answered through the session
  const FinishProofs finish_proofs_;
  std::atomic<bool> stopped_{false};
  std::atomic_flag spinning_;
  std::atomic<unsigned> running_{0};
};

}  // namespace spillfs::fs
