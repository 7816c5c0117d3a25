// SPDX-License-Identifier: Apache-2.0
#include "fs/escaped.h"

#include <gtest/gtest.h>

namespace spillfs::tests {
namespace {

using fs::escaped;

TEST(Escaped, WhatIsOrdinaryStaysAsItIs) {
  for (const char* text : {"", "a b'c\"d", "ünï – 日本 – 😀"}) EXPECT_EQ(escaped(text), text);
}

TEST(Escaped, ControlCharactersAndBackslashes) {
  EXPECT_EQ(escaped("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(escaped("\x1b[2J\x7f"), "\\033[2J\\177");
  EXPECT_EQ(escaped("a\\nb"), "a\\\\nb");
  EXPECT_EQ(escaped(std::string_view("\0", 1)), "\\000");
  EXPECT_EQ(escaped("\xc2\x9b"), "\\302\\233") << "a terminal takes it for ESC [";
}

TEST(Escaped, WhatIsNotUtf8) {
  EXPECT_EQ(escaped("\xff"), "\\377");
  EXPECT_EQ(escaped("a\xc3"), "a\\303") << "cut short";
  EXPECT_EQ(escaped("\xc0\xaf"), "\\300\\257") << "longer than it has to be";
  EXPECT_EQ(escaped("\xe0\x80\xaf"), "\\340\\200\\257");
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\355\\240\\200") << "half of a pair";
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), "\\364\\220\\200\\200") << "beyond the last";
  EXPECT_EQ(escaped("\xe6\x97x"), "\\346\\227x");
}

}  // namespace
}  // namespace spillfs::tests
