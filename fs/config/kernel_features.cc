// SPDX-License-Identifier: Apache-2.0
#include "fs/config/kernel_features.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace spillfs::fs {

FeatureSet FeatureSet::complement() const {
  FeatureSet rest;
  rest.bits_ = ~bits_ & ((1U << kFeatureNames.size()) - 1);
  return rest;
}

Result<FeatureSet> parse_features(std::string_view text) {
  FeatureSet features;
  if (text == "none") return features;
  if (text == "all") return features.complement();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    const auto name = text.substr(at, end - at);
    const auto found = std::find(kFeatureNames.begin(), kFeatureNames.end(), name);
    if (found == kFeatureNames.end()) {
      return fail(EINVAL, fmt::format("'{}' is none of all, none, {}", name,
                                      fmt::join(kFeatureNames, ", ")));
    }
    features.add(static_cast<Feature>(found - kFeatureNames.begin()));
    at = end + 1;
  }
  return features;
}

std::string format_features(FeatureSet features, std::string_view separator) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < kFeatureNames.size(); ++i) {
    if (features.has(static_cast<Feature>(i))) names.push_back(kFeatureNames.at(i));
  }
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, separator));
}

}  // namespace spillfs::fs
