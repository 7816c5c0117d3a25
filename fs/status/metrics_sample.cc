// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_sample.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

namespace spillfs::fs {
namespace {

constexpr const char* kDurations = "spillfs_request_duration_seconds";

// Takes `name="value",…}` off `line`.
MetricsSample::Labels take_labels(std::string_view& line) {
  MetricsSample::Labels labels;
  while (!line.empty() && line.front() != '}') {
    const std::size_t equals = line.find("=\"");
    if (equals == std::string_view::npos) return labels;
    std::string& value = labels[std::string(line.substr(0, equals))];
    std::size_t at = equals + 2;
    for (; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] == '\\' && at + 1 < line.size()) {
        ++at;
        value += line[at] == 'n' ? '\n' : line[at];
      } else {
        value += line[at];
      }
    }
    line.remove_prefix(std::min(at + 1, line.size()));
    if (line.starts_with(',')) line.remove_prefix(1);
  }
  line.remove_prefix(std::min<std::size_t>(1, line.size()));
  return labels;
}

struct Bucket {
  double bound = 0;  // seconds
  double below = 0;  // how many, with those of the buckets before
};

double quantile(double part, const std::vector<Bucket>& buckets) {
  if (buckets.empty() || buckets.back().below <= 0) return 0;
  const double rank = part * buckets.back().below;
  Bucket before;
  for (const Bucket& bucket : buckets) {
    if (bucket.below >= rank) {
      if (std::isinf(bucket.bound)) return before.bound;
      const double share = (rank - before.below) / (bucket.below - before.below);
      return before.bound + (bucket.bound - before.bound) * share;
    }
    before = bucket;
  }
  return before.bound;
}

}  // namespace

MetricsSample MetricsSample::parse(std::string_view text) {
  MetricsSample sample;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t end = line.find_first_of("{ ");
    if (line.starts_with('#') || end == std::string_view::npos) continue;
    Series series;
    series.name = line.substr(0, end);
    const bool labelled = line[end] == '{';
    line.remove_prefix(end + 1);
    if (labelled) series.labels = take_labels(line);
    series.value = std::strtod(std::string(line).c_str(), nullptr);
    sample.series_.push_back(std::move(series));
  }
  return sample;
}

double MetricsSample::value(std::string_view name, const Labels& labels) const {
  double sum = 0;
  for (const Series& series : series_) {
    const bool same =
        series.name == name && std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
          const auto found = series.labels.find(label.first);
          return found != series.labels.end() && found->second == label.second;
        });
    if (same) sum += series.value;
  }
  return sum;
}

std::vector<std::string> MetricsSample::values_of(std::string_view name,
                                                  const std::string& label) const {
  std::set<std::string> found;
  for (const Series& series : series_) {
    const auto at = series.labels.find(label);
    if (series.name == name && at != series.labels.end()) found.insert(at->second);
  }
  return {found.begin(), found.end()};
}

Latency latency_between(const MetricsSample& before, const MetricsSample& after,
                        const std::string& operation) {
  const std::string name(kDurations);
  const auto moved = [&](const std::string& what, MetricsSample::Labels labels) {
    labels["operation"] = operation;
    return after.value(name + what, labels) - before.value(name + what, labels);
  };
  std::vector<Bucket> buckets;
  for (const std::string& bound : after.values_of(name + "_bucket", "le")) {
    buckets.push_back({.bound = bound == "+Inf" ? std::numeric_limits<double>::infinity()
                                                : std::strtod(bound.c_str(), nullptr),
                       .below = moved("_bucket", {{"le", bound}})});
  }
  std::sort(buckets.begin(), buckets.end(),
            [](const Bucket& a, const Bucket& b) { return a.bound < b.bound; });
  using Seconds = std::chrono::duration<double>;
  Latency out{.count = moved("_count", {})};
  if (out.count <= 0) return {};
  out.mean = Seconds(moved("_sum", {}) / out.count);
  out.p50 = Seconds(quantile(0.5, buckets));
  out.p99 = Seconds(quantile(0.99, buckets));
  return out;
}

}  // namespace spillfs::fs
