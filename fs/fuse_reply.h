// SPDX-License-Identifier: Apache-2.0
// From a Volume's result to FUSE's reply. The one place that makes an errno for the kernel.
#pragma once

#include <spdlog/spdlog.h>

#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "fs/fuse_api.h"
#include "fs/fuse_ops.h"

namespace spillfs::fs {

// Replies the errno and logs it once.
void reply_error(fuse_req_t request, const char* operation, const Error& error);

inline FuseContext& context_of(fuse_req_t request) {
  return *static_cast<FuseContext*>(fuse_req_userdata(request));
}
inline Volume& volume_of(fuse_req_t request) { return *context_of(request).volume; }

// What `call` returns; an exception becomes an Error here.
template <class Call>
auto guarded(Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM, "out of memory");
  } catch (const std::exception& exception) {
    return fail(EIO, std::string("exception: ") + exception.what());
  }
}

inline void reply_with(fuse_req_t request, Result<>& /*done*/) { fuse_reply_err(request, 0); }
void reply_with(fuse_req_t request, Result<std::string>& text);  // of a symlink
void reply_with(fuse_req_t request, Result<struct statvfs>& space);

// Calls, replies with `reply(request, result)` or the error.
template <class Call, class Reply>
void serve(fuse_req_t request, const char* operation, Call call, Reply reply) {
  auto result = guarded(call);
  if (result) {
    reply(request, result);
  } else {
    reply_error(request, operation, result.error());
  }
}

template <class Call>
void serve(fuse_req_t request, const char* operation, Call call) {
  serve(request, operation, std::move(call), [](fuse_req_t r, auto& done) { reply_with(r, done); });
}

// As serve(), as an attempt that may have to wait for space. `call` owns all it uses.
template <class Call, class Reply>
Parking::Attempt attempt_to(fuse_req_t request, const char* operation, Call call, Reply reply) {
  return [=](Parking::Try how) mutable {
    auto result = guarded(call);
    const bool wait = !result && result.error().code == kWaitForSpace;
    if (wait && how == Parking::Try::kMayWait) return false;
    if (result) {
      reply(request, result);
    } else {
      reply_error(request, operation, result.error());
    }
    return true;
  };
}

// Calls now, and again later when there is no space yet.
template <class Call, class Reply>
void serve_or_park(fuse_req_t request, const char* operation, Call call, Reply reply) {
  Parking::Attempt attempt = attempt_to(request, operation, std::move(call), reply);
  if (attempt(Parking::Try::kMayWait)) return;
  context_of(request).parking->wait_for_space(std::move(attempt));
}

// Calls soon, on a thread that may be slow.
template <class Call, class Reply>
void serve_slowly(fuse_req_t request, const char* operation, Call call, Reply reply) {
  context_of(request).parking->run(attempt_to(request, operation, std::move(call), reply));
}

inline constexpr auto kReplyDone = [](fuse_req_t r, Result<>& done) { reply_with(r, done); };

}  // namespace spillfs::fs
