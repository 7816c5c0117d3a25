// SPDX-License-Identifier: Apache-2.0
// Reads one byte behind a block of the heap. AddressSanitizer has to end it.
#include <memory>

int main(int argc, char**) {
  const auto size = static_cast<std::size_t>(argc) + 7;  // the compiler does not know
  const auto block = std::make_unique<char[]>(size);
  const volatile char* bytes = block.get();
  return bytes[size];
}
