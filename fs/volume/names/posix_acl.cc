// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/posix_acl.h"

#include <algorithm>
#include <cstddef>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kNoId = ~std::uint32_t{0};
constexpr std::uint16_t kAll = 07;
constexpr unsigned kUserShift = 6;
constexpr unsigned kGroupShift = 3;

// As it is in the value, little-endian.
struct RawEntry {
  std::uint16_t tag;
  std::uint16_t permissions;
  std::uint32_t id;
};
static_assert(sizeof(RawEntry) == 8 && offsetof(RawEntry, id) == 4);

Failure not_valid() { return fail(EINVAL, "not a valid ACL"); }

}  // namespace

Result<PosixAcl> PosixAcl::parse(std::string_view value) {
  std::uint32_t version = 0;
  if (value.size() < sizeof(version)) return not_valid();
  version = load<std::uint32_t>(as_bytes(value));
  value.remove_prefix(sizeof(version));
  if (version != kVersion || value.size() % sizeof(RawEntry) != 0) return not_valid();
  PosixAcl acl;
  for (; !value.empty(); value.remove_prefix(sizeof(RawEntry))) {
    acl.entries_.push_back(SPILLFS_TRY(parse_entry(value.substr(0, sizeof(RawEntry)))));
  }
  if (!acl.is_valid()) return not_valid();
  return acl;
}

Result<PosixAcl::Entry> PosixAcl::parse_entry(std::string_view bytes) {
  const auto raw = load<RawEntry>(as_bytes(bytes));
  const Entry entry{.tag = Tag{raw.tag}, .permissions = raw.permissions, .id = raw.id};
  if (entry.permissions > kAll) return not_valid();
  switch (entry.tag) {
    case Tag::kUser:
    case Tag::kGroup:
      if (entry.id == kNoId) return not_valid();
      return entry;
    case Tag::kUserObject:
    case Tag::kGroupObject:
    case Tag::kMask:
    case Tag::kOther:
      return Entry{.tag = entry.tag, .permissions = entry.permissions, .id = kNoId};
  }
  return not_valid();
}

// As the kernel has it: the three of a mode once each, at most one mask, which has to be there
// where users or groups are named, and all in the order of their tags.
bool PosixAcl::is_valid() const {
  const auto names = [](Tag tag) { return tag == Tag::kUser || tag == Tag::kGroup; };
  const auto wrong = [&](const Entry& a, const Entry& b) {
    return a.tag > b.tag || (a.tag == b.tag && !names(a.tag));
  };
  if (std::adjacent_find(entries_.begin(), entries_.end(), wrong) != entries_.end()) return false;
  const bool has_mode = find(Tag::kUserObject) != nullptr && find(Tag::kGroupObject) != nullptr &&
                        find(Tag::kOther) != nullptr;
  return has_mode && (find(Tag::kMask) != nullptr || is_only_mode());
}

std::string PosixAcl::encode() const {
  std::string value(as_text(bytes_of(kVersion)));
  for (const Entry& entry : entries_) {
    const RawEntry raw{.tag = static_cast<std::uint16_t>(entry.tag),
                       .permissions = entry.permissions,
                       .id = entry.id};
    value += as_text(bytes_of(raw));
  }
  return value;
}

bool PosixAcl::is_only_mode() const {
  return find(Tag::kMask) == nullptr && find(Tag::kUser) == nullptr && find(Tag::kGroup) == nullptr;
}

std::uint32_t PosixAcl::permissions() const {
  return permissions_of(Tag::kUserObject) << kUserShift |
         permissions_of(group_class()) << kGroupShift | permissions_of(Tag::kOther);
}

std::uint32_t PosixAcl::permissions_without() const {
  const std::uint32_t group = kAll & ~permissions_of(Tag::kGroupObject);
  return permissions() & ~(group << kGroupShift);
}

void PosixAcl::set_permissions(std::uint32_t mode) {
  change(Tag::kUserObject, mode >> kUserShift);
  change(group_class(), mode >> kGroupShift);
  change(Tag::kOther, mode);
}

void PosixAcl::keep_permissions(std::uint32_t mode) { set_permissions(permissions() & mode); }

const PosixAcl::Entry* PosixAcl::find(Tag tag) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [tag](const Entry& entry) { return entry.tag == tag; });
  return found == entries_.end() ? nullptr : &*found;
}

std::uint32_t PosixAcl::permissions_of(Tag tag) const {
  const Entry* found = find(tag);
  return found == nullptr ? 0 : found->permissions;
}

PosixAcl::Tag PosixAcl::group_class() const {
  return find(Tag::kMask) != nullptr ? Tag::kMask : Tag::kGroupObject;
}

void PosixAcl::change(Tag tag, std::uint32_t permissions) {
  for (Entry& entry : entries_) {
    if (entry.tag == tag) entry.permissions = permissions & kAll;
  }
}

}  // namespace spillfs::fs
