// SPDX-License-Identifier: Apache-2.0
// Random operations, and the power goes at any point. Afterwards each file is as it was at a seal
// that is not older than its last sync, or, if it was never synced, absent; one that was changed in
// place since may mix its own old and new bytes. Nothing else is there.
#include "tests/support/power_loss.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::stoull(text);
}

struct Contents {
  std::vector<std::string> seals;   // from the last one that is certain
  bool on_disk = false;             // the first of them is
  bool changed_in_place = false;    // since then
  std::vector<std::string> pieces;  // what it had in between, when it was
  std::string now;
};
using ContentsRef = std::shared_ptr<Contents>;

class PowerModel {
 public:
  PowerModel(std::uint64_t seed, fs::VolumeOptions options)
      : random_(seed), options_(std::move(options)) {
    options_.fuse_limit = 32 * kKiB;
    options_.reclaim_in_background = false;
    store_.index = index_;
    for (std::size_t i = 0; i < store_.devices.size(); ++i) {
      devices_.push_back(std::make_shared<PowerDevice>());
      store_.devices[i] = devices_[i];
    }
    open();
  }

  void run(std::uint64_t rounds) {
    for (std::uint64_t i = 0; i < rounds && !testing::Test::HasFailure(); ++i) {
      trace_.clear();
      const std::uint64_t steps = 1 + pick(40);
      for (std::uint64_t step = 0; step < steps; ++step) act();
      if (chance(30)) die();
      chance(15) ? end_and_look() : lose_power();
      look();
    }
  }

