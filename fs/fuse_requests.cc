// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_requests.h"

#include <fmt/format.h>
#include <linux/fuse.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "fs/control_files.h"

namespace spillfs::fs {
namespace {

constexpr std::array<std::pair<std::uint32_t, std::string_view>, 45> kNames{{
    {FUSE_LOOKUP, "LOOKUP"},
    {FUSE_FORGET, "FORGET"},
    {FUSE_GETATTR, "GETATTR"},
    {FUSE_SETATTR, "SETATTR"},
    {FUSE_READLINK, "READLINK"},
    {FUSE_SYMLINK, "SYMLINK"},
    {FUSE_MKNOD, "MKNOD"},
    {FUSE_MKDIR, "MKDIR"},
    {FUSE_UNLINK, "UNLINK"},
    {FUSE_RMDIR, "RMDIR"},
    {FUSE_RENAME, "RENAME"},
    {FUSE_LINK, "LINK"},
    {FUSE_OPEN, "OPEN"},
    {FUSE_READ, "READ"},
    {FUSE_WRITE, "WRITE"},
    {FUSE_STATFS, "STATFS"},
    {FUSE_RELEASE, "RELEASE"},
    {FUSE_FSYNC, "FSYNC"},
    {FUSE_SETXATTR, "SETXATTR"},
    {FUSE_GETXATTR, "GETXATTR"},
    {FUSE_LISTXATTR, "LISTXATTR"},
    {FUSE_REMOVEXATTR, "REMOVEXATTR"},
    {FUSE_FLUSH, "FLUSH"},
    {FUSE_OPENDIR, "OPENDIR"},
    {FUSE_READDIR, "READDIR"},
    {FUSE_RELEASEDIR, "RELEASEDIR"},
    {FUSE_FSYNCDIR, "FSYNCDIR"},
    {FUSE_GETLK, "GETLK"},
    {FUSE_SETLK, "SETLK"},
    {FUSE_SETLKW, "SETLKW"},
    {FUSE_ACCESS, "ACCESS"},
    {FUSE_CREATE, "CREATE"},
    {FUSE_INTERRUPT, "INTERRUPT"},
    {FUSE_DESTROY, "DESTROY"},
    {FUSE_IOCTL, "IOCTL"},
    {FUSE_POLL, "POLL"},
    {FUSE_BATCH_FORGET, "BATCH_FORGET"},
    {FUSE_FALLOCATE, "FALLOCATE"},
    {FUSE_READDIRPLUS, "READDIRPLUS"},
    {FUSE_RENAME2, "RENAME2"},
    {FUSE_LSEEK, "LSEEK"},
    {FUSE_COPY_FILE_RANGE, "COPY_FILE_RANGE"},
    {FUSE_SYNCFS, "SYNCFS"},
    {kTmpfile, "TMPFILE"},
    {kStatx, "STATX"},
}};

constexpr std::string_view kUnknown = "UNKNOWN";

std::string name_of(std::uint32_t opcode) {
  const std::string_view name = request_name(opcode);
  return name == kUnknown ? fmt::format("opcode {}", opcode) : std::string(name);
}

bool about_control_files(const fuse_in_header& header, Bytes body) {
  if (ControlFiles::owns(InodeId{header.nodeid})) return true;
  if (header.opcode != FUSE_LOOKUP) return false;
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
  const std::uint32_t opcode = load<fuse_in_header>(request).opcode;
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

std::optional<std::uint64_t> released_handle(Bytes request) {
  const auto header = load<fuse_in_header>(request);
  const Bytes body = request.subspan(sizeof(header));
  const bool releases = header.opcode == FUSE_RELEASE && body.size() >= sizeof(fuse_release_in);
  if (!releases || ControlFiles::owns(InodeId{header.nodeid})) return std::nullopt;
  return load<fuse_release_in>(body).fh;
}

Counted RequestCounters::count(Bytes request) {
  if (request.size() < sizeof(fuse_in_header)) return Counted::kNo;
  const auto header = load<fuse_in_header>(request);
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
