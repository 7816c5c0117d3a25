// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_kernel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kAlways = protocol::kInitAsyncRead | protocol::kInitBigWrites |
                                  protocol::kInitAsyncDirect | protocol::kInitAtomicTruncate |
                                  protocol::kInitExplicitInvalidation | protocol::kInitExt;
constexpr std::array<std::uint64_t, kFeatureNames.size()> kFeatureFlags{
    protocol::kInitMaxPages,
    protocol::kInitParallelDirops,
    protocol::kInitReaddirplus | protocol::kInitReaddirplusAuto,
    protocol::kInitKillprivV2,
    protocol::kInitDirectMmap,
    protocol::kInitPassthrough,
    protocol::kInitResend,
    protocol::kInitPosixAcl,
    protocol::kInitExportSupport,
    0,                           // kBirthTime: STATX came with 7.39
    protocol::kInitAllowIdmap};  // needs default_permissions
constexpr std::uint32_t kMinorOfStatx = 39;

// The umask counts only where there is no default ACL, and who sets an ACL may lose set-gid.
constexpr std::uint64_t kWithAcls = protocol::kInitDontMask | protocol::kInitLongSetxattr;

// What a program could agree to whose hand-over was of version 1.
constexpr std::uint64_t kFlagsOfVersion1 =
    kAlways | protocol::kInitMaxPages | protocol::kInitParallelDirops | protocol::kInitReaddirplus |
    protocol::kInitReaddirplusAuto | protocol::kInitKillprivV2 | protocol::kInitDirectMmap |
    protocol::kInitPassthrough | protocol::kInitResend;

constexpr std::uint16_t kMaxPages = kMaxWrite / 4096;
constexpr std::uint32_t kSmallWrite = 32 * 4096;  // without FUSE_MAX_PAGES
constexpr std::uint16_t kMaxBackground = 256;     // RELEASE is one of these: too few pile up files
constexpr std::uint16_t kCongestion = 192;
constexpr std::uint32_t kBackingDepth = 1;  // backing files lie on a file system of their own

constexpr std::size_t kInitMinimum = sizeof(protocol::InHeader) + 16;  // flags2 came later

std::uint64_t offered_flags(const protocol::InitIn& init) {
  const std::uint64_t extended = (init.flags & protocol::kInitExt) != 0 ? init.flags2 : 0;
  return init.flags | extended << 32;
}

// Has the INIT in a raw request offer no more than what was agreed: that is what everybody who
// reads it later is to go by, whatever else the kernel would have had.
void leave_agreed(std::vector<std::byte>& request, std::uint64_t agreed) {
  const auto put = [&](std::size_t offset, std::uint64_t flags) {
    const auto half = static_cast<std::uint32_t>(flags);
    const std::size_t at = sizeof(protocol::InHeader) + offset;
    if (at + sizeof(half) <= request.size()) std::memcpy(&request[at], &half, sizeof(half));
  };
  put(offsetof(protocol::InitIn, flags), agreed);
  put(offsetof(protocol::InitIn, flags2), agreed >> 32);
}

FeatureSet agreed_features(const protocol::InitIn& offered, FeatureSet without) {
  FeatureSet on;
  for (std::size_t i = 0; i < kFeatureFlags.size(); ++i) {
    const auto feature = static_cast<Feature>(i);
    if ((offered_flags(offered) & kFeatureFlags.at(i)) != 0 && !without.has(feature)) {
      on.add(feature);
    }
  }
  const bool statx = offered.minor >= kMinorOfStatx;
  if (statx && !without.has(Feature::kBirthTime)) on.add(Feature::kBirthTime);
  return on;
}

std::uint64_t flags_of(FeatureSet on) {
  std::uint64_t flags = kAlways;
  for (std::size_t i = 0; i < kFeatureFlags.size(); ++i) {
    if (on.has(static_cast<Feature>(i))) flags |= kFeatureFlags.at(i);
  }
  if (on.has(Feature::kAcl)) flags |= kWithAcls;
  return flags;
}

