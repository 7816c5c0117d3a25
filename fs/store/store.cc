// SPDX-License-Identifier: Apache-2.0
#include "fs/store/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "fs/store/store_lock.h"
#include "storage/file_device.h"
#include "storage/read_only_device.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

constexpr off_t kBallastSize = 16 * static_cast<off_t>(kMiB);
constexpr const char* kBallast = "ballast";
constexpr std::size_t kLargestStoreFile = 16 * kMiB;
constexpr mode_t kOwnersFile = 0600;
constexpr const char* kForeignStore = "foreign_store=yes";  // the option, for sentences

storage::StoreId random_id() {
  std::random_device random;
  storage::StoreId id;
  for (std::byte& byte : id) byte = static_cast<std::byte>(random());
  id[6] = (id[6] & std::byte{0x0f}) | std::byte{0x40};  // a uuid of version 4, variant 1
  id[8] = (id[8] & std::byte{0x3f}) | std::byte{0x80};
  return id;
}

Result<storage::StoreId> parse_id(const std::string& text) {
  storage::StoreId id{};
  if (text.size() != 2 * id.size())
    return fail(EBADMSG, "has a damaged uuid; restore it from a copy");
  for (std::size_t i = 0; i < id.size(); ++i) {
    std::uint8_t byte = 0;
    const char* from = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(from, from + 2, byte, 16);
    if (error != std::errc() || end != from + 2)
      return fail(EBADMSG, "has a damaged uuid; restore it from a copy");
    id[i] = std::byte{byte};
  }
  return id;
}

bool on_one_file_system(const TrustedDirectory& a, const TrustedDirectory& b) {
  struct stat of_a {};
  struct stat of_b {};
  return ::fstat(a.descriptor(), &of_a) == 0 && ::fstat(b.descriptor(), &of_b) == 0 &&
         of_a.st_dev == of_b.st_dev;
}

// But for what a new disk has, and what an attempt to make a store may have left.
Result<bool> is_empty(const TrustedDirectory& folder) {
  constexpr std::array<std::string_view, 3> kNothing{"lost+found", "lock", "store.json.new"};
  const auto names = SPILLFS_TRY(folder.list());
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::count(kNothing.begin(), kNothing.end(), name) != 0;
  });
}

Trust trust_of(Foreign foreign) {
  return Trust::of_process(foreign, fmt::format(", or admit it with {}", kForeignStore));
}

// `error`, with what was being done before what it says.
Failure while_doing(const std::string& doing, const Error& error) {
  return fail(error.code, doing + ": " + error.context, error.where);
}

}  // namespace

storage::Access access_of(const MountOptions& options) {
  return options.read_only ? storage::Access::kReadOnly : storage::Access::kReadWrite;
}

Result<StoreFile> parse_store_file(std::string_view text) {
  constexpr const char* kDamaged = "is damaged; restore it from a copy";
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.value("format_version", nlohmann::json()).is_number_unsigned()) {
    return fail(EBADMSG, kDamaged);
  }
  const auto version = json["format_version"].get<std::uint64_t>();
  if (version > kStoreFormat) {
    return fail(EPROTO, fmt::format("has format version {}, this spillfs knows {}; use a newer "
                                    "spillfs",
                                    version, kStoreFormat));
  }
  const auto uuid = json.value("uuid", nlohmann::json());
  const auto folders = json.value("data_directories", nlohmann::json());
  const bool good = uuid.is_string() && folders.is_array() && !folders.empty() &&
                    std::all_of(folders.begin(), folders.end(),
                                [](const auto& folder) { return folder.is_string(); });
  if (!good) return fail(EBADMSG, kDamaged);
  return StoreFile{.id = SPILLFS_TRY(parse_id(uuid.get<std::string>())),
                   .directories = folders.get<std::vector<std::string>>(),
                   .format = version};
}

