// SPDX-License-Identifier: Apache-2.0
// From a Volume's result to FUSE's reply. The one place that makes an errno for the kernel.
#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "fs/fuse/fuse_api.h"
#include "fs/fuse/fuse_ops.h"
#include "fs/system/guarded.h"

namespace spillfs::fs {

// An operation on the inode that the request this thread serves is about, for the log.
struct Doing {
  const char* operation;
  InodeId inode;
  Doing(const char* name);  // NOLINT(google-explicit-constructor): each operation says its name
};

// What the kernel is told: codes of our own are ENOSPC once nothing can wait any more.
int errno_of(const Error& error);
// Logs it, and says what the kernel is told.
int log_error(Volume& volume, Doing doing, const Error& error);
// Answers a request that libfuse does not know: `error` is an errno, or 0 with the answer in
// `body`. False when the kernel no longer waits for it.
bool reply_raw(const FuseContext& context, std::uint64_t unique, int error, Bytes body);
// Replies the errno and logs it once.
void reply_error(fuse_req_t request, Doing doing, const Error& error);

inline FuseContext& context_of(fuse_req_t request) {
  return *static_cast<FuseContext*>(fuse_req_userdata(request));
}
inline Volume& volume_of(fuse_req_t request) { return *context_of(request).volume; }
// Who sends it: not the uid in a request, which may be none (fs/fuse/requesters.h).
inline uid_t user_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return context_of(request).requesters->user(context->uid, context->pid);
}

inline void reply_with(fuse_req_t request, Result<>& /*done*/) { fuse_reply_err(request, 0); }
void reply_with(fuse_req_t request, Result<std::string>& text);  // of a symlink
void reply_with(fuse_req_t request, Result<struct statvfs>& space);

// Answers once a sync is done.
inline Syncer::Done reply_when_synced(fuse_req_t request, Doing doing) {
  return [=](const Result<>& synced) {
    if (synced) {
      fuse_reply_err(request, 0);
    } else {
      reply_error(request, doing, synced.error());
    }
  };
}

// As `reply`, of a change of names: once it is on disk where the mount promises that.
template <class Reply>
auto when_durable(Doing doing, Reply reply) {
  return [=](fuse_req_t request, auto& result) {
    Volume& volume = volume_of(request);
    if (!volume.syncs_names()) return reply(request, result);
    volume.make_names_durable([=, done = std::move(result)](const Result<>& synced) mutable {
      if (synced) {
        reply(request, done);
      } else {
        reply_error(request, doing, synced.error());
      }
    });
  };
}

// Calls, replies with `reply(request, result)` or the error.
template <class Call, class Reply>
void serve(fuse_req_t request, Doing doing, Call call, Reply reply) {
  auto result = guarded(call);
  if (result) {
    reply(request, result);
  } else {
    reply_error(request, doing, result.error());
  }
}

template <class Call>
void serve(fuse_req_t request, Doing doing, Call call) {
  serve(request, doing, std::move(call), [](fuse_req_t r, auto& done) { reply_with(r, done); });
}

inline storage::DiskWait disk_wait(Parking::Try how) {
  return how == Parking::Try::kLast ? storage::DiskWait::kWait : storage::DiskWait::kCallAgain;
}

// As serve(), as an attempt that may have to wait for space. `call` takes a Parking::Try and owns
// all it uses.
template <class Call, class Reply>
auto attempt_to(fuse_req_t request, Doing doing, Call call, Reply reply) {
  return [=](Parking::Try how) mutable {
    auto attempt = [&] { return call(how); };
    auto result = guarded(attempt);
    const int code = result ? 0 : result.error().code;
    if (code == kWaitForSpace && how == Parking::Try::kMayWait)
      return Parking::Outcome::kNeedsSpace;
    if (code == kWaitForDisk && how == Parking::Try::kMayWait) return Parking::Outcome::kNeedsDisk;
    if (result) {
      reply(request, result);
    } else {
      reply_error(request, doing, result.error());
    }
    return Parking::Outcome::kAnswered;
  };
}

// For a call to which it is all the same how often it is tried.
template <class Call>
auto on_any_try(Call call) {
  if constexpr (std::is_invocable_v<Call, Parking::Try>) {
    return call;
  } else {
    return [call = std::move(call)](Parking::Try) mutable { return call(); };
  }
}

// Calls now, and again later when there is no space yet.
template <class Call, class Reply>
void serve_or_park(fuse_req_t request, Doing doing, Call call, Reply reply) {
  Parking& parking = *context_of(request).parking;
  const Parking::Moment before = parking.now();
  auto attempt = attempt_to(request, doing, on_any_try(std::move(call)), reply);
  if (attempt(Parking::Try::kMayWait) == Parking::Outcome::kAnswered) return;
  parking.wait(std::move(attempt), before, user_of(request));
}

// Calls soon, on a thread that may be slow.
template <class Call, class Reply>
void serve_slowly(fuse_req_t request, Doing doing, Call call, Reply reply) {
  context_of(request).parking->run(attempt_to(request, doing, on_any_try(std::move(call)), reply),
                                   user_of(request));
}

// Calls once the file has been compared with its sums after a loss of power, soon after that, and
// when it is gone: `call` then finds that out by itself.
template <class Call, class Reply>
void serve_once_proven(fuse_req_t request, Doing doing, InodeId id, Call call, Reply reply) {
  const auto go_on = [=](const Result<>& proven) {
    if (proven || proven.error().code == ENOENT) return serve_slowly(request, doing, call, reply);
    reply_error(request, doing, proven.error());
  };
  volume_of(request).prove_first(id, user_of(request), go_on);
}

// Not known where the kernel can't send it again.
RequestNumber number_of(const FuseContext& context, Bytes request);

// The request this thread serves, as far as something has to be done exactly once.
struct Once {
  Volume& volume;
  RequestNumber number;
};
Once once(fuse_req_t request);
// Without who asks: for what does not matter for that.
Caller caller_of(fuse_req_t request);
// The same for what counts for the user who asks, or is that user's right.
Caller opener_of(fuse_req_t request);

// What does `call(request id)`; when a process that died has done it, or an earlier try of this one
// that then had to wait, `repeat(inode)` says what it answered.
template <class Call, class Repeat>
auto only_once(Once once, Call call, Repeat repeat) {
  return [=]() mutable -> decltype(call(once.number.id)) {
    if (once.number.again) {
      const auto before = SPILLFS_TRY(once.volume.replied(once.number.id));
      if (before) return repeat(*before);
    }
    once.number.again = true;
    return call(once.number.id);
  };
}

// `reply`, after which nothing needs to be known of the request.
template <class Reply>
auto then_forget(Once once, Reply reply) {
  return [=](fuse_req_t request, auto& result) {
    reply(request, result);
    once.volume.answered(once.number.id);
  };
}

inline constexpr auto kReplyDone = [](fuse_req_t r, Result<>& done) { reply_with(r, done); };

}  // namespace spillfs::fs
