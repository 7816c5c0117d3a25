// SPDX-License-Identifier: Apache-2.0
// What every fuzz target has. A target is one file that defines LLVMFuzzerTestOneInput and seeds();
// corpus_main.cc runs it in ctest, scripts/fuzz with libFuzzer. A broken property ends the program,
// as a sanitizer does.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

// libFuzzer's name. Any bytes are fine; returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace spillfs::fuzz {

// Inputs to start from: what the encoders make, and whatever was found once.
std::vector<std::string> seeds();

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The text's part before the first `separator` and the one behind it; nothing is behind none.
inline std::pair<std::string_view, std::string_view> split(std::string_view text, char separator) {
  const std::size_t at = std::min(text.find(separator), text.size());
  return {text.substr(0, at), text.substr(std::min(at + 1, text.size()))};
}

[[noreturn]] inline void broken(std::string_view property) {
  fmt::print(stderr, "broken property: {}\n", property);
  std::abort();
}

template <class A, class B>
void require_equal(const A& a, const B& b, std::string_view property) {
  if (!(a == b)) broken(property);
}

// Whether there is a value; an error has to be `code` and to say something.
template <class T>
bool accepted(const Result<T>& result, int code) {
  if (result) return true;
  require_equal(result.error().code, code, "the error's code is the documented one");
  if (result.error().context.empty()) broken("an error says what is wrong");
  return false;
}

// The value of what has to have one.
template <class T>
T must(Result<T> result, std::string_view property) {
  if (!result) broken(fmt::format("{}: {}", property, describe(result.error())));
  return take(std::move(result));
}

}  // namespace spillfs::fuzz