Result<std::string> format_store_file(const StoreFile& file) {
  const nlohmann::json json{{"format_version", file.format},
                            {"uuid", storage::hex(file.id)},
                            {"data_directories", file.directories}};
  try {
    return json.dump(2) + "\n";
  } catch (const nlohmann::json::type_error&) {
    return fail(EINVAL, fmt::format("a data directory's name is not UTF-8: {}",
                                    fmt::join(file.directories, ":")));
  }
}

Result<Store> Store::unlocked(const std::string& path, Foreign foreign, Missing missing) {
  auto folder = TrustedDirectory::open(path, trust_of(foreign), missing);
  if (folder) return Store(*std::move(folder), foreign);
  const bool making = missing != Missing::kRefuse;
  return while_doing((making ? "make store " : "open store ") + path, folder.error());
}

Result<> Store::take_lock() {
  auto lock = lock_store(folder_);
  if (!lock && lock.error().code == EROFS) {
    return fail(EROFS,
                fmt::format("store {} is on a file system that is mounted read-only; to read "
                            "what is in it mount it with -o ro",
                            path()));
  }
  lock_ = SPILLFS_TRY(std::move(lock));
  return {};
}

// Where the file is missing, as from a copy, store.json takes its place among those who read.
Result<> Store::share_lock() {
  lock_ = SPILLFS_TRY(lock_store_for_reading(folder_));
  if (!lock_) lock_ = SPILLFS_TRY(folder_.open_file(kStoreFile, O_RDONLY));
  return {};
}

// What is locked has to be what lies there: who may rename directories could have swapped two.
Result<> Store::take_lock(Fd lock) {
  const char* file = SPILLFS_TRY(folder_.has(kLockFile)) ? kLockFile : kStoreFile;
  const Fd there = SPILLFS_TRY(folder_.open_file(file, O_RDONLY));
  struct stat held {};
  struct stat found {};
  if (::fstat(lock.get(), &held) != 0 || ::fstat(there.get(), &found) != 0) {
    return fail_errno(errno, "look at " + folder_.path_to(kLockFile));
  }
  if (held.st_dev != found.st_dev || held.st_ino != found.st_ino) {
    return fail(ESTALE, fmt::format("{} is another store than the one that is mounted; put the "
                                    "mounted one back",
                                    path()));
  }
  lock_ = std::move(lock);
  return {};
}

Result<bool> Store::is_made() const { return folder_.has(kStoreFile); }

Result<Store> Store::existing(const std::string& path, Foreign foreign) {
  auto store = unlocked(path, foreign, Missing::kRefuse);
  const bool none = store ? !SPILLFS_TRY(store->is_made()) : store.error().code == ENOENT;
  if (none) return fail(ENOENT, fmt::format("{} is not a spillfs store (no {})", path, kStoreFile));
  return store;
}

Result<Store> Store::open_read_only(const std::string& path, const std::vector<std::string>& data,
                                    Foreign foreign) {
  Store store = SPILLFS_TRY(existing(path, foreign));
  store.access_ = storage::Access::kReadOnly;
  SPILLFS_TRY(store.share_lock());
  SPILLFS_TRY(store.read());
  SPILLFS_TRY(store.check_data(data));
  return store;
}

Result<Store> Store::open(const std::string& path, Foreign foreign) {
  auto store = existing(path, foreign);
  if (!store) return store;
  SPILLFS_TRY(store->take_lock());
  SPILLFS_TRY(store->read());
  return store;
}

Result<> Store::check_format(const std::string& path, Foreign foreign) {
  return SPILLFS_TRY(unlocked(path, foreign, Missing::kRefuse)).read();
}

Result<Store> Store::adopt(const std::string& path, Fd lock, Foreign foreign,
                           storage::Access access) {
  Store store = SPILLFS_TRY(unlocked(path, foreign, Missing::kRefuse));
  store.access_ = access;
  SPILLFS_TRY(store.take_lock(std::move(lock)));
  SPILLFS_TRY(store.read());
  return store;
}

