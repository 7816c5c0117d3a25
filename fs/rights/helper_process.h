// SPDX-License-Identifier: Apache-2.0
// HelperProcess: a fork of the worker that keeps a right which the worker gives up, and does the
// one thing that needs it, when it is asked over a socket. It has none of the worker's other
// descriptors, and ends when the worker does, or when its socket is closed.
// To be started while the worker has one thread.
#pragma once

#include <functional>

#include "fs/system/capabilities.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class HelperProcess {
 public:
  // Calls `serve` in the helper, which ends when that returns. `kept` are its capabilities, as far
  // as this process has them; programs that it starts get no others. Its end of the socket is
  // closed to them.
  static Result<HelperProcess> start(CapabilitySet kept,
                                     const std::function<void(int socket)>& serve);

  // Where it is asked.
  [[nodiscard]] int socket() const { return socket_.get(); }

 private:
  explicit HelperProcess(Fd socket) : socket_(std::move(socket)) {}

  Fd socket_;
};

}  // namespace spillfs::fs
