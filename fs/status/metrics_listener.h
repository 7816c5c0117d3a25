// SPDX-License-Identifier: Apache-2.0
// MetricsListener: the socket on which metrics are asked for. It is made once, so that a process
// that may make no more sockets can still try an address again that is in use. It owns the file of
// a unix socket, which goes with it; where others than root and the daemon's user could rename what
// is in its directory, there is none.
// Threads: one at a time.
#pragma once

#include <optional>
#include <string>

#include "fs/config/metrics_address.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {

class MetricsListener {
 public:
  // Makes the socket and tries to listen; whether it does, listen() says.
  explicit MetricsListener(MetricsAddress address);
  ~MetricsListener();
  MetricsListener(const MetricsListener&) = delete;
  MetricsListener& operator=(const MetricsListener&) = delete;

  // Nothing more is done where it listens already. EADDRINUSE: it may be tried again. What a
  // process that died has left of a unix socket is cleared away by the first call, in the
  // constructor; later ones may not be able to tell.
  Result<> listen();
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] const MetricsAddress& address() const { return address_; }

 private:
  Result<> bind();

  Result<> bind_file();

  const MetricsAddress address_;
  Fd socket_;
  std::optional<TrustedDirectory> folder_;  // of the file that we made
  bool listens_ = false;
};

}  // namespace spillfs::fs
