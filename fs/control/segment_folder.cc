// SPDX-License-Identifier: Apache-2.0
#include "fs/control/segment_folder.h"

#include <algorithm>
#include <charconv>

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kCookieBase = 2;  // the cookie of segment 1 is 3

class SegmentReader : public ControlReader {
 public:
  explicit SegmentReader(std::shared_ptr<storage::File> file) : file_(std::move(file)) {}
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return file_->read(into, offset);
  }

 private:
  const std::shared_ptr<storage::File> file_;
};

Result<struct stat> stat_of(ControlId id, storage::File& file) {
  const storage::FileStatus status = SPILLFS_TRY(file.status());
  struct stat out = control_stat(id, S_IFREG | 0400, status.size);
  out.st_blocks = static_cast<blkcnt_t>(status.allocated / 512);
  return out;
}

}  // namespace

Result<struct stat> SegmentFolder::attributes(ControlId id) {
  if (id.of == 0) return control_stat(id, S_IFDIR | 0500, 0);
  return stat_of(id, *SPILLFS_TRY(volume_.open_segment(SegmentId{id.of})).file);
}

Result<ControlId> SegmentFolder::find(ControlId /*folder*/, std::string_view name) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || id == 0 || id > ControlId::kMaxOf) return fail(ENOENT, "no segment");
  if (SPILLFS_TRY(volume_.open_segment(SegmentId{id})).name != name) {
    return fail(ENOENT, "no such segment");
  }
  return ControlId{.kind = ControlKind::kSegments, .of = id, .number = 0};
}

Result<std::vector<DirectoryEntry>> SegmentFolder::list(ControlId /*folder*/, std::uint64_t after,
                                                        std::size_t limit) {
  std::vector<DirectoryEntry> entries;
  std::uint64_t last = std::max(after, kCookieBase) - kCookieBase;
  while (entries.empty()) {
    const auto page = SPILLFS_TRY(volume_.list_segments(SegmentId{last}, limit));
    if (page.empty()) break;
    last = number(page.back().id);
    for (const index::Segment& segment : page) {
      const ControlId id{.kind = ControlKind::kSegments, .of = number(segment.id), .number = 0};
      auto opened = volume_.open_segment(segment.id);
      if (!opened || id.of > ControlId::kMaxOf) continue;  // reclaimed meanwhile
      entries.push_back(
          {id.of + kCookieBase, opened->name, SPILLFS_TRY(stat_of(id, *opened->file))});
    }
  }
  return entries;
}

Result<std::unique_ptr<ControlReader>> SegmentFolder::open(ControlId id) {
  if (id.of == 0) return fail(EISDIR, "it is a folder of segments");
  return std::make_unique<SegmentReader>(SPILLFS_TRY(volume_.open_segment(SegmentId{id.of})).file);
}

}  // namespace spillfs::fs
