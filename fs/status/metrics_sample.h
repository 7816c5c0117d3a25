// SPDX-License-Identifier: Apache-2.0
// MetricsSample: metrics as .spillfs/metrics tells them, read back.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

class MetricsSample {
 public:
  using Labels = std::map<std::string, std::string>;

  // Of Prometheus' text format; lines that are not are left out.
  static MetricsSample parse(std::string_view text);

  // The sum of the series of this name that have these labels, and maybe others.
  [[nodiscard]] double value(std::string_view name, const Labels& labels = {}) const;
  // The values that `label` takes in the series of this name, in order.
  [[nodiscard]] std::vector<std::string> values_of(std::string_view name,
                                                   const std::string& label) const;
  [[nodiscard]] bool empty() const { return series_.empty(); }

 private:
  struct Series {
    std::string name;
    Labels labels;
    double value = 0;
  };
  std::vector<Series> series_;
};

// What happened to a latency histogram between two samples.
struct Latency {
  double count = 0;
  std::chrono::duration<double> mean{0}, p50{0}, p99{0};  // 0 of nothing
};
// Quantiles are guessed inside their bucket, as Prometheus' histogram_quantile() does.
Latency latency_between(const MetricsSample& before, const MetricsSample& after,
                        const std::string& operation);

}  // namespace spillfs::fs
