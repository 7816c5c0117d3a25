// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: over its seeds and some thousand mutations of them, the
// same ones each time. The input under way is in TARGET.input, which stays when the target dies.
// usage: TARGET                  seeds and mutations
//        TARGET --write FOLDER   writes the seeds there
//        TARGET FILE…            runs what the files hold
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "storage/base/fd.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

constexpr int kMutations = 4000;
constexpr std::size_t kLongest = 64 * kKiB;

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> corpus) : corpus_(std::move(corpus)) {}

  std::string next() {
    std::string text = any();
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(text);
    text.resize(std::min(text.size(), kLongest));
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return random_() % limit; }
  const std::string& any() { return corpus_[below(corpus_.size())]; }
  static std::string::iterator position(std::string& text, std::size_t at) {
    return text.begin() + static_cast<std::ptrdiff_t>(at);
  }

  std::string piece(const std::string& text) {
    const std::size_t from = below(text.size() + 1);
    return text.substr(from, below(std::min<std::size_t>(text.size() - from, 64) + 1));
  }

  // A number of 1, 2, 4 or 8 bytes of the kind that lengths go wrong with.
  std::string number() {
    constexpr std::uint64_t kOne = 1;
    const std::uint64_t near = (kOne << below(64)) - below(3);
    return std::string(as_text(bytes_of(below(4) == 0 ? ~kOne : near))).substr(0, kOne << below(4));
  }

  void change(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    switch (below(7)) {
      case 0:
        text.insert(at, 1, static_cast<char>(random_()));
        break;
      case 1:
        text.erase(at, 1 + below(16));
        break;
      case 2:
        text.insert(at, piece(any()));
        break;
      case 3:
        text.replace(at, below(16), piece(any()));
        break;
      case 4: {
        const std::string bytes = number();
        text.replace(at, bytes.size(), bytes);
        break;
      }
      case 5:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      default:
        if (below(4) == 0) text.resize(at);
    }
  }

  const std::vector<std::string> corpus_;
  std::mt19937_64 random_{1};
};

void write_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const std::string& seed : seeds())
    std::ofstream(folder / fmt::format("seed{}", number++), std::ios::binary) << seed;
}

void run_corpus(const std::string& input_file) {
  std::vector<std::string> corpus = seeds();
  corpus.emplace_back();
  const Fd kept(::open(input_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const auto run_kept = [&kept](const std::string& input) {
    const auto size = static_cast<ssize_t>(input.size());
    if (::ftruncate(kept.get(), size) != 0 ||
        ::pwrite(kept.get(), input.data(), input.size(), 0) != size) {
      broken("the input can be kept");
    }
    run(input);
  };
  std::for_each(corpus.begin(), corpus.end(), run_kept);
  Mutator mutator(std::move(corpus));
  for (int i = 0; i < kMutations; ++i) run_kept(mutator.next());
  std::filesystem::remove(input_file);
}

}  // namespace
}  // namespace spillfs::fuzz

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  if (arguments.size() == 3 && arguments[1] == "--write") {
    spillfs::fuzz::write_seeds(arguments[2]);
  } else if (arguments.size() > 1) {
    for (std::size_t i = 1; i < arguments.size(); ++i) {
      spillfs::fuzz::run(spillfs::fuzz::read_file(arguments[i]));
    }
  } else {
    spillfs::fuzz::run_corpus(arguments[0] + ".input");
  }
  return 0;
}
