// SPDX-License-Identifier: Apache-2.0
// Two threads change a number without a lock. ThreadSanitizer has to make it fail.
#include <thread>

int main() {
  int number = 0;
  std::thread other([&number] { ++number; });
  ++number;
  other.join();
  return 0;
}
