// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string_view>

#include "fs/system/signal_set.h"

namespace spillfs::fs {
namespace {

constexpr std::string_view kTakeScreen = "\033[?1049h\033[?25l";  // another screen, no cursor
constexpr std::string_view kGiveScreen = "\033[?25h\033[?1049l";
constexpr std::string_view kHome = "\033[H";
constexpr std::string_view kEndOfLine = "\033[K";
constexpr std::string_view kEndOfScreen = "\033[J";

void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

bool continues_a_letter(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::string fit_line(const std::string& line, std::size_t columns) {
  std::size_t letters = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (continues_a_letter(line[i])) continue;
    if (letters == columns) return line.substr(0, i);
    ++letters;
  }
  return line;
}

}  // namespace

Terminal::Terminal() {
  const sigset_t ours = signal_set({SIGINT, SIGTERM, SIGWINCH});
  ::pthread_sigmask(SIG_BLOCK, &ours, &before_);
  signals_ = Fd(::signalfd(-1, &ours, SFD_CLOEXEC));
  screen_ = ::isatty(STDOUT_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &settings_) == 0;
  if (!screen_) return;
  termios raw = settings_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  put(kTakeScreen);
}

Terminal::~Terminal() {
  if (screen_) {
    put(kGiveScreen);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &settings_);
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Terminal::Size Terminal::size() const {
  winsize found{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0 || found.ws_row == 0 || found.ws_col == 0) {
    return {};
  }
  return {.rows = found.ws_row, .columns = found.ws_col};
}

void Terminal::show(const std::string& text) const {
  std::string out(kHome);
  std::istringstream lines(text);
  const char* before = "";
  for (std::string line; std::getline(lines, line);) {
    out.append(before).append(line).append(kEndOfLine);
    before = "\r\n";
  }
  put(out.append(kEndOfScreen));
}

Terminal::Event Terminal::wait(std::chrono::milliseconds time) {
  std::array<pollfd, 2> events{
      pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0},
      pollfd{.fd = screen_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Event::kTimeout;
    if (::poll(events.data(), events.size(), static_cast<int>(left.count())) <= 0) continue;
    if (events[0].revents != 0) return read_signal();
    if (events[1].revents != 0 && read_key() == Event::kEnd) return Event::kEnd;
  }
}

Terminal::Event Terminal::read_signal() const {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) return Event::kTimeout;
  return info.ssi_signo == SIGWINCH ? Event::kResized : Event::kEnd;
}

// The end of the input ends it, too.
Terminal::Event Terminal::read_key() const {
  char key = 'q';
  if (::read(STDIN_FILENO, &key, 1) <= 0) return Event::kEnd;
  return key == 'q' || key == 'Q' ? Event::kEnd : Event::kTimeout;
}

std::string fit(const std::string& text, Terminal::Size size) {
  std::string out;
  std::istringstream lines(text);
  std::string line;
  for (std::size_t row = 0; row < size.rows && std::getline(lines, line); ++row) {
    out += fit_line(line, size.columns) + '\n';
  }
  return out;
}

}  // namespace spillfs::fs
