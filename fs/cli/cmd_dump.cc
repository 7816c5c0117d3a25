// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>
#include <ostream>
#include <vector>

#include "fs/cli/commands.h"
#include "storage/base/escaped.h"
#include "storage/base/fd.h"
#include "storage/format.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kLongestPrefix = 4 * kMiB;

std::vector<std::byte> read_at(std::ifstream& file, std::uint64_t offset, std::size_t count) {
  std::vector<std::byte> bytes(count);
  file.clear();
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return bytes;
}

Result<storage::DecodedRecord> record_at(std::ifstream& file, std::uint64_t offset) {
  const auto head = read_at(file, offset, sizeof(storage::RecordHeader));
  const std::uint64_t length = SPILLFS_TRY(storage::record_prefix_length(head));
  return storage::decode_record_header(
      read_at(file, offset, std::min<std::uint64_t>(length, kLongestPrefix)));
}

// Whether the buffer matches its sums.
bool buffer_is_good(std::ifstream& file, std::uint64_t offset, const storage::RecordInfo& info) {
  for (std::size_t chunk = 0; chunk < info.sums.size(); ++chunk) {
    const std::uint64_t start = chunk * kChunk;
    const std::uint64_t length = std::min(kChunk, info.data_length - start);
    const auto bytes = read_at(file, offset + start, length);
    if (bytes.size() != length || xxh3(bytes) != info.sums[chunk]) return false;
  }
  return true;
}

// A regular file and no link to one: a FIFO would keep us waiting, and opening a device does
// things.
Result<std::ifstream> open_segment(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat found {};
  if (!file || ::fstat(file.get(), &found) != 0) return fail_errno(errno, "open " + path);
  if (!S_ISREG(found.st_mode)) return fail(EINVAL, path + " is no segment; give a .fused file");
  std::ifstream stream(fmt::format("/proc/self/fd/{}", file.get()),
                       std::ios::binary | std::ios::ate);
  if (!stream) return fail_errno(EIO, "open " + path);
  return stream;
}

}  // namespace

ExitCode run_dump(const DumpCommand& command, Streams streams) {
  auto opened = open_segment(command.segment);
  if (!opened) return report(opened.error(), kExitStore, streams);
  std::ifstream& file = *opened;
  const auto size = static_cast<std::uint64_t>(file.tellg());
  const auto superblock = storage::decode_superblock(read_at(file, 0, storage::kSuperblockSize));
  if (!superblock) {
    return report({.code = superblock.error().code,
                   .context = fmt::format("{} is no segment, or a damaged one: {}", command.segment,
                                          superblock.error().context)},
                  kExitProblemsFound, streams);
  }
  streams.out << fmt::format("fused segment {} of store {}, {} bytes\n",
                             number(superblock->segment), storage::hex(superblock->store), size);
  streams.out << fmt::format("{:>12} {:>12} {:>10} {:>10} {:>5}  {}\n", "offset", "length", "inode",
                             "sequence", "sums", "path");
  ExitCode code = kExitSuccess;
  for (std::uint64_t at = storage::kSuperblockSize; at < size;) {
    const auto record = record_at(file, at);
    if (!record) {
      return report({.code = EIO,
                     .context = fmt::format("at {}: {}", at, record.error().context),
                     .where = {}},
                    kExitProblemsFound, streams);
    }
    const bool good = buffer_is_good(file, at + record->layout.data_offset, record->info);
    if (!good) code = kExitProblemsFound;
    streams.out << fmt::format("{:>12} {:>12} {:>10} {:>10} {:>5}  {}\n", at,
                               record->info.data_length, number(record->info.inode),
                               record->info.sequence, good ? "good" : "BAD",
                               escaped(record->info.path));
    at += record->layout.length;
  }
  return code;
}

}  // namespace spillfs::fs
