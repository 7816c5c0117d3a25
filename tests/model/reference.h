// SPDX-License-Identifier: Apache-2.0
// What a file system is, in a few lines: a tree of nodes with strings for bytes. Operations return
// the errno Linux would, 0 for success.
#pragma once

#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace spillfs::tests {

struct Node;
using NodeRef = std::shared_ptr<Node>;

struct Node {
  std::uint32_t mode = 0;
  std::uint32_t links = 1;
  std::string bytes;  // a symlink's are its target
  std::map<std::string, NodeRef> entries;
  std::map<std::string, std::string> xattrs;
  std::weak_ptr<Node> parent;  // directories

  [[nodiscard]] bool is_directory() const { return S_ISDIR(mode); }
};

inline NodeRef new_node(std::uint32_t mode) {
  auto node = std::make_shared<Node>();
  node->mode = mode;
  node->links = S_ISDIR(mode) ? 2 : 1;
  return node;
}

class Reference {
 public:
  NodeRef root = new_node(S_IFDIR | S_ISVTX | 0777);

  static NodeRef find(const NodeRef& parent, const std::string& name) {
    const auto found = parent->entries.find(name);
    return found == parent->entries.end() ? nullptr : found->second;
  }

  static int add(const NodeRef& parent, const std::string& name, const NodeRef& node) {
    if (parent->links == 0) return ENOENT;
    if (find(parent, name)) return EEXIST;
    attach(parent, name, node);
    return 0;
  }

  static int link(const NodeRef& node, const NodeRef& parent, const std::string& name) {
    if (node->is_directory()) return EPERM;
    if (const int error = add(parent, name, node)) return error;
    ++node->links;
    return 0;
  }

  static int unlink(const NodeRef& parent, const std::string& name) {
    const NodeRef node = find(parent, name);
    if (!node) return ENOENT;
    if (node->is_directory()) return EISDIR;
    parent->entries.erase(name);
    --node->links;
    return 0;
  }

  static int rmdir(const NodeRef& parent, const std::string& name) {
    const NodeRef node = find(parent, name);
    if (!node) return ENOENT;
    if (!node->is_directory()) return ENOTDIR;
    if (!node->entries.empty()) return ENOTEMPTY;
    parent->entries.erase(name);
    --parent->links;
    node->links = 0;
    return 0;
  }

  static int rename(const NodeRef& from, const std::string& from_name, const NodeRef& to,
                    const std::string& to_name, unsigned flags) {
    const NodeRef node = find(from, from_name);
    if (!node) return ENOENT;
    if (to->links == 0) return ENOENT;
    const NodeRef target = find(to, to_name);
    const bool exchange = flags == RENAME_EXCHANGE;
    if (exchange && !target) return ENOENT;
    if (flags == RENAME_NOREPLACE && target) return EEXIST;
    if (node == target) return 0;
    if (node->is_directory() && is_inside(to, node)) return EINVAL;
    if (exchange) {
      if (target->is_directory() && is_inside(from, target)) return EINVAL;
      detach(from, from_name);
      detach(to, to_name);
      attach(from, from_name, target);
      attach(to, to_name, node);
      return 0;
    }
    if (target) {
      if (node->is_directory() && !target->is_directory()) return ENOTDIR;
      if (!node->is_directory() && target->is_directory()) return EISDIR;
      if (!target->entries.empty()) return ENOTEMPTY;
      detach(to, to_name);
      target->links = target->is_directory() ? 0 : target->links - 1;
    }
    detach(from, from_name);
    attach(to, to_name, node);
    return 0;
  }

 private:
  static bool is_inside(NodeRef node, const NodeRef& folder) {
    for (; node; node = node->parent.lock()) {
      if (node == folder) return true;
    }
    return false;
  }
  static void attach(const NodeRef& parent, const std::string& name, const NodeRef& node) {
    parent->entries[name] = node;
    if (!node->is_directory()) return;
    ++parent->links;
    node->parent = parent;
  }
  static void detach(const NodeRef& parent, const std::string& name) {
    if (find(parent, name)->is_directory()) --parent->links;
    parent->entries.erase(name);
  }
};

}  // namespace spillfs::tests
