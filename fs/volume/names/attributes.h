// SPDX-License-Identifier: Apache-2.0
// Between a Vnode, the index's Inode and struct stat.
#pragma once

#include <sys/stat.h>

#include <ctime>
#include <string>
#include <string_view>

#include "fs/volume/content/vnode.h"
#include "index/index.h"

namespace spillfs::fs {

index::Time current_time();
index::Time to_time(const timespec& time);

// The root of a new store.
index::Inode new_root();

// Whether a directory may have an entry of that name; ENOENT, ENAMETOOLONG, EEXIST or EINVAL.
Result<> check_name(std::string_view name);

// The inode was given this name, its latest.
void rehome(index::Inode& inode, const index::Inode& parent, std::string_view name);

// Sets a Vnode from the index; it is clean afterwards. The caller holds its lock, as for all below.
void fill(Vnode& vnode, index::Inode inode) REQUIRES(vnode.mutex);
// Takes over attributes that have just been committed and keeps unsealed bytes as they are.
void refresh(Vnode& vnode, index::Inode committed) REQUIRES(vnode.mutex);
// The inode as a seal would commit it, location aside.
index::Inode live_inode(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
Attributes stat_of(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
struct stat stat_of(const index::Inode& inode);

// Of open(2)'s flags.
bool may_write(int flags);
// Its bytes are, or will be when it is sealed, in a private segment.
bool is_private(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);

}  // namespace spillfs::fs
