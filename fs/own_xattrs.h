// SPDX-License-Identifier: Apache-2.0
// Extended attributes that spillfs gives files itself (docs/SEMANTICS.md). Nobody sets them, and no
// list has them, so that what copies attributes does not fail over them.
#pragma once

namespace spillfs::fs {

inline constexpr const char* kOwnXattrs = "user.spillfs.";  // what all of them begin with
// Of a directory: which process made it (fs/process_identity.h), in the index as any xattr.
inline constexpr const char* kCreatorXattr = "user.spillfs.creator";
// Of a file that a runtime does not come back for: why it was never closed by its writer. In the
// index; gone when it is opened for writing, and anybody who may can remove it.
inline constexpr const char* kHalfWrittenXattr = "user.spillfs.half_written";
// How many descriptors have it open; made when asked for.
inline constexpr const char* kOpensXattr = "user.spillfs.opens";

}  // namespace spillfs::fs
