// SPDX-License-Identifier: Apache-2.0
// Extended attributes that spillfs gives files itself (docs/SEMANTICS.md). They can be asked for by
// name and are in no list, so that what copies attributes does not copy them. A copy that has them
// nevertheless, as an earlier version listed some, can be copied back: setting one does nothing.
#pragma once

#include <string_view>

namespace spillfs::fs {

// Where the bytes of a small file are; made when asked for.
inline constexpr std::string_view kUrlXattr = "user.spill.url";
inline constexpr const char* kOwnXattrs = "user.spillfs.";  // what all others begin with
// Of a directory: which process made it (fs/system/process_identity.h), in the index as any xattr.
inline constexpr const char* kCreatorXattr = "user.spillfs.creator";
// Of a file that a runtime does not come back for: why it was never closed by its writer. In the
// index; gone when it is opened for writing, and anybody who may can remove it.
inline constexpr const char* kHalfWrittenXattr = "user.spillfs.half_written";
// How many descriptors have it open; made when asked for.
inline constexpr const char* kOpensXattr = "user.spillfs.opens";

constexpr bool is_own_xattr(std::string_view name) {
  return name == kUrlXattr || name.starts_with(kOwnXattrs);
}

}  // namespace spillfs::fs
