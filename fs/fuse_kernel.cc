// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_kernel.h"

#include <fmt/format.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <algorithm>

namespace spillfs::fs {
namespace {

// Newer than the linux/fuse.h of some distributions (7.39, 7.40, 7.37).
constexpr std::uint64_t kDirectIoAllowMmap = std::uint64_t{1} << 36;
constexpr std::uint64_t kHasResend = std::uint64_t{1} << 39;
constexpr std::uint32_t kTmpfile = 51;

constexpr std::uint64_t kWanted =
    FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_ATOMIC_O_TRUNC |
    FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 | FUSE_EXPLICIT_INVAL_DATA |
    FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_INIT_EXT | kDirectIoAllowMmap | kHasResend;

constexpr std::uint16_t kMaxPages = kMaxWrite / 4096;
constexpr std::uint16_t kMaxBackground = 256;  // RELEASE is one of these: too few pile up files
constexpr std::uint16_t kCongestion = 192;

constexpr std::size_t kInitMinimum = sizeof(fuse_in_header) + 16;  // flags2 came later

std::uint64_t offered_flags(const fuse_init_in& init) {
  const std::uint64_t extended = (init.flags & FUSE_INIT_EXT) != 0 ? init.flags2 : 0;
  return init.flags | extended << 32;
}

// The INIT in a raw request, zeros where an older kernel sent less.
fuse_init_in init_in(Bytes request) {
  fuse_init_in init{};
  const Bytes body = request.subspan(sizeof(fuse_in_header));
  std::memcpy(&init, body.data(), std::min(body.size(), sizeof(init)));
  return init;
}

template <class Body>
Body body_of(Bytes request) {
  Body body{};
  const Bytes rest = request.subspan(sizeof(fuse_in_header));
  std::memcpy(&body, rest.data(), std::min(rest.size(), sizeof(body)));
  return body;
}

bool has_opcode(Bytes request, std::uint32_t opcode) {
  return request.size() >= sizeof(fuse_in_header) && load<fuse_in_header>(request).opcode == opcode;
}

}  // namespace

Result<std::vector<std::byte>> answer_init(int fuse) {
  std::vector<std::byte> request(kRequestBuffer);
  ssize_t got = 0;
  do {
    got = ::read(fuse, request.data(), request.size());
  } while (got < 0 && (errno == EINTR || errno == EAGAIN));
  if (got < 0) return fail_errno(errno, "read the kernel's INIT");
  request.resize(static_cast<std::size_t>(got));
  if (request.size() < kInitMinimum || !has_opcode(request, FUSE_INIT)) {
    return fail(EIO, "the kernel did not begin with INIT");
  }
  const fuse_init_in offered = init_in(request);
  if (offered.major != FUSE_KERNEL_VERSION) {
    return fail(EPROTO,
                fmt::format("FUSE protocol {}.{} is not supported", offered.major, offered.minor));
  }
  const std::uint64_t flags = offered_flags(offered) & kWanted;
  struct {
    fuse_out_header header;
    fuse_init_out body;
  } reply{};
  reply.header.len = sizeof(reply);
  reply.header.unique = load<fuse_in_header>(request).unique;
  reply.body.major = FUSE_KERNEL_VERSION;
  reply.body.minor = std::min<std::uint32_t>(offered.minor, FUSE_KERNEL_MINOR_VERSION);
  reply.body.max_readahead = offered.max_readahead;
  reply.body.flags = static_cast<std::uint32_t>(flags);
  reply.body.flags2 = static_cast<std::uint32_t>(flags >> 32);
  reply.body.max_background = kMaxBackground;
  reply.body.congestion_threshold = kCongestion;
  reply.body.max_write = kMaxWrite;
  reply.body.time_gran = 1;
  reply.body.max_pages = kMaxPages;
  if (::write(fuse, &reply, sizeof(reply)) < 0) return fail_errno(errno, "answer INIT");
  return request;
}

KernelFeatures features_of(Bytes init) {
  const fuse_init_in offered = init_in(init);
  const std::uint64_t flags = offered_flags(offered) & kWanted;
  return {.minor = offered.minor,
          .direct_writes = (flags & kDirectIoAllowMmap) != 0,
          .killpriv = (flags & FUSE_HANDLE_KILLPRIV_V2) != 0,
          .resend = (flags & kHasResend) != 0};
}

std::string describe(const KernelFeatures& features) {
  const auto state = [](bool on) { return on ? "on" : "off"; };
  return fmt::format("protocol 7.{}, {} requests, direct writes {}, killpriv {}, resend {}",
                     features.minor, format_size(kMaxWrite), state(features.direct_writes),
                     state(features.killpriv), state(features.resend));
}

bool wants_privileges_killed(Bytes request) {
  if (has_opcode(request, FUSE_WRITE)) {
    return (body_of<fuse_write_in>(request).write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
  }
  if (has_opcode(request, FUSE_SETATTR)) {
    return (body_of<fuse_setattr_in>(request).valid & FATTR_KILL_SUIDGID) != 0;
  }
  if (has_opcode(request, FUSE_OPEN)) {
    return (body_of<fuse_open_in>(request).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  }
  if (has_opcode(request, FUSE_CREATE)) {
    return (body_of<fuse_create_in>(request).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  }
  return false;
}

bool is_tmpfile(Bytes request) { return has_opcode(request, kTmpfile); }

Result<TmpfileRequest> parse_tmpfile(Bytes request) {
  if (request.size() < sizeof(fuse_in_header) + sizeof(fuse_create_in)) {
    return fail(EINVAL, "TMPFILE request cut short");
  }
  const auto header = load<fuse_in_header>(request);
  const auto body = body_of<fuse_create_in>(request);
  return TmpfileRequest{.unique = header.unique,
                        .directory = header.nodeid,
                        .uid = header.uid,
                        .gid = header.gid,
                        .mode = body.mode,
                        .flags = static_cast<int>(body.flags)};
}

}  // namespace spillfs::fs