Result<Store> Store::open_or_create(const std::string& path, const std::vector<std::string>& data,
                                    Foreign foreign) {
  Store store = SPILLFS_TRY(unlocked(path, foreign, Missing::kMakeLast));
  const bool made = SPILLFS_TRY(store.is_made());
  if (!made && !SPILLFS_TRY(is_empty(store.folder_))) {
    return fail(ENOTEMPTY,
                fmt::format("{} holds other files and is not a spillfs store; give an empty or a "
                            "new directory",
                            path));
  }
  SPILLFS_TRY(store.take_lock());
  if (!SPILLFS_TRY(store.is_made())) {
    SPILLFS_TRY(store.create(data));
    return store;
  }
  SPILLFS_TRY(store.read());
  SPILLFS_TRY(store.check_data(data));
  return store;
}

Result<> Store::check_data(const std::vector<std::string>& data) const {
  std::vector<std::string> wanted;
  for (const std::string& folder : data) wanted.push_back(files::weakly_canonical(folder).string());
  if (data.empty() || wanted == directories_) return {};
  return fail(EINVAL, fmt::format("store {} was made with data directories {}; leave data= out",
                                  path(), fmt::join(directories_, ":")));
}

Result<> Store::read() {
  const std::string name = folder_.path_to(kStoreFile);
  const Fd file = SPILLFS_TRY(folder_.open_file(kStoreFile, O_RDONLY));
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return fail_errno(errno, "look at " + name);
  const auto parsed = parse_store_file(SPILLFS_TRY(read_all(file, kLargestStoreFile, name)));
  if (!parsed) return fail(parsed.error().code, name + " " + parsed.error().context);
  id_ = parsed->id;
  format_ = parsed->format;
  for (const std::string& folder : parsed->directories) {
    const files::path whole = files::path(path()) / folder;
    directories_.push_back(whole.lexically_normal().string());
    if (directories_.back().size() > 1 && directories_.back().ends_with('/')) {
      directories_.back().pop_back();
    }
  }
  SPILLFS_TRY(open_data(found.st_uid));
  return open_parts();
}

// Those who use the segments look as well; here it is found before a process is left behind.
Result<> Store::open_parts() {
  for (const TrustedDirectory& data : data_) {
    for (const char* name : {"segments", "recycle"}) {
      if (SPILLFS_TRY(data.has(name))) SPILLFS_TRY(data.folder(name));
    }
  }
  if (SPILLFS_TRY(folder_.has(kIndex))) index_ = SPILLFS_TRY(checked_index(kIndex));
  return {};
}

// Where store.json is another user's word, it leads to what is that user's and nowhere else.
Result<> Store::open_data(uid_t named_by) {
  const Trust trust = trust_of(foreign_);
  for (const std::string& folder : directories_) {
    auto opened = folder == path() ? folder_.again() : TrustedDirectory::open(folder, trust);
    if (!opened && (opened.error().code == ENOENT || opened.error().code == ENOTDIR)) {
      return fail(ENOENT, fmt::format("data directory {} of store {} is missing; mount its disk",
                                      folder, path()));
    }
    if (!opened) return while_doing("open data directory " + folder, opened.error());
    const bool elsewhere = folder != path();
    if (elsewhere && !trust.owns(named_by) && opened->owner() != named_by) {
      return fail(kNotTrusted,
                  fmt::format("data directory {} belongs to user {}, and {} that names it to user "
                              "{}; one user has to own both",
                              folder, opened->owner(), folder_.path_to(kStoreFile), named_by));
    }
    data_.push_back(*std::move(opened));
  }
  return {};
}

Result<> Store::make_data(const std::string& folder) {
  auto made = TrustedDirectory::open(folder, trust_of(foreign_), Missing::kMakeAll);
  if (!made) return while_doing("make data directory " + folder, made.error());
  if (std::count(directories_.begin(), directories_.end(), made->path()) != 0) {
    return fail(EINVAL, fmt::format("data directory {} is given twice", made->path()));
  }
  if (SPILLFS_TRY(made->has("segments"))) {
    const auto segments = SPILLFS_TRY(made->folder("segments"));
    if (!SPILLFS_TRY(is_empty(segments))) {
      return fail(ENOTEMPTY, fmt::format("data directory {} holds segments of another store; give "
                                         "an empty or a new directory",
                                         made->path()));
    }
  }
  directories_.push_back(made->path());
  data_.push_back(*std::move(made));
  return {};
}