// The INIT in a raw request, zeros where an older kernel sent less.
protocol::InitIn init_in(Bytes request) {
  protocol::InitIn init{};
  const Bytes body = request.subspan(sizeof(protocol::InHeader));
  std::memcpy(&init, body.data(), std::min(body.size(), sizeof(init)));
  return init;
}

template <class Body>
Body body_of(Bytes request) {
  Body body{};
  const Bytes rest = request.subspan(sizeof(protocol::InHeader));
  std::memcpy(&body, rest.data(), std::min(rest.size(), sizeof(body)));
  return body;
}

bool has_opcode(Bytes request, std::uint32_t opcode) {
  return request.size() >= sizeof(protocol::InHeader) &&
         load<protocol::InHeader>(request).opcode == opcode;
}

}  // namespace

Result<std::vector<std::byte>> answer_init(int fuse, FeatureSet without) {
  std::vector<std::byte> request(kRequestBuffer);
  ssize_t got = 0;
  do {
    got = ::read(fuse, request.data(), request.size());
  } while (got < 0 && (errno == EINTR || errno == EAGAIN));
  if (got < 0) return fail_errno(errno, "read the kernel's INIT");
  request.resize(static_cast<std::size_t>(got));
  if (request.size() < kInitMinimum || !has_opcode(request, protocol::kInit)) {
    return fail(EIO, "the kernel did not begin with INIT");
  }
  const protocol::InitIn offered = init_in(request);
  if (offered.major != protocol::kMajor) {
    return fail(EPROTO,
                fmt::format("FUSE protocol {}.{} is not supported", offered.major, offered.minor));
  }
  const FeatureSet on = agreed_features(offered, without);
  const std::uint64_t flags = flags_of(on) & offered_flags(offered);
  struct {
    protocol::OutHeader header;
    protocol::InitOut body;
  } reply{};
  reply.header.len = sizeof(reply);
  reply.header.unique = load<protocol::InHeader>(request).unique;
  reply.body.major = protocol::kMajor;
  reply.body.minor = std::min<std::uint32_t>(offered.minor, protocol::kMinor);
  reply.body.max_readahead = offered.max_readahead;
  reply.body.flags = static_cast<std::uint32_t>(flags);
  reply.body.flags2 = static_cast<std::uint32_t>(flags >> 32);
  reply.body.max_background = kMaxBackground;
  reply.body.congestion_threshold = kCongestion;
  reply.body.max_write = on.has(Feature::kLargeRequests) ? kMaxWrite : kSmallWrite;
  reply.body.time_gran = 1;
  reply.body.max_pages = kMaxPages;
  if (on.has(Feature::kPassthrough)) reply.body.max_stack_depth = kBackingDepth;
  if (::write(fuse, &reply, sizeof(reply)) < 0) return fail_errno(errno, "answer INIT");
  leave_agreed(request, flags);
  return request;
}

void leave_what_version_1_agreed(std::vector<std::byte>& init) {
  if (init.size() < kInitMinimum) return;
  leave_agreed(init, offered_flags(init_in(init)) & kFlagsOfVersion1);
}

KernelFeatures features_of(Bytes init, FeatureSet without) {
  const protocol::InitIn agreed = init_in(init);
  return {.minor = agreed.minor,
          .on = agreed_features(agreed, without),
          .long_setxattr = (agreed.flags & protocol::kInitLongSetxattr) != 0,
          .maps_ids = (offered_flags(agreed) & protocol::kInitAllowIdmap) != 0};
}

std::string describe(const KernelFeatures& features) {
  return fmt::format("protocol 7.{}, on: {}, off: {}", features.minor,
                     format_features(features.on, " "),
                     format_features(features.on.complement(), " "));
}

int probe_passthrough(int fuse, int file, KernelFeatures& features) {
  if (!features.on.has(Feature::kPassthrough)) return 0;
  const auto id = open_backing(fuse, file);
  if (id) close_backing(fuse, *id);
  if (!id) features.on.remove(Feature::kPassthrough);
  return id.value_or(0);
}

