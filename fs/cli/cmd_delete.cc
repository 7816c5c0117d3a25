// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/commands.h"
#include "fs/cli/shared/external.h"

namespace spillfs::fs {

ExitCode run_delete(const DeleteCommand& command, Streams streams) {
  const auto size = size_of(command.urls);
  if (!size) return report(size.error(), kExitUsage, streams);
  const auto opened = open_storage(command.storage, streams);
  if (opened.storage == nullptr) return opened.code;
  const auto deleted = opened.storage->delete_spilled_objects(command.urls);
  return deleted ? kExitSuccess : report(deleted.error(), kExitExternal, streams);
}

ExitCode run_destroy(const DestroyCommand& command, Streams streams) {
  const auto opened = open_storage(command.storage, streams);
  if (opened.storage == nullptr) return opened.code;
  const auto destroyed = opened.storage->destroy_external_storage();
  return destroyed ? kExitSuccess : report(destroyed.error(), kExitExternal, streams);
}

}  // namespace spillfs::fs