Result<> Store::create(const std::vector<std::string>& data) {
  id_ = random_id();
  for (const std::string& folder : data) SPILLFS_TRY(make_data(folder));
  if (directories_.empty()) {
    directories_.push_back(path());
    data_.push_back(SPILLFS_TRY(folder_.again()));
  }
  return write();
}

Result<> Store::raise_format() {
  if (format_ >= kStoreFormat) return {};
  const std::uint64_t before = std::exchange(format_, kStoreFormat);
  auto written = write();
  if (!written) format_ = before;
  return written;
}

Result<> Store::write() const {
  StoreFile content{.id = id_, .directories = directories_, .format = format_};
  std::replace(content.directories.begin(), content.directories.end(), path(), std::string("."));
  const std::string text = SPILLFS_TRY(format_store_file(content));
  return folder_.replace_file(kStoreFile, text, kOwnersFile, Durable::kYes);
}

Result<TrustedDirectory> Store::checked_index(const std::string& name) const {
  auto index = SPILLFS_TRY(folder_.folder(name));
  SPILLFS_TRY(index.check_contents());
  // While it is in use its owner can put links into it, which RocksDB would follow.
  if (foreign_ == Foreign::kAdmit && ::geteuid() == 0 && index.owner() != 0) {
    SPILLFS_TRY(index.refuse_symbolic_links());
  }
  return index;
}

Result<TrustedDirectory> Store::open_index(const std::string& name) const {
  if (index_ && name == kIndex) return index_->again();
  if (access_ == storage::Access::kReadWrite) SPILLFS_TRY(folder_.make_folder(name));
  return checked_index(name);
}

Result<bool> Store::has_index() const {
  if (!index_ && !SPILLFS_TRY(folder_.has(kIndex))) return false;
  const auto index = SPILLFS_TRY(index_ ? index_->again() : folder_.folder(kIndex));
  return index.has("CURRENT");
}

Result<std::vector<std::unique_ptr<storage::Device>>> Store::open_devices(std::uint64_t reserve,
                                                                          SlowWatch* watch) const {
  std::vector<std::unique_ptr<storage::Device>> devices;
  for (const TrustedDirectory& folder : data_) {
    const std::uint64_t kept = on_one_file_system(folder, folder_) ? reserve : 0;
    auto opened = SPILLFS_TRY(folder.again());
    if (access_ == storage::Access::kReadOnly) {
      devices.push_back(std::make_unique<storage::ReadOnlyDevice>(
          SPILLFS_TRY(storage::FileDevice::open_read_only(std::move(opened), watch))));
    } else {
      devices.push_back(
          SPILLFS_TRY(storage::FileDevice::open_directory(std::move(opened), kept, watch)));
    }
  }
  return devices;
}

bool Store::has_ballast() const { return folder_.has(kBallast).value_or(false); }

bool Store::has_room_for_ballast() const {
  struct statvfs room {};
  return ::fstatvfs(folder_.descriptor(), &room) == 0 &&
         room.f_bavail * room.f_frsize >= 2 * static_cast<std::uint64_t>(kBallastSize);
}

Result<> Store::keep_ballast() const {
  const Fd file = SPILLFS_TRY(folder_.open_file(kBallast, O_WRONLY | O_CREAT));
  const int result = ::posix_fallocate(file.get(), 0, kBallastSize);
  if (result == 0) return {};
  static_cast<void>(folder_.remove(kBallast));  // a part of it would only take room away
  return fail_errno(result, "set aside " + folder_.path_to(kBallast));
}

bool Store::drop_ballast() const {
  if (!folder_.remove(kBallast)) return false;
  spdlog::warn("the index's file system is full: gave the ballast up so that deletes go on");
  return true;
}

}  // namespace spillfs::fs
