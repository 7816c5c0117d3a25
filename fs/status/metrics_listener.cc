// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr int kBacklog = 256;  // more wait there than are served at a time

struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
};

SocketAddress socket_address(const MetricsAddress& address) {
  SocketAddress out;
  if (address.family == MetricsAddress::Family::kIpv4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(out.bytes);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr);
    out.size = sizeof(v4);
  } else if (address.family == MetricsAddress::Family::kIpv6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out.bytes);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    ::inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr);
    out.size = sizeof(v6);
  } else {
    auto& local = reinterpret_cast<sockaddr_un&>(out.bytes);
    local.sun_family = AF_UNIX;
    std::strncpy(local.sun_path, address.host.c_str(), sizeof(local.sun_path) - 1);
    out.size = sizeof(local);
  }
  return out;
}

// For calls that take the path of a socket: it leads into the directory that was looked at.
std::string by_descriptor(const TrustedDirectory& folder, const std::string& name) {
  return folder.path_by_descriptor() + "/" + name;
}

// True where that can't be told, too.
bool is_served(const std::string& path) {
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto to =
      socket_address({.family = MetricsAddress::Family::kUnix, .host = path, .port = 0});
  return !probe || ::connect(probe.get(), to.get(), to.size) == 0 || errno != ECONNREFUSED;
}

// What a process that died has left of a socket; nothing else is removed, nor another user's.
Result<> clear_stale(const TrustedDirectory& folder, const std::string& name, const Trust& trust) {
  const std::string path = folder.path_to(name);
  struct stat found {};
  if (::fstatat(folder.descriptor(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Result<>() : fail_errno(errno, path);
  }
  if (!S_ISSOCK(found.st_mode)) return fail(EEXIST, path + " is there and is not a socket");
  if (!trust.owns(found.st_uid) || is_served(by_descriptor(folder, name))) {
    return fail(EADDRINUSE, path + " is another process's");
  }
  return folder.remove(name);
}

std::string name_of(const MetricsAddress& address) {
  return std::filesystem::path(address.host).filename();
}

std::string shown(const MetricsAddress& address) {
  if (address.family == MetricsAddress::Family::kUnix) return address.host;
  return fmt::format("{}:{}", address.host, address.port);
}

}  // namespace

MetricsListener::MetricsListener(MetricsAddress address)
    : address_(std::move(address)),
      socket_(::socket(socket_address(address_).get()->sa_family,
                       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  // Not SO_REUSEPORT: two servers would share the port.
  const int yes = 1;
  if (address_.family != MetricsAddress::Family::kUnix) {
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  }
  static_cast<void>(listen());
}

MetricsListener::~MetricsListener() {
  if (folder_) static_cast<void>(folder_->remove(name_of(address_)));
}

Result<> MetricsListener::listen() {
  if (listens_) return {};
  if (!socket_) return fail(EMFILE, "there is no socket for the metrics");
  SPILLFS_TRY(bind());
  if (::listen(socket_.get(), kBacklog) != 0) return fail_errno(errno, shown(address_));
  listens_ = true;
  return {};
}

Result<> MetricsListener::bind() {
  if (address_.family == MetricsAddress::Family::kUnix) return bind_file();
  const auto where = socket_address(address_);
  if (::bind(socket_.get(), where.get(), where.size) == 0) return {};
  return fail_errno(errno, shown(address_));
}

// A socket's file is the owner's from the start: the daemon's umask leaves others nothing.
Result<> MetricsListener::bind_file() {
  if (folder_) return {};
  const Trust trust = Trust::of_process();
  const std::string name = name_of(address_);
  auto folder = SPILLFS_TRY(
      TrustedDirectory::open_shared(std::filesystem::path(address_.host).parent_path(), trust));
  SPILLFS_TRY(clear_stale(folder, name, trust));
  const auto where =
      socket_address({.family = address_.family, .host = by_descriptor(folder, name), .port = 0});
  if (::bind(socket_.get(), where.get(), where.size) != 0) {
    return fail_errno(errno, shown(address_));
  }
  const int directory = folder.descriptor();
  folder_ = std::move(folder);
  // Not what someone may have put in its place meanwhile.
  if (::fchmodat(directory, name.c_str(), S_IRUSR | S_IWUSR, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, address_.host);
  }
  return {};
}

}  // namespace spillfs::fs
