// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_reply.h"

#include <sys/statvfs.h>
#include <sys/uio.h>

#include <array>
#include <cstring>

#include "fs/fuse/fuse_file_ops.h"
#include "fs/fuse/fuse_protocol.h"
#include "fs/system/journal_sink.h"
#include "fs/volume/names/privileges.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {

int errno_of(const Error& error) { return error.code >= kWaitForSpace ? ENOSPC : error.code; }

RequestNumber number_of(const FuseContext& context, Bytes request) {
  return context.features.on.has(Feature::kResend) ? number_of(request) : RequestNumber{};
}

Once once(fuse_req_t request) {
  const FuseContext& context = context_of(request);
  return {.volume = *context.volume, .number = number_of(context, current_request())};
}

namespace {

// Where the kernel leaves nothing of that to us, it still has an open that truncates say nothing.
Caller::Privileges privileges_of(const FuseContext& context, pid_t caller) {
  const Bytes request = current_request();
  const FeatureSet on = context.features.on;
  const bool go =
      wants_privileges_killed(request, on) ||
      (!on.has(Feature::kKillpriv) && opens_to_truncate(request) && !may_keep_privileges(caller));
  return go ? Caller::Privileges::kGo : Caller::Privileges::kStay;
}

}  // namespace

Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid,
          .gid = context->gid,
          .pid = context->pid,
          .request = once(request).number.id,
          .umask = context->umask,
          .privileges = privileges_of(context_of(request), context->pid)};
}

Caller opener_of(fuse_req_t request) {
  Caller caller = caller_of(request);
  caller.asks = user_of(request);
  return caller;
}

Doing::Doing(const char* name) : operation(name), inode{0} {
  const Bytes request = current_request();
  if (!request.empty()) inode = InodeId{load<protocol::InHeader>(request).nodeid};
}

int log_error(Volume& volume, Doing doing, const Error& error) {
  const int code = errno_of(error);
  const bool ours = code == EIO || code == ENOMEM;
  if (!ours) {
    spdlog::debug("{} of inode {}: {}", doing.operation, number(doing.inode), describe(error));
  } else {
    const std::string path = escaped(volume.path_for_log(doing.inode));
    const LogAbout about(path, code);
    spdlog::error("{} of inode {}, '{}': {}: {}", doing.operation, number(doing.inode), path,
                  strerrorname_np(code), describe(error));
  }
  return code;
}

void reply_error(fuse_req_t request, Doing doing, const Error& error) {
  fuse_reply_err(request, log_error(volume_of(request), doing, error));
}

bool reply_raw(const FuseContext& context, std::uint64_t unique, int error, Bytes body) {
  protocol::OutHeader header{};
  header.len = static_cast<std::uint32_t>(sizeof(header) + body.size());
  header.error = -error;
  header.unique = unique;
  // writev's interface wants pointers that it does not write through.
  std::array<iovec, 2> parts{iovec{&header, sizeof(header)},
                             iovec{const_cast<std::byte*>(body.data()), body.size()}};
  context.times->answered(parts);
  if (::writev(context.fuse, parts.data(), static_cast<int>(parts.size())) >= 0) return true;
  spdlog::debug("the kernel no longer waits for request {}", unique);
  return false;
}

void reply_with(fuse_req_t request, Result<std::string>& text) {
  fuse_reply_readlink(request, text->c_str());
}

void reply_with(fuse_req_t request, Result<struct statvfs>& space) {
  fuse_reply_statfs(request, &*space);
}

}  // namespace spillfs::fs
