// SPDX-License-Identifier: Apache-2.0
// A kernel whose requests outlive the process that serves them, as far as a Volume sees one: what
// is sent again comes under its old number, and it does by itself what it was lent a file for.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/xattr.h>

#include <array>
#include <functional>
#include <string>

#include "fs/volume/volume.h"

namespace spillfs::tests {

inline constexpr std::size_t kSlots = 8;
inline constexpr int kMostBackings = 4096;

// What the kernel knows, which does not die.
struct KernelMemory {
  struct Open {
    fs::HandleId handle{};
    std::uint64_t inode = 0;
    fs::IoMode mode = fs::IoMode::kCached;
    int backing = 0;
  };
  std::size_t answered = 0;  // requests
  std::size_t sent = 0;
  std::array<Open, kSlots> open;
  int last_backing = 0;
  std::array<bool, kMostBackings> lent;
  std::array<char, 400> failure;
};

// Sends one request.
class Client {
 public:
  Client(fs::Volume& volume, KernelMemory& memory, bool again)
      : volume_(volume), memory_(memory), again_(again), request_(RequestId{memory.answered + 1}) {}

  Result<> create(std::size_t slot, const std::string& name, int flags) {
    const auto opened = SPILLFS_TRY(create_once(name, flags));
    return use(slot, opened);
  }
  Result<> tmpfile(std::size_t slot) {
    const auto opened = SPILLFS_TRY(volume_.create_unnamed(kRootInode, 0600, O_RDWR, caller()));
    return use(slot, opened);
  }
  Result<> open(std::size_t slot, const std::string& name, int flags) {
    const InodeId id = SPILLFS_TRY(find(name));
    const auto opened = SPILLFS_TRY(volume_.open_file(id, flags, caller()));
    return use(slot, opened);
  }
  Result<> write(std::size_t slot, const std::string& text, std::uint64_t offset) {
    const auto& open = memory_.open.at(slot);
    if (open.mode != fs::IoMode::kPassthrough) {
      return volume_.write(open.handle, as_bytes(text), offset);
    }
    const auto segments = SPILLFS_TRY(volume_.list_segments(kNoSegment, 1000));
    for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
      if (number(segment->inode) != open.inode) continue;
      const auto backing = SPILLFS_TRY(volume_.open_segment(segment->id));
      return backing.file->write(as_bytes(text), offset);
    }
    return fail(EIO, "no backing file");
  }
  Result<> allocate(std::size_t slot, std::uint64_t offset, std::uint64_t length) {
    return volume_.allocate(handle(slot), 0, offset, length);
  }
  Result<> flush(std::size_t slot) { return volume_.flush(handle(slot)); }
  Result<> fsync(std::size_t slot) { return volume_.fsync(handle(slot)); }
  Result<> release(std::size_t slot) {
    auto released = volume_.release(handle(slot));
    const bool before = !released && released.error().code == EBADF && again_;
    return before ? Result<>() : released;
  }
  Result<> resize(const std::string& name, std::uint64_t size) {
    const InodeId id = SPILLFS_TRY(find(name));
    SPILLFS_TRY(volume_.set_attributes(id, {.mode = {}, .size = size}));
    return {};
  }
  Result<> resize_open(std::size_t slot, std::uint64_t size) {
    SPILLFS_TRY(
        volume_.set_attributes(InodeId{memory_.open.at(slot).inode}, {.mode = {}, .size = size}));
    return {};
  }
  Result<> mkdir(const std::string& name) {
    return once([&]() -> Result<> {
      SPILLFS_TRY(volume_.mkdir(kRootInode, name, 0755, caller()));
      return {};
    });
  }
  Result<> rmdir(const std::string& name) {
    return once([&] { return volume_.rmdir(kRootInode, name, request_); });
  }
  Result<> unlink(const std::string& name) {
    return once([&] { return volume_.unlink(kRootInode, name, request_); });
  }
  Result<> rename(const std::string& from, const std::string& to) {
    return once(
        [&] { return volume_.rename(kRootInode, from, kRootInode, to, 0, {.request = request_}); });
  }
  Result<> link(const std::string& from, const std::string& to) {
    return once([&]() -> Result<> {
      const InodeId id = SPILLFS_TRY(find(from));
      SPILLFS_TRY(volume_.link(id, kRootInode, to, {.request = request_}));
      return {};
    });
  }
  Result<> set_xattr(const std::string& name, const std::string& value) {
    return once([&]() -> Result<> {
      const InodeId id = SPILLFS_TRY(find(name));
      return volume_.set_xattr(id, "user.a", value, XATTR_CREATE, request_);
    });
  }
  // Reads the file through an open handle.
  Result<> expect(std::size_t slot, const std::string& text) {
    std::string got(text.size() + 1, '\0');
    const MutableBytes into = std::as_writable_bytes(std::span(got));
    got.resize(SPILLFS_TRY(volume_.read(handle(slot), into, 0)));
    return got == text ? Result<>() : fail(EIO, fmt::format("slot {} has other bytes", slot));
  }

 private:
  fs::Caller caller() const { return {.uid = 0, .gid = 0, .pid = 1, .request = request_}; }
  fs::HandleId handle(std::size_t slot) const { return memory_.open.at(slot).handle; }
  Result<InodeId> find(const std::string& name) {
    return InodeId{SPILLFS_TRY(volume_.lookup(kRootInode, name)).st_ino};
  }
  Result<fs::Opened> create_once(const std::string& name, int flags) {
    if (again_) {
      const auto made = SPILLFS_TRY(volume_.replied(request_));
      if (made) return volume_.open_file(*made, flags & ~(O_CREAT | O_EXCL | O_TRUNC), caller());
    }
    return volume_.create(kRootInode, name, 0644, flags, caller());
  }
  Result<> use(std::size_t slot, const fs::Opened& opened) {
    memory_.open.at(slot) = {.handle = opened.handle,
                             .inode = opened.attributes.st_ino,
                             .mode = opened.mode,
                             .backing = opened.backing};
    const bool lent = opened.mode != fs::IoMode::kPassthrough ||
                      memory_.lent.at(static_cast<std::size_t>(opened.backing));
    return lent ? Result<>() : fail(EIO, "a backing file that the kernel does not have");
  }
  Result<> once(const std::function<Result<>()>& call) {
    const auto before = again_ ? SPILLFS_TRY(volume_.replied(request_)) : std::nullopt;
    return before ? Result<>() : call();
  }

  fs::Volume& volume_;
  KernelMemory& memory_;
  const bool again_;
  const RequestId request_;
};

}  // namespace spillfs::tests
