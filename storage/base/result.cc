// SPDX-License-Identifier: Apache-2.0
#include "storage/base/result.h"

#include <fmt/format.h>

#include <cstring>
#include <string_view>
#include <system_error>

namespace spillfs {

Failure fail_errno(int code, const std::string& doing, Where where) {
  return fail(code, fmt::format("{}: {}", doing, std::generic_category().message(code)), where);
}

std::string describe(const Error& error) {
  std::string_view file = error.where.file;
  if (auto slash = file.rfind('/'); slash != std::string_view::npos) file.remove_prefix(slash + 1);
  const std::string meaning =
      error.context.empty() ? std::generic_category().message(error.code) : error.context;
  return fmt::format("{} [{}:{}]", meaning, file, error.where.line);
}

}  // namespace spillfs
