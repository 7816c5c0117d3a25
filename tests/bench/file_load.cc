// SPDX-License-Identifier: Apache-2.0
// file_load DIRECTORY SIZE COUNT THREADS PHASE...: many small files. Phases: create (with write and
// close), read (with open and close), list, stat, unlink. Prints the seconds each took, as a JSON
// list. Every thread has a directory of its own; COUNT is the files of all of them.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

struct Load {
  std::string directory;
  std::size_t size = 0;
  std::size_t count = 0;
  std::size_t threads = 1;
};

template <class Value>
Value check(Value value, const std::string& path) {
  if (value < 0) throw std::system_error(errno, std::generic_category(), path);
  return value;
}

void create(const std::string& path, std::vector<char>& buffer) {
  const int file = check(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644), path);
  if (check(::write(file, buffer.data(), buffer.size()), path) !=
      static_cast<ssize_t>(buffer.size())) {
    throw std::runtime_error("short write: " + path);
  }
  check(::close(file), path);
}

void read(const std::string& path, std::vector<char>& buffer) {
  const int file = check(::open(path.c_str(), O_RDONLY), path);
  std::size_t done = 0;
  while (done < buffer.size()) {
    const auto got = check(::read(file, buffer.data() + done, buffer.size() - done), path);
    if (got == 0) throw std::runtime_error("short read: " + path);
    done += static_cast<std::size_t>(got);
  }
  check(::close(file), path);
}

void list(const std::string& directory) {
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) check(-1, directory);
  while (::readdir(stream) != nullptr) {
  }
  ::closedir(stream);
}

void run_thread(const Load& load, std::size_t number, const std::string& phase) {
  const std::string directory = load.directory + "/" + std::to_string(number);
  std::vector<char> buffer(load.size, static_cast<char>('a' + number % 26));
  if (phase == "list") return list(directory);
  if (phase == "create") check(::mkdir(directory.c_str(), 0755), directory);
  for (std::size_t i = number; i < load.count; i += load.threads) {
    const std::string path = directory + "/" + std::to_string(i);
    struct stat found {};
    if (phase == "create") create(path, buffer);
    if (phase == "read") read(path, buffer);
    if (phase == "stat") check(::stat(path.c_str(), &found), path);
    if (phase == "unlink") check(::unlink(path.c_str()), path);
  }
  if (phase == "unlink") check(::rmdir(directory.c_str()), directory);
}

double seconds_of(const Load& load, const std::string& phase) {
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < load.threads; ++i) {
      threads.emplace_back([&load, &phase, i] {
        try {
          run_thread(load, i, phase);
        } catch (const std::exception& error) {
          std::fprintf(stderr, "file_load: %s: %s\n", phase.c_str(), error.what());
          std::_Exit(1);
        }
      });
    }
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  if (argc < 6) {
    std::fputs("usage: file_load DIRECTORY SIZE COUNT THREADS PHASE...\n", stderr);
    return 2;
  }
  const Load load{.directory = words[1],
                  .size = std::stoull(words[2]),
                  .count = std::stoull(words[3]),
                  .threads = std::stoull(words[4])};
  std::string times;
  for (std::size_t i = 5; i < words.size(); ++i) {
    times += (times.empty() ? "" : ", ") + std::to_string(seconds_of(load, words[i]));
  }
  std::printf("[%s]\n", times.c_str());
  return 0;
}
