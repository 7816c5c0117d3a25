// SPDX-License-Identifier: Apache-2.0
#include "fs/status/exposition.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

namespace spillfs::fs {
namespace {

constexpr std::array<std::string_view, 3> kTypeNames{"counter", "gauge", "histogram"};

std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

double seconds(LatencyHistogram::Duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

void Exposition::family(std::string_view name, Type type, std::string_view help) {
  name_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(help, "\\"), name,
                       kTypeNames.at(static_cast<std::size_t>(type)));
}

void Exposition::sample(const MetricLabels& labels, std::uint64_t value) {
  line("", labels, fmt::format("{}", value));
}

void Exposition::sample(const MetricLabels& labels, double value) {
  line("", labels, fmt::format("{}", value));
}

void Exposition::histogram(const MetricLabels& labels, const LatencyHistogram::Counts& counts) {
  std::uint64_t below = 0;
  MetricLabels with_bound = labels;
  with_bound.emplace_back("le", "");
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    const bool last = i == LatencyHistogram::kBounds.size();
    below += counts.buckets.at(i);
    with_bound.back().second =
        last ? "+Inf" : fmt::format("{}", seconds(LatencyHistogram::kBounds.at(i)));
    line("_bucket", with_bound, fmt::format("{}", below));
  }
  line("_sum", labels, fmt::format("{}", seconds(counts.sum)));
  line("_count", labels, fmt::format("{}", below));
}

void Exposition::line(std::string_view suffix, const MetricLabels& labels, std::string_view value) {
  text_ += fmt::format("{}{}", name_, suffix);
  char before = '{';
  for (const MetricLabels* some : {&common_, &labels}) {
    for (const auto& [name, text] : *some) {
      text_ += fmt::format("{}{}=\"{}\"", before, name, escaped(text, "\\\""));
      before = ',';
    }
  }
  if (before == ',') text_ += '}';
  text_ += fmt::format(" {}\n", value);
}

}  // namespace spillfs::fs
