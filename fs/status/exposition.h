// SPDX-License-Identifier: Apache-2.0
// Exposition: writes metrics in Prometheus' text format, version 0.0.4.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/fuse/latency_histogram.h"

namespace spillfs::fs {

using MetricLabels = std::vector<std::pair<std::string_view, std::string>>;

class Exposition {
 public:
  enum class Type : std::uint8_t { kCounter, kGauge, kHistogram };

  // Every sample has the labels `common`, too.
  explicit Exposition(MetricLabels common = {}) : common_(std::move(common)) {}

  // Begins a metric; its samples follow.
  void family(std::string_view name, Type type, std::string_view help);
  void sample(const MetricLabels& labels, std::uint64_t value);
  void sample(const MetricLabels& labels, double value);
  // In seconds.
  void histogram(const MetricLabels& labels, const LatencyHistogram::Counts& counts);

  // A metric with one sample.
  template <class Value>
  void counter(std::string_view name, std::string_view help, Value value) {
    family(name, Type::kCounter, help);
    sample({}, value);
  }
  template <class Value>
  void gauge(std::string_view name, std::string_view help, Value value) {
    family(name, Type::kGauge, help);
    sample({}, value);
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void line(std::string_view suffix, const MetricLabels& labels, std::string_view value);

  const MetricLabels common_;
  std::string text_;
  std::string name_;
};

}  // namespace spillfs::fs