 private:
  struct Open {
    fs::HandleId handle;
    ContentsRef contents;
    int flags = 0;
  };

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  bool chance(std::uint64_t percent) { return pick(100) < percent; }
  std::string name() { return fmt::format("f{}", pick(12)); }
  std::string some_bytes() {
    std::string bytes(chance(50) ? pick(20'000) : pick(200'000), '\0');
    std::uint64_t state = random_();
    for (char& byte : bytes) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      byte = static_cast<char>(1 + (state >> 33) % 255);  // never what a hole reads as
    }
    return bytes;
  }

  void open() {
    options_.boot.boot = {.id = fmt::format("boot {}", boots_), .certain = true};
    volume_ = store_.open(options_).value();
  }

  void act() {
    switch (pick(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return write_whole();
      case 4:
        return append();
      case 5:
        return change_in_place();
      case 6:
        return change_open();
      case 7:
        return close_some();
      case 8:
        return fsync_some();
      case 9:
        return unlink();
      case 10:
        return rename();
      case 11:
        return truncate();
      case 12:
        return sync_all();
      default:
        return reclaim();
    }
  }

  void note(const std::string& what) { trace_ += what + "; "; }

  // All names so far are on disk.
  void names_are_certain() {
    for (auto& [text, bindings] : names_) bindings.erase(bindings.begin(), bindings.end() - 1);
  }
  static void is_certain(Contents& contents) {
    if (contents.seals.empty()) return;
    contents.seals.erase(contents.seals.begin(), contents.seals.end() - 1);
    contents.on_disk = true;
    contents.changed_in_place = contents.now != contents.seals.back();
  }
  static void sealed(Contents& contents) { contents.seals.push_back(contents.now); }

  ContentsRef bound(const std::string& text) {
    const auto found = names_.find(text);
    return found == names_.end() ? nullptr : found->second.back();
  }
  void bind(const std::string& text, ContentsRef contents) {
    auto& bindings = names_[text];
    if (bindings.empty()) bindings.push_back(nullptr);
    bindings.push_back(std::move(contents));
  }

  std::optional<Open> open_file(const std::string& text, int flags) {
    const bool is_new = bound(text) == nullptr;
    if (is_new && (flags & O_CREAT) == 0) return std::nullopt;
    const auto opened = volume_->create(kRootInode, text, 0644, flags, {});
    EXPECT_TRUE(opened) << trace_;
    if (!opened) return std::nullopt;
    if (is_new) bind(text, std::make_shared<Contents>());
    const ContentsRef contents = bound(text);
    if (!is_new && (flags & O_TRUNC) != 0) {
      contents->now.clear();
      if (!contents->seals.empty()) sealed(*contents);
    }
    return Open{.handle = opened->handle, .contents = contents, .flags = flags};
  }

  void put(const Open& file, const std::string& bytes, std::uint64_t offset) {
    const auto written = volume_->write(file.handle, as_bytes(bytes), offset);
    ASSERT_TRUE(written) << trace_ << describe(written.error());
    std::string& now = file.contents->now;
    if (offset != now.size()) file.contents->changed_in_place = true;
    now.resize(std::max<std::size_t>(now.size(), offset + bytes.size()));
    now.replace(offset, bytes.size(), bytes);
  }

  void close(const Open& file) {
    ASSERT_TRUE(volume_->flush(file.handle)) << trace_;
    sealed(*file.contents);
    ASSERT_TRUE(volume_->release(file.handle)) << trace_;
  }
  void keep_or_close(const Open& file) { chance(25) ? opens_.push_back(file) : close(file); }

  void write_whole() {
    const std::string text = name();
    note("write " + text);
    const auto file = open_file(text, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) return;
    put(*file, some_bytes(), 0);
    keep_or_close(*file);
  }

  void append() {
    const std::string text = name();
    note("append " + text);
    const auto file = open_file(text, O_WRONLY | O_APPEND);
    if (!file) return;
    put(*file, some_bytes(), file->contents->now.size());
    keep_or_close(*file);
  }

  void change_in_place() {
    const std::string text = name();
    note("change " + text);
    const auto file = open_file(text, O_RDWR | O_CREAT);
    if (!file) return;
    put(*file, some_bytes(), pick(file->contents->now.size() + 5000));
    keep_or_close(*file);
  }

  void change_open() {
    if (opens_.empty()) return;
    note("go on");
    const Open& file = opens_[pick(opens_.size())];
    put(file, some_bytes(), file.contents->now.size());
    if (chance(50)) return;
    ASSERT_TRUE(volume_->flush(file.handle)) << trace_;
    sealed(*file.contents);
  }

  void close_some() {
    if (opens_.empty()) return;
    note("close");
    const std::size_t at = pick(opens_.size());
    close(opens_[at]);
    opens_.erase(opens_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void fsync_some() {
    if (opens_.empty()) return;
    note("fsync");
    const Open& file = opens_[pick(opens_.size())];
    ASSERT_TRUE(volume_->fsync(file.handle)) << trace_;
    sealed(*file.contents);
    is_certain(*file.contents);
    file.contents->changed_in_place = false;
    names_are_certain();
  }

  void unlink() {
    const std::string text = name();
    if (bound(text) == nullptr) return;
    note("unlink " + text);
    ASSERT_TRUE(volume_->unlink(kRootInode, text)) << trace_;
    bind(text, nullptr);
  }

  void rename() {
    const std::string from = name();
    const std::string to = name();
    const ContentsRef contents = bound(from);
    if (contents == nullptr || from == to || bound(to) == contents) return;
    note("rename " + from + " " + to);
    ASSERT_TRUE(volume_->rename(kRootInode, from, kRootInode, to, 0)) << trace_;
    sealed(*contents);
    bind(from, nullptr);
    bind(to, contents);
  }

  void truncate() {
    const std::string text = name();
    const ContentsRef contents = bound(text);
    if (contents == nullptr) return;
    note("truncate " + text);
    const auto found = volume_->lookup(kRootInode, text);
    ASSERT_TRUE(found) << trace_;
    const std::uint64_t size = chance(30) ? 0 : pick(contents->now.size() + 10'000);
    ASSERT_TRUE(volume_->set_attributes(InodeId{found->st_ino}, {.size = size})) << trace_;
    if (size != contents->now.size()) contents->changed_in_place = true;
    contents->now.resize(size);
    if (!contents->seals.empty()) sealed(*contents);
  }

  void sync_all() {
    note("sync");
    ASSERT_TRUE(volume_->sync_all()) << trace_;
    for (auto& [text, bindings] : names_) {
      for (const ContentsRef& contents : bindings) {
        if (contents != nullptr) is_certain(*contents);
      }
    }
    names_are_certain();
  }

  void reclaim() {
    note("reclaim");
    ASSERT_TRUE(volume_->reclaim_now()) << trace_;
    volume_->sum_now();
  }

  // The machine goes down in order.
  void end_and_look() {
    note("end");
    for (const Open& file : opens_) close(file);
    opens_.clear();
    volume_.reset();
    ASSERT_EQ(store_.problems(), "") << trace_;
    for (auto& [text, bindings] : names_) {
      if (bindings.back() != nullptr) is_certain(*bindings.back());
    }
    names_are_certain();
    ++boots_;
    open();
  }

  // The process is killed, and the next one goes on.
  void die() {
    note("death");
    index_ = index_->copy();
    for (auto& device : devices_) device = device->copy();
    restart();
    for (auto& [text, bindings] : names_) {
      const ContentsRef contents = bindings.back();
      const auto found = read(text);
      const bool stays = contents != nullptr && !contents->seals.empty();
      EXPECT_EQ(found.has_value(), stays) << trace_ << text;
      if (!stays && contents != nullptr) bindings.push_back(nullptr);
      if (!stays || !found) continue;
      EXPECT_TRUE(contents->changed_in_place || *found == contents->seals.back()) << trace_ << text;
      contents->pieces.push_back(contents->now);
      contents->now = *found;
      sealed(*contents);
    }
    for (std::uint64_t step = pick(20); step > 0; --step) act();
  }

  void restart() {
    opens_.clear();
    volume_.reset();  // what it still does goes to the disks of before
    store_.index = index_;
    std::copy(devices_.begin(), devices_.end(), store_.devices.begin());
    open();
  }

  void lose_power() {
    note("power loss");
    index_ = index_->lose_power(random_);
    for (auto& device : devices_) device = device->lose_power(random_);
    ++boots_;
    restart();
    if (chance(50)) {
      ASSERT_TRUE(volume_->prove_all()) << trace_;
    }
  }

  void look() {
    std::set<std::string> seen;
    for (auto& [text, bindings] : names_) {
      const std::optional<std::string> found = read(text);
      if (found) seen.insert(text);
      EXPECT_TRUE(allowed(bindings, found)) << trace_ << text << describe_found(found);
      auto contents = found ? std::make_shared<Contents>() : nullptr;
      if (found) *contents = {.seals = {*found}, .on_disk = true, .now = *found};
      bindings = {contents};
    }
    ASSERT_TRUE(volume_->prove_all()) << trace_;
    const auto listed = volume_->list(kRootInode, 2, 1000).value();
    for (const auto& entry : listed) {
      EXPECT_TRUE(seen.contains(entry.name)) << trace_ << entry.name;
    }
  }

  static std::string describe_found(const std::optional<std::string>& found) {
    return found ? fmt::format(" has {} bytes", found->size()) : " is absent";
  }

  std::optional<std::string> read(const std::string& text) {
    const auto found = volume_->lookup(kRootInode, text);
    if (!found) return std::nullopt;
    const auto opened = volume_->open_file(InodeId{found->st_ino}, O_RDONLY);
    if (!opened) {
      EXPECT_EQ(opened.error().code, ENOENT) << trace_ << text << describe(opened.error());
      return std::nullopt;
    }
    std::string bytes(static_cast<std::size_t>(opened->attributes.st_size), '?');
    const auto got = volume_->read(opened->handle, std::as_writable_bytes(std::span(bytes)), 0);
    EXPECT_TRUE(got) << trace_ << text << (got ? "" : describe(got.error()));
    EXPECT_TRUE(volume_->release(opened->handle));
    return bytes;
  }

  static bool allowed(const std::vector<ContentsRef>& bindings,
                      const std::optional<std::string>& found) {
    return std::any_of(bindings.begin(), bindings.end(), [&](const ContentsRef& contents) {
      if (contents == nullptr) return !found;
      if (!found) return !contents->on_disk;
      const auto& seals = contents->seals;
      if (std::find(seals.begin(), seals.end(), *found) != seals.end()) return true;
      return contents->on_disk && contents->changed_in_place && mixes(*contents, *found);
    });
  }

  static bool mixes(const Contents& contents, const std::string& found) {
    std::vector<std::string> parts = contents.pieces;
    parts.insert(parts.end(), contents.seals.begin(), contents.seals.end());
    parts.push_back(contents.now);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const bool own = found[i] == 0 || std::any_of(parts.begin(), parts.end(), [&](const auto& s) {
                         return i < s.size() && s[i] == found[i];
                       });
      if (!own) return false;
    }
    return true;
  }

  Random random_;
  fs::VolumeOptions options_;
  TestStore store_;
  std::shared_ptr<PowerIndex> index_ = std::make_shared<PowerIndex>();
  std::vector<std::shared_ptr<PowerDevice>> devices_;
  std::unique_ptr<fs::Volume> volume_;
  std::uint64_t boots_ = 0;
  std::map<std::string, std::vector<ContentsRef>> names_;  // what it may name after a power loss
  std::vector<Open> opens_;
  std::string trace_;
};

TEST(PowerLoss, EveryFileIsAsAtASealOrAbsent) {
  const std::uint64_t seed = from_environment("SPILLFS_MODEL_SEED", 1);
  PowerModel(seed, {}).run(from_environment("SPILLFS_POWER_LOSSES", 200));
}

TEST(PowerLoss, EveryFileIsAsAtASealOrAbsentPastThePageCache) {
  const std::uint64_t seed = from_environment("SPILLFS_MODEL_SEED", 1) + 1000;
  PowerModel(seed, {.write_directly = [](pid_t) { return true; }})
      .run(from_environment("SPILLFS_POWER_LOSSES", 200));
}

}  // namespace
}  // namespace spillfs::tests
