// SPDX-License-Identifier: Apache-2.0
// What runtimes leave behind: by which names, and what shows that nobody will come back for it.
// docs/CLI.md, "What nobody will come back for", has the same table for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <regex>
#include <string>
#include <string_view>

#include "fs/system/process_identity.h"

namespace spillfs::fs {

// A directory that belongs to one life of a runtime: the next has another.
struct RuntimeDirectory {
  std::string runtime;
  std::regex parent;  // of the name of the directory it is in
  std::regex name;
  // The name of the process whose end is the runtime's: the outermost of those that made the
  // directory or started who did. Nothing: it is the one that made the directory, alone.
  std::optional<std::regex> owner;
  std::string lock;  // what a file beside the directory is called more, that goes with it
  // For a name that others might give as well: what all that is in it is called.
  std::optional<std::regex> contents = std::nullopt;
  enum class Named : std::uint8_t { kByName, kByNumber } named = Named::kByName;
};
// `parent` is the name of the directory it is in; empty for the mount's root.
const RuntimeDirectory* runtime_directory(std::string_view parent, std::string_view name);

// Whether a directory of this name can be its maker's: where the number of the process is its name.
bool is_named_by(const RuntimeDirectory& directory, std::string_view name, const Creator& creator);

// The processes that have to be gone: from the one that made the directory to the runtime's.
// Nothing when the runtime's is not among those known.
std::optional<std::size_t> owners(const RuntimeDirectory& directory, const Creator& creator);

// The runtime whose files of this name, in a directory of that one, are of no use to anybody when
// their writer did not get to close them; empty: no runtime's.
std::string_view writes_whole_files(std::string_view directory, std::string_view name);

}  // namespace spillfs::fs
