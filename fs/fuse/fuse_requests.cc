// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "fs/control/control_files.h"
#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"

namespace spillfs::fs {
namespace {

constexpr std::array<std::pair<std::uint32_t, std::string_view>, 45> kNames{{
    {protocol::kLookup, "LOOKUP"},
    {protocol::kForget, "FORGET"},
    {protocol::kGetattr, "GETATTR"},
    {protocol::kSetattr, "SETATTR"},
    {protocol::kReadlink, "READLINK"},
    {protocol::kSymlink, "SYMLINK"},
    {protocol::kMknod, "MKNOD"},
    {protocol::kMkdir, "MKDIR"},
    {protocol::kUnlink, "UNLINK"},
    {protocol::kRmdir, "RMDIR"},
    {protocol::kRename, "RENAME"},
    {protocol::kLink, "LINK"},
    {protocol::kOpen, "OPEN"},
    {protocol::kRead, "READ"},
    {protocol::kWrite, "WRITE"},
    {protocol::kStatfs, "STATFS"},
    {protocol::kRelease, "RELEASE"},
    {protocol::kFsync, "FSYNC"},
    {protocol::kSetxattr, "SETXATTR"},
    {protocol::kGetxattr, "GETXATTR"},
    {protocol::kListxattr, "LISTXATTR"},
    {protocol::kRemovexattr, "REMOVEXATTR"},
    {protocol::kFlush, "FLUSH"},
    {protocol::kOpendir, "OPENDIR"},
    {protocol::kReaddir, "READDIR"},
    {protocol::kReleasedir, "RELEASEDIR"},
    {protocol::kFsyncdir, "FSYNCDIR"},
    {protocol::kGetlk, "GETLK"},
    {protocol::kSetlk, "SETLK"},
    {protocol::kSetlkw, "SETLKW"},
    {protocol::kAccess, "ACCESS"},
    {protocol::kCreate, "CREATE"},
    {protocol::kInterrupt, "INTERRUPT"},
    {protocol::kDestroy, "DESTROY"},
    {protocol::kIoctl, "IOCTL"},
    {protocol::kPoll, "POLL"},
    {protocol::kBatchForget, "BATCH_FORGET"},
    {protocol::kFallocate, "FALLOCATE"},
    {protocol::kReaddirplus, "READDIRPLUS"},
    {protocol::kRename2, "RENAME2"},
    {protocol::kLseek, "LSEEK"},
    {protocol::kCopyFileRange, "COPY_FILE_RANGE"},
    {protocol::kSyncfs, "SYNCFS"},
    {protocol::kTmpfile, "TMPFILE"},
    {protocol::kStatx, "STATX"},
}};

constexpr std::string_view kUnknown = "UNKNOWN";

std::string name_of(std::uint32_t opcode) {
  const std::string_view name = request_name(opcode);
  return name == kUnknown ? fmt::format("opcode {}", opcode) : std::string(name);
}

bool about_control_files(const protocol::InHeader& header, Bytes body) {
  if (ControlFiles::owns(InodeId{header.nodeid})) return true;
  if (header.opcode != protocol::kLookup) return false;
  const std::string_view name = as_text(body);
  return ControlFiles::owns(InodeId{header.nodeid}, name.substr(0, name.find('\0')));
}

}  // namespace

std::string_view request_name(std::uint32_t opcode) {
  const auto* found = std::find_if(kNames.begin(), kNames.end(),
                                   [&](const auto& name) { return name.first == opcode; });
  return found == kNames.end() ? kUnknown : found->second;
}

bool has_answer(Bytes request) {
  const std::uint32_t opcode = load<protocol::InHeader>(request).opcode;
  return opcode != protocol::kForget && opcode != protocol::kBatchForget &&
         opcode != protocol::kInterrupt;
}

std::optional<std::uint64_t> released_handle(Bytes request) {
  const auto header = load<protocol::InHeader>(request);
  const Bytes body = request.subspan(sizeof(header));
  const bool releases =
      header.opcode == protocol::kRelease && body.size() >= sizeof(protocol::ReleaseIn);
  if (!releases || ControlFiles::owns(InodeId{header.nodeid})) return std::nullopt;
  return load<protocol::ReleaseIn>(body).fh;
}

Counted RequestCounters::count(Bytes request) {
  if (request.size() < sizeof(protocol::InHeader)) return Counted::kNo;
  const auto header = load<protocol::InHeader>(request);
  if (about_control_files(header, request.subspan(sizeof(header)))) return Counted::kNo;
  const std::size_t at = std::min<std::size_t>(header.opcode, kOpcodes - 1);
  counts_.at(at).fetch_add(1, std::memory_order_relaxed);
  return Counted::kYes;
}

std::map<std::uint32_t, std::uint64_t> RequestCounters::by_opcode() const {
  std::map<std::uint32_t, std::uint64_t> counts;
  for (std::uint32_t opcode = 0; opcode < kOpcodes; ++opcode) {
    if (const std::uint64_t count = counts_.at(opcode).load(std::memory_order_relaxed)) {
      counts[opcode] = count;
    }
  }
  return counts;
}

std::map<std::string, std::uint64_t> RequestCounters::counts() const {
  std::map<std::string, std::uint64_t> counts;
  for (const auto& [opcode, count] : by_opcode()) counts[name_of(opcode)] = count;
  return counts;
}

}  // namespace spillfs::fs
