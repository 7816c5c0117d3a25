// SPDX-License-Identifier: Apache-2.0
#include "storage/base/trusted_walk.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <deque>
#include <filesystem>
#include <string_view>
#include <utility>

namespace spillfs {
namespace {

constexpr int kMostLinks = 40;  // as the kernel has it
constexpr mode_t kForUsAlone = 0700;
constexpr int kHere = O_PATH | O_NOFOLLOW | O_CLOEXEC;

Result<struct stat> status_of(const Fd& file, const std::string& path) {
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return fail_errno(errno, "look at " + path);
  return found;
}

class Walk {
 public:
  Walk(const Trust& trust, Missing missing) : trust_(trust), missing_(missing) {}

  Result<TrustedPlace> to(const std::string& path) {
    SPILLFS_TRY(begin());
    put_before(path);
    while (!rest_.empty()) SPILLFS_TRY(step());
    return std::move(at_);
  }

 private:
  Result<> begin() {
    at_.path = "/";
    at_.file = Fd(::open("/", kHere | O_DIRECTORY));
    if (!at_.file) return fail_errno(errno, "open /");
    at_.status = SPILLFS_TRY(status_of(at_.file, at_.path));
    return {};
  }

  void put_before(std::string_view path) {
    std::deque<std::string> names;
    while (!path.empty()) {
      const std::size_t slash = std::min(path.find('/'), path.size());
      const std::string_view name = path.substr(0, slash);
      path.remove_prefix(std::min(slash + 1, path.size()));
      if (!name.empty() && name != ".") names.emplace_back(name);
    }
    rest_.insert(rest_.begin(), names.begin(), names.end());
  }

  [[nodiscard]] std::string path_to(const std::string& name) const {
    if (name == "..") return std::filesystem::path(at_.path).parent_path().string();
    return at_.path + (at_.path.ends_with('/') ? "" : "/") + name;
  }

  Result<> step() {
    const std::string name = std::move(rest_.front());
    rest_.pop_front();
    if (!S_ISDIR(at_.status.st_mode)) return fail_errno(ENOTDIR, "open " + path_to(name));
    SPILLFS_TRY(trust_.check_way(at_.status, at_.file.get(), at_.path));
    TrustedPlace next;
    next.path = path_to(name);
    next.file = SPILLFS_TRY(open(name, next.path));
    next.status = SPILLFS_TRY(status_of(next.file, next.path));
    if (S_ISLNK(next.status.st_mode)) return follow(next);
    at_ = std::move(next);
    return {};
  }

  Result<Fd> open(const std::string& name, const std::string& path) {
    Fd file(::openat(at_.file.get(), name.c_str(), kHere));
    const bool make =
        missing_ == Missing::kMakeAll || (missing_ == Missing::kMakeLast && rest_.empty());
    if (!file && errno == ENOENT && make) {
      if (::mkdirat(at_.file.get(), name.c_str(), kForUsAlone) != 0 && errno != EEXIST) {
        return fail_errno(errno, "make " + path);
      }
      file = Fd(::openat(at_.file.get(), name.c_str(), kHere));
    }
    if (!file) return fail_errno(errno, "open " + path);
    return file;
  }

  Result<> follow(const TrustedPlace& link) {
    SPILLFS_TRY(trust_.check_link(link.status, at_.status, at_.file.get(), link.path));
    if (++links_ > kMostLinks) return fail_errno(ELOOP, "open " + link.path);
    std::array<char, PATH_MAX> text{};
    const ssize_t length = ::readlinkat(link.file.get(), "", text.data(), text.size());
    if (length <= 0) return fail_errno(length < 0 ? errno : ENOENT, "read the link " + link.path);
    const std::string_view target(text.data(), static_cast<std::size_t>(length));
    if (target.starts_with('/')) SPILLFS_TRY(begin());
    put_before(target);
    return {};
  }

  const Trust& trust_;
  const Missing missing_;
  TrustedPlace at_;
  std::deque<std::string> rest_;
  int links_ = 0;
};

}  // namespace

Result<TrustedPlace> walk_to(const std::string& path, const Trust& trust, Missing missing) {
  if (path.empty()) return fail(ENOENT, "a path without a name");
  std::error_code error;
  const auto whole = std::filesystem::absolute(path, error);
  if (error) return fail_errno(error.value(), "open " + path);
  auto found = SPILLFS_TRY(Walk(trust, missing).to(whole.string()));
  const bool wants_directory = path.ends_with('/') || missing != Missing::kRefuse;
  if (wants_directory && !S_ISDIR(found.status.st_mode)) {
    return fail(ENOTDIR, found.path + " is not a directory");
  }
  return found;
}

}  // namespace spillfs
