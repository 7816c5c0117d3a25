// SPDX-License-Identifier: Apache-2.0
// The one error type. `code` is an errno; `context` says what was being done, for the log and for
// people; `where` is the line that noticed. A failed call leaves its arguments as they were.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace spillfs {

// A line of the source. (std::source_location is unknown to clang 14, which checks this code.)
struct Where {
  const char* file = "";
  unsigned line = 0;

  static constexpr Where here(const char* in_file = __builtin_FILE(),
                              unsigned at_line = __builtin_LINE()) {
    return {.file = in_file, .line = at_line};
  }
};

struct [[nodiscard]] Error {
  int code = EIO;
  std::string context;
  Where where;
};

template <class T = void>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

// fail(ENOENT, "no such name"): the failing arm of every Result.
inline Failure fail(int code, std::string context = {}, Where where = Where::here()) {
  return Failure(Error{.code = code, .context = std::move(context), .where = where});
}

// As fail(), with the meaning of `code` appended: "open segments/7.fused: No such file".
Failure fail_errno(int code, const std::string& doing, Where where = Where::here());

// The value of a Result that has one; for SPILLFS_TRY.
template <class T>
T take(Result<T>&& result) {
  return *std::move(result);
}
inline void take(Result<>&&) {}

// The value, or nothing where the error is `absent`; any other error stays one.
template <class T>
Result<std::optional<T>> if_any(Result<T>&& result, int absent = ENOENT) {
  if (result) return std::optional<T>(*std::move(result));
  if (result.error().code == absent) return std::optional<T>();
  return Failure(std::move(result).error());
}

// "write segments/7.private: Input/output error [file_device.cc:41]", for a log line.
std::string describe(const Error& error);

}  // namespace spillfs

// Evaluates to the value of a Result, or returns its error from the enclosing function. Not nested,
// and not behind an element with a destructor in one {} list: GCC forgets that one on the way out.
#define SPILLFS_TRY(expression)                                                        \
  ({                                                                                   \
    auto spillfs_result = (expression);                                                \
    if (!spillfs_result) return ::spillfs::Failure(std::move(spillfs_result).error()); \
    ::spillfs::take(std::move(spillfs_result));                                        \
  })