Result<KernelFeatures> probe_kernel() {
  const Fd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fuse) return fail_errno(errno, "open /dev/fuse");
  const Fd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context) return fail_errno(errno, "make a mount");
  const auto set = [&](const char* key, const std::string& value) {
    return ::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  };
  if (!set("fd", std::to_string(fuse.get())) || !set("rootmode", "40000") || !set("user_id", "0") ||
      !set("group_id", "0") ||
      ::fsconfig(context.get(), FSCONFIG_SET_FLAG, "default_permissions", nullptr, 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail_errno(errno, "make a mount");
  }
  const auto init = SPILLFS_TRY(answer_init(fuse.get(), {}));
  KernelFeatures features = features_of(init, {});
  const Fd file(::memfd_create("spillfs-probe", MFD_CLOEXEC));
  probe_passthrough(fuse.get(), file.get(), features);
  return features;
}

Result<int> open_backing(int fuse, int file) {
  protocol::BackingMap map{.fd = file, .flags = 0, .padding = 0};
  const int id = ::ioctl(fuse, protocol::kBackingOpen, &map);
  if (id <= 0) return fail_errno(errno, "register a backing file");
  return id;
}

void close_backing(int fuse, int backing_id) {
  auto id = static_cast<std::uint32_t>(backing_id);
  ::ioctl(fuse, protocol::kBackingClose,
          &id);  // fails only when the connection is gone, and the id with it
}

std::vector<unsigned long> device_calls() {
  return {protocol::kBackingOpen, protocol::kBackingClose, protocol::kClone};
}

RequestNumber number_of(Bytes request) {
  if (request.size() < sizeof(protocol::InHeader)) return {};
  const std::uint64_t unique = load<protocol::InHeader>(request).unique;
  return {.id = RequestId{unique & ~protocol::kSentAgain},
          .again = (unique & protocol::kSentAgain) != 0};
}

Result<> ask_for_resend(int fuse) {
  protocol::OutHeader header{};
  header.len = sizeof(header);
  header.error = protocol::kNotifyResend;
  if (::write(fuse, &header, sizeof(header)) < 0) return fail_errno(errno, "ask for a resend");
  return {};
}

bool wants_privileges_killed(Bytes request, FeatureSet on) {
  if (has_opcode(request, protocol::kWrite)) {
    return (body_of<protocol::WriteIn>(request).write_flags & protocol::kWriteKillsPrivileges) != 0;
  }
  if (has_opcode(request, protocol::kSetattr)) {
    const std::uint32_t valid = body_of<protocol::SetattrIn>(request).valid;
    const bool nothing = (valid & ~(protocol::kSetattrHandle | protocol::kSetattrLockOwner)) == 0;
    return (valid & protocol::kSetattrKillsPrivileges) != 0 ||
           (nothing && on.has(Feature::kKillpriv));
  }
  if (has_opcode(request, protocol::kOpen)) {
    return (body_of<protocol::OpenIn>(request).open_flags & protocol::kOpenKillsPrivileges) != 0;
  }
  if (has_opcode(request, protocol::kCreate)) {
    return (body_of<protocol::CreateIn>(request).open_flags & protocol::kOpenKillsPrivileges) != 0;
  }
  return false;
}

bool opens_to_truncate(Bytes request) {
  std::uint32_t flags = 0;
  if (has_opcode(request, protocol::kOpen)) flags = body_of<protocol::OpenIn>(request).flags;
  if (has_opcode(request, protocol::kCreate)) flags = body_of<protocol::CreateIn>(request).flags;
  return (flags & O_TRUNC) != 0;
}

bool is_tmpfile(Bytes request) { return has_opcode(request, protocol::kTmpfile); }

Result<TmpfileRequest> parse_tmpfile(Bytes request) {
  if (request.size() < sizeof(protocol::InHeader) + sizeof(protocol::CreateIn)) {
    return fail(EINVAL, "TMPFILE request cut short");
  }
  const auto header = load<protocol::InHeader>(request);
  const auto body = body_of<protocol::CreateIn>(request);
  return TmpfileRequest{.unique = header.unique,
                        .directory = header.nodeid,
                        .uid = header.uid,
                        .gid = header.gid,
                        .pid = header.pid,
                        .mode = body.mode,
                        .umask = body.umask,
                        .flags = static_cast<int>(body.flags)};
}

}  // namespace spillfs::fs
