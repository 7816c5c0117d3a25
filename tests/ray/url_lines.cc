// SPDX-License-Identifier: Apache-2.0
// For url_vectors.py: reads a url as a JSON string per line, writes [base, offset, size], or null
// for what is refused.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "storage/external/object_url.h"

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto url = nlohmann::json::parse(line).get<std::string>();
    const auto parsed = spillfs::storage::external::parse_url_with_offset(url);
    nlohmann::json answer;
    if (parsed) answer = {parsed->base, parsed->offset, parsed->size};
    std::cout << answer.dump() << '\n';
  }
}
