// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_reply.h"

#include <sys/statvfs.h>

#include "fs/fuse_file_ops.h"

namespace spillfs::fs {

int errno_of(const Error& error) { return error.code >= kWaitForSpace ? ENOSPC : error.code; }

RequestNumber number_of(const FuseContext& context, Bytes request) {
  return context.features.on.has(Feature::kResend) ? number_of(request) : RequestNumber{};
}

Once once(fuse_req_t request) {
  const FuseContext& context = context_of(request);
  return {.volume = *context.volume, .number = number_of(context, current_request())};
}

Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid,
          .gid = context->gid,
          .pid = context->pid,
          .request = once(request).number.id};
}

void reply_error(fuse_req_t request, const char* operation, const Error& error) {
  const int code = errno_of(error);
  const bool ours = code == EIO || code == ENOMEM;
  spdlog::log(ours ? spdlog::level::err : spdlog::level::debug, "{}: {}", operation,
              describe(error));
  fuse_reply_err(request, code);
}

void reply_with(fuse_req_t request, Result<std::string>& text) {
  fuse_reply_readlink(request, text->c_str());
}

void reply_with(fuse_req_t request, Result<struct statvfs>& space) {
  fuse_reply_statfs(request, &*space);
}

}  // namespace spillfs::fs
