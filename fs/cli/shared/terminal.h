// SPDX-License-Identifier: Apache-2.0
// Terminal: the whole screen for a while, and what is typed meanwhile; as it was when this ends.
// Where standard output or input is no terminal it only waits. One at a time, from one thread.
#pragma once

#include <termios.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>

#include "storage/base/fd.h"

namespace spillfs::fs {

class Terminal {
 public:
  // From here on SIGINT, SIGTERM and SIGWINCH come through wait() alone.
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  [[nodiscard]] bool is_screen() const { return screen_; }
  struct Size {
    std::size_t rows = 24;
    std::size_t columns = 80;
  };
  [[nodiscard]] Size size() const;
  // Replaces what the screen shows; `text` has at most size() lines, each at most so long.
  void show(const std::string& text) const;

  enum class Event : std::uint8_t {
    kTimeout,
    kResized,
    kEnd,  // q, Ctrl-C or SIGTERM
  };
  [[nodiscard]] Event wait(std::chrono::milliseconds time);

 private:
  Event read_signal() const;
  Event read_key() const;

  sigset_t before_{};
  Fd signals_;
  bool screen_ = false;
  termios settings_{};  // before
};

// `text` without what is beyond `size`; letters count, bytes do not.
std::string fit(const std::string& text, Terminal::Size size);

}  // namespace spillfs::fs
