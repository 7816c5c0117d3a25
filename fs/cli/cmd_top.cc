// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/shared/terminal.h"
#include "fs/cli/shared/which_mount.h"
#include "fs/cli/views/top_view.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

void show(const Terminal& terminal, const std::string& text, std::ostream& out) {
  if (terminal.is_screen()) {
    terminal.show(fit(text, terminal.size()));
  } else {
    out << text << std::endl;
  }
}

}  // namespace

ExitCode run_top(const TopCommand& command, Streams streams) {
  const auto mountpoint = only_mount(command.mountpoint);
  if (!mountpoint) return report(mountpoint.error(), kExitMountpoint, streams);
  auto before = look_at(*mountpoint);
  if (!before) return report(before.error(), kExitMountpoint, streams);
  const std::chrono::milliseconds interval(static_cast<long>(command.interval * 1000));
  std::string last;  // what the screen showed, for after it
  {
    Terminal terminal;
    std::string text = "spillfs " + escaped(*mountpoint) + "\n";
    if (terminal.is_screen()) show(terminal, text, streams.out);
    for (unsigned shown = 0; command.count == 0 || shown < command.count;) {
      const auto event = terminal.wait(interval);
      if (event == Terminal::Event::kEnd) break;
      if (event == Terminal::Event::kTimeout) {
        auto after = look_at(*mountpoint);
        if (!after) return report(after.error(), kExitMountpoint, streams);
        text = clean_lines(top_view(*mountpoint, *before, *after));
        before = std::move(after);
        ++shown;
      } else if (!terminal.is_screen()) {
        continue;
      }
      show(terminal, text, streams.out);
    }
    if (terminal.is_screen()) last = text;
  }
  streams.out << last << std::flush;
  return kExitSuccess;
}

}  // namespace spillfs::fs
