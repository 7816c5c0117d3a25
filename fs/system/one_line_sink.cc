// SPDX-License-Identifier: Apache-2.0
#include "fs/system/one_line_sink.h"

#include <string>

#include "storage/base/escaped.h"

namespace spillfs::fs {

void OneLineSink::log(const spdlog::details::log_msg& message) {
  const std::string text = one_line({message.payload.data(), message.payload.size()});
  spdlog::details::log_msg clean = message;
  clean.payload = text;
  next_->log(clean);
}

}  // namespace spillfs::fs
