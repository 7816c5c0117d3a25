// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <random>

#include "fs/cli/commands.h"
#include "fs/cli/shared/external.h"
#include "fs/volume/content/mapped_file.h"

namespace spillfs::fs {
namespace {

using storage::external::SpillObject;

// As Ray's: 28 bytes.
std::string random_ref() {
  std::random_device random;
  std::string ref;
  for (int word = 0; word < 7; ++word) ref += fmt::format("{:08x}", random());
  return ref;
}

Result<std::vector<MappedFile>> map_all(const std::vector<std::string>& paths) {
  if (std::count(paths.begin(), paths.end(), "-") > 1) {
    return fail(EINVAL, "standard input can be read once only");
  }
  std::vector<MappedFile> files;
  files.reserve(paths.size());
  for (const std::string& path : paths) files.push_back(SPILLFS_TRY(MappedFile::open(path)));
  return files;
}

void print(const std::vector<std::string>& urls, const SpillCommand& command, Streams streams) {
  if (command.json) {
    const nlohmann::json document{{"urls", urls}};
    streams.out << document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    return;
  }
  for (const std::string& url : urls) streams.out << url << '\n';
}

}  // namespace

ExitCode run_spill(const SpillCommand& command, Streams streams) {
  const auto files = map_all(command.files);
  if (!files) {
    return report(files.error(), files.error().code == EINVAL ? kExitUsage : kExitSystem, streams);
  }
  std::vector<SpillObject> objects;
  std::uint64_t total = 0;
  for (const MappedFile& file : *files) {
    objects.push_back({.ref = random_ref(),
                       .owner_address = command.owner_address,
                       .metadata = command.metadata,
                       .buffer = file.bytes()});
    total += file.bytes().size();
  }
  const Interruption interruption;
  Progress progress(streams.err, "spilled", total);
  const auto written = [&](std::uint64_t bytes) -> Result<> {
    if (command.progress) progress.add(bytes);
    return Interruption::check();
  };
  const auto opened = open_storage(command.storage, streams, {.written = written});
  if (opened.storage == nullptr) return opened.code;
  const auto urls = opened.storage->spill_objects(objects);
  if (!urls) return report(urls.error(), kExitExternal, streams);
  print(*urls, command, streams);
  if (urls->size() == objects.size()) return kExitSuccess;
  return report(
      {.code = EIO,
       .context = fmt::format("only {} of {} objects were spilled", urls->size(), objects.size()),
       .where = {}},
      kExitExternal, streams);
}

}  // namespace spillfs::fs
