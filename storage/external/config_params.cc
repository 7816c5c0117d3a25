// SPDX-License-Identifier: Apache-2.0
#include "storage/external/config_params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

namespace spillfs::storage::external {

using nlohmann::json;

std::optional<json> Params::take(const char* name) {
  const auto found = object_.find(name);
  if (found == object_.end()) return std::nullopt;
  json value = std::move(*found);
  object_.erase(found);
  if (value.is_null()) return std::nullopt;
  return value;
}

Failure Params::mistyped(const char* name, const char* expected, Where where) const {
  return fail(EINVAL, fmt::format("{}: {} must be {}.", whose_, name, expected), where);
}

Result<std::optional<std::string>> Params::text(const char* name) {
  const auto value = take(name);
  if (!value) return std::optional<std::string>();
  if (!value->is_string()) return mistyped(name, "a string");
  return std::optional(value->get<std::string>());
}

Result<std::optional<std::int64_t>> Params::integer(const char* name) {
  const auto value = take(name);
  if (!value) return std::optional<std::int64_t>();
  const bool too_large = value->is_number_unsigned() &&
                         value->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max();
  if (!value->is_number_integer() || too_large) return mistyped(name, "an integer");
  return std::optional(value->get<std::int64_t>());
}

Result<std::optional<double>> Params::number(const char* name) {
  const auto value = take(name);
  if (!value) return std::optional<double>();
  if (!value->is_number()) return mistyped(name, "a number");
  return std::optional(value->get<double>());
}

Result<std::optional<json>> Params::object(const char* name) {
  auto value = take(name);
  if (value && !value->is_object()) return mistyped(name, "an object");
  return value;
}

std::optional<bool> Params::flag(const char* name) {
  const auto found = object_.find(name);
  if (found == object_.end() || !found->is_boolean()) return std::nullopt;
  return take(name)->get<bool>();
}

Result<std::vector<std::string>> Params::texts(const char* name, std::string_view missing,
                                               std::string_view mistyped) {
  auto value = take(name);
  if (!value) return fail(EINVAL, std::string(missing));
  if (value->is_string()) value = json::array({std::move(*value)});
  if (!value->is_array()) return fail(EINVAL, std::string(mistyped));
  std::vector<std::string> all;
  for (const json& one : *value) {
    if (!one.is_string()) return fail(EINVAL, std::string(mistyped));
    all.push_back(one.get<std::string>());
  }
  if (all.empty()) return fail(EINVAL, fmt::format("{}: {} is an empty list.", whose_, name));
  return all;
}

Result<> Params::end() const {
  if (object_.empty()) return {};
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) names.push_back(name);
  return fail(EINVAL, fmt::format("{}: unknown param {}.", whose_, fmt::join(names, ", ")));
}

}  // namespace spillfs::storage::external
