// SPDX-License-Identifier: Apache-2.0
#include "fs/control/directory_sizes.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

namespace spillfs::fs {
namespace {

constexpr std::size_t kDirectoriesPage = 1000;
constexpr std::size_t kDeepest = 4096;  // a path has no more parts

}  // namespace

struct DirectorySizes::Walk {
  Volume& volume;
  std::unordered_map<std::uint64_t, InodeId> top_of;  // of directories
  std::map<InodeId, Directory> tops;

  // The directory in the root that `folder` is or lies in; the root itself.
  InodeId top(InodeId folder) {
    std::vector<InodeId> way;
    InodeId found = kRootInode;
    for (InodeId at = folder; at != kRootInode && way.size() < kDeepest;) {
      if (const auto known = top_of.find(number(at)); known != top_of.end()) {
        found = known->second;
        break;
      }
      way.push_back(at);
      found = at;
      const auto inode = volume.committed_inode(at);
      if (!inode) break;  // it went meanwhile
      at = inode->parent;
    }
    for (const InodeId passed : way) top_of[number(passed)] = found;
    return found;
  }

  void add(const index::Inode& inode) {
    if (inode.id == kRootInode) return;
    const bool folder = S_ISDIR(inode.mode);
    Directory& directory = tops[top(folder ? inode.id : inode.parent)];
    directory.bytes += inode.charged;
    ++directory.inodes;
  }
};

DirectorySizes::DirectorySizes(Volume& volume, std::size_t most_inodes)
    : volume_(volume),
      most_inodes_(most_inodes),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

DirectorySizes::~DirectorySizes() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  asked_.notify_all();
}

Result<DirectorySizes::Count> DirectorySizes::count(const std::stop_token& stop) {
  Walk walk{.volume = volume_, .top_of = {}, .tops = {}};
  Count out;
  for (InodeId after{0}; out.inodes < most_inodes_;) {
    if (stop.stop_requested()) return fail(ECANCELED);
    const auto page = SPILLFS_TRY(
        volume_.list_inodes(after, std::min(kDirectoriesPage, most_inodes_ - out.inodes)));
    if (page.empty()) {
      out.complete = true;
      break;
    }
    for (const index::Inode& inode : page) walk.add(inode);
    out.inodes += page.size();
    after = page.back().id;
  }
  for (auto& [id, directory] : walk.tops) {
    const auto inode = volume_.committed_inode(id);
    directory.path = id == kRootInode ? "/" : "/" + (inode ? inode->text : std::string("?"));
    out.directories.push_back(std::move(directory));
  }
  std::sort(out.directories.begin(), out.directories.end(),
            [](const Directory& a, const Directory& b) { return a.bytes > b.bytes; });
  if (out.directories.size() > kMostShown) out.directories.resize(kMostShown);
  return out;
}

void DirectorySizes::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      MutexLock lock(mutex_);
      while (!wanted_ && !stop.stop_requested()) asked_.wait(mutex_);
    }
    if (stop.stop_requested()) return;
    auto counted = count(stop);
    if (!counted && counted.error().code != ECANCELED) {
      spdlog::warn("the sizes of directories: {}", describe(counted.error()));
    }
    MutexLock lock(mutex_);
    wanted_ = false;
    counted_ = Clock::now();
    if (counted) last_ = *std::move(counted);
  }
}

std::string DirectorySizes::text() {
  nlohmann::json list = nlohmann::json::array();
  MutexLock lock(mutex_);
  const auto now = Clock::now();
  const bool ever = counted_ != Clock::time_point{};
  if (!wanted_ && (!ever || now - counted_ > kAge)) {
    wanted_ = true;
    asked_.notify_all();
  }
  for (const Directory& directory : last_.directories) {
    list.push_back(
        {{"path", directory.path}, {"bytes", directory.bytes}, {"inodes", directory.inodes}});
  }
  const nlohmann::json json{
      {"counted", ever},
      {"age_seconds", ever ? std::chrono::duration<double>(now - counted_).count() : 0},
      {"inodes", last_.inodes},
      {"complete", last_.complete},
      {"directories", std::move(list)}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace spillfs::fs
