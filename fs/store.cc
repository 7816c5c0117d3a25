// SPDX-License-Identifier: Apache-2.0
#include "fs/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "storage/file_device.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

constexpr off_t kBallast = 16 * static_cast<off_t>(kMiB);

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

bool on_one_file_system(const std::string& a, const std::string& b) {
  struct stat of_a {};
  struct stat of_b {};
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 &&
         of_a.st_dev == of_b.st_dev;
}

// A folder that nobody may look into is an error, not one without a store.
Result<bool> has_store_file(const std::string& folder) {
  const std::string name = folder + "/" + kStoreFile;
  std::error_code error;
  const bool found = files::exists(name, error);
  if (error) return fail_errno(error.value(), "open " + name);
  return found;
}

// But for what a new disk has, and what an attempt to make a store may have left.
bool is_empty(const std::string& folder) {
  constexpr std::array<std::string_view, 3> kNothing{"lost+found", "lock", "store.json.new"};
  std::error_code ignored;
  return std::all_of(files::directory_iterator(folder, ignored), files::directory_iterator(),
                     [&](const files::directory_entry& entry) {
                       return std::count(kNothing.begin(), kNothing.end(),
                                         entry.path().filename().string()) != 0;
                     });
}

}  // namespace

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
                   .directories = folders.get<std::vector<std::string>>()};
}

Result<std::string> format_store_file(const StoreFile& file) {
  const nlohmann::json json{{"format_version", kStoreFormat},
                            {"uuid", storage::hex(file.id)},
                            {"data_directories", file.directories}};
  try {
    return json.dump(2) + "\n";
  } catch (const nlohmann::json::type_error&) {
    return fail(EINVAL, fmt::format("a data directory's name is not UTF-8: {}",
                                    fmt::join(file.directories, ":")));
  }
}

Result<Store> Store::locked(const std::string& path) {
  Store store;
  std::error_code error;
  store.path_ = files::canonical(path, error).string();
  if (error) return fail_errno(error.value(), "open store " + path);
  if (!files::is_directory(store.path_, error)) return fail(ENOTDIR, path + " is not a directory");
  const std::string name = store.path_ + "/lock";
  store.lock_ = Fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!store.lock_) return fail_errno(errno, "open " + name);
  if (::flock(store.lock_.get(), LOCK_EX | LOCK_NB) == 0) return store;
  if (errno != EWOULDBLOCK) return fail_errno(errno, "lock " + name);
  return fail(EBUSY, fmt::format("store {} is in use by another spillfs; unmount it first", path));
}

Result<Store> Store::open(const std::string& path) {
  if (!SPILLFS_TRY(has_store_file(path))) {
    return fail(ENOENT, fmt::format("{} is not a spillfs store (no {})", path, kStoreFile));
  }
  Store store = SPILLFS_TRY(locked(path));
  SPILLFS_TRY(store.read());
  return store;
}

Result<> Store::check_format(const std::string& path) {
  Store store;
  store.path_ = path;
  return store.read();
}

Result<Store> Store::adopt(const std::string& path, Fd lock) {
  Store store;
  store.path_ = path;
  store.lock_ = std::move(lock);
  SPILLFS_TRY(store.read());
  return store;
}

Result<Store> Store::open_or_create(const std::string& path, const std::vector<std::string>& data) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno(errno, "make store " + path);
  }
  const bool made = SPILLFS_TRY(has_store_file(path));
  if (!made && !is_empty(path)) {
    return fail(ENOTEMPTY,
                fmt::format("{} holds other files and is not a spillfs store; give an empty or a "
                            "new directory",
                            path));
  }
  Store store = SPILLFS_TRY(locked(path));
  if (!SPILLFS_TRY(has_store_file(store.path_))) {
    SPILLFS_TRY(store.create(data));
    return store;
  }
  SPILLFS_TRY(store.read());
  std::vector<std::string> wanted;
  for (const std::string& folder : data) wanted.push_back(files::weakly_canonical(folder).string());
  if (data.empty() || wanted == store.directories_) return store;
  return fail(EINVAL, fmt::format("store {} was made with data directories {}; leave data= out",
                                  path, fmt::join(store.directories_, ":")));
}

