// SPDX-License-Identifier: Apache-2.0
// A call that may never come back, or that only a certain user should make: in a child process,
// with a limit to its time and to what it answers. A child that waits for a mount whose daemon does
// not answer can't even be killed: it is left to end when it can.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "storage/base/result.h"

namespace spillfs::fs {

struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
};

inline constexpr std::chrono::seconds kChildPatience{30};

// What `call` returns, in a child that is `user` for good where one is given, as only root can.
// ETIMEDOUT when it takes longer than kChildPatience, EFBIG when it answers more than 64 MiB. For a
// process with one thread.
Result<std::string> call_in_child(const std::optional<UserIds>& user,
                                  const std::function<Result<std::string>()>& call);

}  // namespace spillfs::fs
