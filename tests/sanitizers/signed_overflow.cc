// SPDX-License-Identifier: Apache-2.0
// Adds to the largest int. UndefinedBehaviorSanitizer has to end it.
#include <limits>

int main(int argc, char**) {
  volatile int sum = std::numeric_limits<int>::max();
  sum = sum + argc;
  return 0;
}