Result<> Store::read() {
  const std::string name = path_ + "/" + kStoreFile;
  std::ifstream file(name);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto parsed = parse_store_file(text);
  if (!parsed) return fail(parsed.error().code, name + " " + parsed.error().context);
  id_ = parsed->id;
  for (const std::string& folder : parsed->directories) {
    const files::path whole = files::path(path_) / folder;
    directories_.push_back(whole.lexically_normal().string());
    if (directories_.back().size() > 1 && directories_.back().ends_with('/')) {
      directories_.back().pop_back();
    }
    std::error_code error;
    if (files::is_directory(directories_.back(), error)) continue;
    return fail(ENOENT, fmt::format("data directory {} of store {} is missing; mount its disk",
                                    directories_.back(), path_));
  }
  return {};
}

Result<> Store::create(const std::vector<std::string>& data) {
  id_ = random_id();
  for (const std::string& folder : data) {
    std::error_code error;
    files::create_directories(folder, error);
    if (error) return fail_errno(error.value(), "make data directory " + folder);
    const std::string whole = files::canonical(folder).string();
    if (std::count(directories_.begin(), directories_.end(), whole) != 0) {
      return fail(EINVAL, fmt::format("data directory {} is given twice", whole));
    }
    if (!is_empty(whole + "/segments")) {
      return fail(ENOTEMPTY, fmt::format("data directory {} holds segments of another store; give "
                                         "an empty or a new directory",
                                         whole));
    }
    directories_.push_back(whole);
  }
  if (directories_.empty()) directories_.push_back(path_);
  return write();
}

// Whole or not at all: written beside, synced, renamed.
Result<> Store::write() const {
  StoreFile content{.id = id_, .directories = directories_};
  std::replace(content.directories.begin(), content.directories.end(), path_, std::string("."));
  const std::string text = SPILLFS_TRY(format_store_file(content));
  const std::string name = path_ + "/" + kStoreFile;
  const std::string beside = name + ".new";
  const Fd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(file.get()) != 0 || ::rename(beside.c_str(), name.c_str()) != 0) {
    return fail_errno(errno, "write " + name);
  }
  const Fd folder(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return fail_errno(errno, "sync " + path_);
  return {};
}

Result<std::vector<std::unique_ptr<storage::Device>>> Store::open_devices(std::uint64_t reserve,
                                                                          SlowWatch* watch) const {
  std::vector<std::unique_ptr<storage::Device>> devices;
  for (const std::string& folder : directories_) {
    const std::uint64_t kept = on_one_file_system(folder, path_) ? reserve : 0;
    devices.push_back(SPILLFS_TRY(storage::FileDevice::open_directory(folder, kept, watch)));
  }
  return devices;
}

bool Store::has_ballast() const {
  struct stat there {};
  return ::stat(ballast_path().c_str(), &there) == 0;
}

bool Store::has_room_for_ballast() const {
  struct statvfs room {};
  return ::statvfs(path_.c_str(), &room) == 0 &&
         room.f_bavail * room.f_frsize >= 2 * static_cast<std::uint64_t>(kBallast);
}

Result<> Store::keep_ballast() const {
  const std::string name = ballast_path();
  const Fd file(::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "open " + name);
  const int result = ::posix_fallocate(file.get(), 0, kBallast);
  if (result == 0) return {};
  ::unlink(name.c_str());  // a part of it would only take room away
  return fail_errno(result, "set aside " + name);
}

bool Store::drop_ballast() const {
  if (::unlink(ballast_path().c_str()) != 0) return false;
  spdlog::warn("the index's file system is full: gave the ballast up so that deletes go on");
  return true;
}

}  // namespace spillfs::fs
