// SPDX-License-Identifier: Apache-2.0
// store.json. An input is the file's text, and a list of data directories, a line each.
#include "fs/store/store.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

void check_reading(std::string_view text) {
  const auto parsed = fs::parse_store_file(text);
  if (!parsed && parsed.error().code == EPROTO) return;  // a newer version's
  if (!accepted(parsed, EBADMSG)) return;
  const std::string again = must(fs::format_store_file(*parsed), "what was parsed can be written");
  require_equal(must(fs::parse_store_file(again), "what is written parses"), *parsed,
                "a store file comes back as it was");
}

void check_writing(std::string_view lines) {
  fs::StoreFile file{.id = {std::byte{1}}, .directories = {}};
  do {
    const auto [line, rest] = split(lines, '\n');
    file.directories.emplace_back(line);
    lines = rest;
  } while (!lines.empty());
  const auto text = fs::format_store_file(file);
  if (!accepted(text, EINVAL)) return;
  require_equal(must(fs::parse_store_file(*text), "what is written parses"), file,
                "directories come back as they were");
}

}  // namespace

std::vector<std::string> seeds() {
  return {must(fs::format_store_file({.id = {std::byte{0xab}}, .directories = {".", "/größe"}}),
               "a seed"),
          R"({"format_version":1,"uuid":"000102030405060708090A0b0c0d0e0f",
              "data_directories":["/a"],"more":null})",
          R"({"format_version":3})", "/a\n/b c\n/not utf-8 \xff"};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillfs::fuzz::check_reading(spillfs::fuzz::text_of(data, size));
  spillfs::fuzz::check_writing(spillfs::fuzz::text_of(data, size));
  return 0;
}
