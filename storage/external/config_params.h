// SPDX-License-Identifier: Apache-2.0
// Params: the "params" of Ray's config, taken one by one; what nobody takes is unknown.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::storage::external {

// Errors are EINVAL and name the param. A null is as if the param were not there.
class Params {
 public:
  // `object` is a JSON object; `whose` stands in messages: "filesystem".
  Params(std::string whose, nlohmann::json object)
      : whose_(std::move(whose)), object_(std::move(object)) {}

  Result<std::optional<std::string>> text(const char* name);
  Result<std::optional<std::int64_t>> integer(const char* name);
  Result<std::optional<double>> number(const char* name);
  Result<std::optional<nlohmann::json>> object(const char* name);
  // The param if it is true or false; other values stay for text().
  std::optional<bool> flag(const char* name);
  // One string or a list of strings, at least one. `missing` and `mistyped` are Ray's messages.
  Result<std::vector<std::string>> texts(const char* name, std::string_view missing,
                                         std::string_view mistyped);
  // Whether all were taken.
  Result<> end() const;

 private:
  std::optional<nlohmann::json> take(const char* name);
  [[nodiscard]] Failure mistyped(const char* name, const char* expected,
                                 Where where = Where::here()) const;

  const std::string whose_;
  nlohmann::json object_;
};

}  // namespace spillfs::storage::external
