// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/streams.h"

#include <ostream>

#include "storage/base/escaped.h"

namespace spillfs::fs {

void complain(std::ostream& err, std::string_view sentence) {
  err << "spillfs: " << one_line(sentence) << '\n';
}

ExitCode report(const Error& error, ExitCode code, Streams streams) {
  complain(streams.err, error.context);
  return code;
}

}  // namespace spillfs::fs
