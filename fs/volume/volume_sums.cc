// SPDX-License-Identifier: Apache-2.0
// What a Checksummer sees of a Volume's files.
#include "fs/volume/durability/checksummer.h"
#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {

// A private file that was changed in place. Holds its Vnode, which reclaim takes no notice of.
class Volume::ChangedFile : public FileToSum {
 public:
  ChangedFile(Volume& volume, VnodeRef vnode) : volume_(volume), vnode_(std::move(vnode)) {}
  ~ChangedFile() override {
    ExclusiveLock lock(vnode_->mutex);
    if (begun_) --vnode_->watchers;
  }
  ChangedFile(const ChangedFile&) = delete;
  ChangedFile& operator=(const ChangedFile&) = delete;

  // Null when there is nothing to do, as FilesToSum::begin().
  static Result<std::unique_ptr<FileToSum>> begin(Volume& volume, InodeId id) {
    auto found = volume.acquire(id);
    if (!found) return nullptr;
    auto file = std::make_unique<ChangedFile>(volume, *std::move(found));
    const auto found_work = file->look();
    if (found_work) return *found_work ? std::move(file) : nullptr;
    if (found_work.error().code == EAGAIN || file->unchanged()) {
      return tl::unexpected(found_work.error());
    }
    return nullptr;  // it went meanwhile
  }

  [[nodiscard]] std::uint64_t length() const override { return location_.length; }

  bool unchanged() override {
    SharedLock lock(vnode_->mutex);
    return is_as_it_was();
  }

  Result<std::shared_ptr<storage::File>> open() override {
    const auto segment = SPILLFS_TRY(
        volume_.segments_->open_private(location_.segment, location_.directory, location_.length));
    return segment->file();
  }

  Result<> keep(std::uint64_t first, std::vector<std::uint64_t> sums) override {
    SharedLock lock(vnode_->mutex);
    if (!is_as_it_was()) return {};
    return volume_.index_->commit(
        {.put_sums = {{.segment = location_.segment, .sums = std::move(sums), .first = first}}});
  }

  Result<> finish() override {
    // Of a file that is on disk the power may mix old and new bytes, which is no damage.
    if (volume_.epochs_.on_disk(sealed_in_)) {
      const auto file = SPILLFS_TRY(open());
      SPILLFS_TRY(file->sync());
    }
    ExclusiveLock lock(vnode_->mutex);
    if (!is_as_it_was()) return {};
    index::Inode summed = vnode_->inode;
    summed.sums_valid = true;
    SPILLFS_TRY(volume_.index_->commit({.put_inodes = {summed}}));
    vnode_->inode = std::move(summed);
    forget_sums(*vnode_);
    return {};
  }

 private:
  static bool may_be_summed(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex) {
    return vnode.loaded && vnode.inode.location.placement == Placement::kPrivate &&
           !vnode.inode.sums_valid && !vnode.dirty && vnode.writers == 0 && vnode.inode.links != 0;
  }
  bool is_as_it_was() REQUIRES_SHARED(vnode_->mutex) {
    return may_be_summed(*vnode_) && vnode_->changes_in_place == change_ &&
           vnode_->inode.location == location_;
  }

  // False when there is nothing to do.
  Result<bool> look() {
    {
      ExclusiveLock lock(vnode_->mutex);
      if (!may_be_summed(*vnode_) || volume_.is_doubtful(*vnode_)) return false;
      if (vnode_->opens != 0) return fail(EAGAIN, "its descriptor may write");
      location_ = vnode_->inode.location;
      sealed_in_ = vnode_->inode.sealed_in;
      change_ = vnode_->changes_in_place;
      ++vnode_->watchers;
      begun_ = true;
    }
    // A mapping that was made in passthrough mode goes on after the last close.
    storage::Device& device = volume_.segments_->device(location_.directory);
    if (SPILLFS_TRY(device.may_be_written(storage::segment_path(location_)))) {
      return fail(EAGAIN, "it may still be mapped");
    }
    const auto file = SPILLFS_TRY(open());
    const auto status = SPILLFS_TRY(file->status());
    return is_worth_sums(location_.length, status.allocated);
  }

  Volume& volume_;
  const VnodeRef vnode_;
  bool begun_ = false;
  Location location_;
  index::Epoch sealed_in_{};
  std::uint64_t change_ = 0;
};

class Volume::ChangedFiles : public FilesToSum {
 public:
  explicit ChangedFiles(Volume& volume) : volume_(volume) {}
  Result<std::unique_ptr<FileToSum>> begin(InodeId id) override {
    return ChangedFile::begin(volume_, id);
  }

 private:
  Volume& volume_;
};

std::unique_ptr<FilesToSum> Volume::changed_files() {
  return std::make_unique<ChangedFiles>(*this);
}

// Its last writer is gone, or a scrub comes by.
void Volume::sum_later(const index::Inode& inode) {
  const bool may_need_sums =
      inode.location.placement == Placement::kPrivate && !inode.sums_valid && inode.links != 0;
  if (options_.background_checksums && may_need_sums) checksummer_.add(inode.id, inode.uid);
}

void Volume::sum_now() { checksummer_.run_due(); }

}  // namespace spillfs::fs
