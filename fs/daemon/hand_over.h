// SPDX-License-Identifier: Apache-2.0
// What a supervisor hands over to another program that goes on with its mount (`spillfs upgrade`),
// as a worker or in its own place: descriptors, which stay open across exec, and what they are for,
// as JSON in a memfd.
#pragma once

#include <string>
#include <vector>

#include "fs/config/options.h"
#include "fs/daemon/own_mount.h"
#include "fs/system/boot.h"
#include "storage/base/bytes.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct HandOver {
  std::string store;  // path
  std::string mountpoint;
  std::string config_file;  // read again at the next reload; empty: none
  std::vector<GivenOption> options;
  bool background = false;
  std::string program;          // where the next one is looked for
  std::vector<std::byte> init;  // the kernel's INIT, with what was agreed
  Boot boot;                    // empty: of an earlier program
  MountNumbers mount;           // zeros from an earlier program
  int supervisor = 0;           // process ids
  int worker = 0;
  // Descriptors.
  int fuse = -1;
  int staging = -1;
  int open_files = -1;
  int counts = -1;  // memfd of SupervisorCounts
  int lock = -1;    // the store's
  int ready = -1;   // of a worker: where it tells that it serves
};

// A memfd without close-on-exec, which all else has then but standard input and output. EILSEQ when
// a path is not UTF-8.
Result<Fd> write_hand_over(const HandOver& what);
// EPROTO when it is of a version that this program does not know.
Result<HandOver> read_hand_over(int file);

// Lets the descriptors of `what` stay open across exec, or not.
enum class Across : std::uint8_t { kClose, kStay };
Result<> set_across_exec(const HandOver& what, Across across);

}  // namespace spillfs::fs
