// SPDX-License-Identifier: Apache-2.0
#include "storage/base/escaped.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

namespace spillfs {
namespace {

using namespace std::string_view_literals;

TEST(EscapedTest, LeavesWhatPeopleCanReadAsItIs) {
  for (const std::string_view text :
       {""sv, "/mnt/spill/a file, (1).txt"sv, "Größe"sv, "溢出"sv, "\U0001F4BE"sv, "'\"{}%"sv}) {
    EXPECT_EQ(escaped(text), text);
    EXPECT_EQ(one_line(text), text);
  }
}

TEST(EscapedTest, WritesControlCharactersAsLsDoes) {
  EXPECT_EQ(escaped("a\nb"), R"(a\nb)");
  EXPECT_EQ(escaped("\a\b\t\n\v\f\r"), R"(\a\b\t\n\v\f\r)");
  EXPECT_EQ(escaped("\0\x1b[2J\x7f"sv), R"(\000\033[2J\177)");
  EXPECT_EQ(escaped("\u0085\u009b"), R"(\302\205\302\233)");  // C1
}

TEST(EscapedTest, LetsNoByteThrough) {
  for (int value = 0; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    const bool plain = value >= 0x20 && value < 0x7f;
    EXPECT_EQ(one_line({&byte, 1}) == std::string(1, byte), plain) << value;
  }
}

TEST(EscapedTest, EscapesWhatIsNotUtf8) {
  EXPECT_EQ(escaped("\x80"), R"(\200)");
  EXPECT_EQ(escaped("a\xc3"), R"(a\303)");        // ends early
  EXPECT_EQ(escaped("\xc3\n"), R"(\303\n)");      // takes no line break with it
  EXPECT_EQ(escaped("\xc0\x8a"), R"(\300\212)");  // a line break in two bytes
  EXPECT_EQ(escaped("\xe0\x80\x8a"), R"(\340\200\212)");
  EXPECT_EQ(escaped("\xf0\x80\x80\x8a"), R"(\360\200\200\212)");
  EXPECT_EQ(escaped("\xed\xa0\x80"), R"(\355\240\200)");          // a surrogate
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), R"(\364\220\200\200)");  // beyond U+10FFFF
  EXPECT_EQ(escaped("\xff\xc3\xa4"), "\\377\u00e4");              // and goes on behind it
}

TEST(EscapedTest, EscapesWhatMovesOtherText) {
  for (const std::string_view text :
       {"\u2028"sv, "\u2029"sv, "\u202e"sv, "\u2066"sv, "\u200f"sv, "\u061c"sv}) {
    EXPECT_EQ(escaped(text)[0], '\\') << one_line(text);
  }
  EXPECT_EQ(escaped("\u202e"), R"(\342\200\256)");
}

TEST(EscapedTest, TellsABackslashFromAnEscape) {
  EXPECT_EQ(escaped(R"(a\nb)"), R"(a\\nb)");
  EXPECT_NE(escaped(R"(a\nb)"), escaped("a\nb"));
}

TEST(OneLineTest, EscapesNothingTwice) {
  for (const std::string_view text : {"a\nb"sv, R"(a\nb)"sv, "\\\xff\\"sv}) {
    EXPECT_EQ(one_line(escaped(text)), escaped(text));
  }
}

TEST(OneLineTest, LeavesBackslashes) { EXPECT_EQ(one_line("a\\040\nb"), R"(a\040\nb)"); }

TEST(CleanLinesTest, KeepsLineBreaksAlone) {
  EXPECT_EQ(clean_lines(""), "");
  EXPECT_EQ(clean_lines("a\x1b[1m\nb"), "a\\033[1m\nb");
  EXPECT_EQ(clean_lines("\n\na\t\n"), "\n\na\\t\n");
}

}  // namespace
}  // namespace spillfs
