// SPDX-License-Identifier: Apache-2.0
// Forgets blocks of the heap. LeakSanitizer has to make it fail.
#include <cstdlib>

int main() {
  void* volatile block = nullptr;
  for (int i = 0; i < 10; ++i) block = std::malloc(1000);  // the last may still be in a register
  block = nullptr;
  return block == nullptr ? 0 : 1;
}
