// SPDX-License-Identifier: Apache-2.0
#include "storage/external/transport_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "storage/external/object_url.h"

namespace spillfs::storage::external {
namespace {

constexpr std::string_view kScheme = "s3://";

Result<> take_numbers(Params& params, S3Parameters& s3) {
  const auto size = SPILLFS_TRY(params.integer("buffer_size"));
  if (size && *size >= 0) s3.buffer_size = static_cast<std::uint64_t>(*size);
  const auto retries = SPILLFS_TRY(params.integer("retries"));
  if (retries && (*retries < 0 || *retries > 100)) {
    return fail(EINVAL, "override_transport_params: retries is from 0 to 100.");
  }
  if (retries) s3.retries = static_cast<unsigned>(*retries);
  const auto timeout = SPILLFS_TRY(params.number("timeout"));
  if (timeout && !(*timeout >= 0.001 && *timeout <= 3600)) {
    return fail(EINVAL, "override_transport_params: timeout is 0.001 up to 3600 seconds.");
  }
  if (timeout) s3.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(*timeout * 1000));
  return {};
}

// As botocore has it: a file of CAs, or whether certificates are verified at all.
Result<> take_verify(Params& params, S3Parameters& s3) {
  if (params.flag("verify").value_or(true)) {
    s3.ca_file = SPILLFS_TRY(params.text("verify")).value_or("");
    return {};
  }
  return fail(EINVAL,
              "override_transport_params: verify can't be false: whoever answers would get the "
              "objects. Give the file (PEM) with the service's CA instead, or use http://.");
}

Result<> take_option(std::string_view name, std::string value, std::string& scheme,
                     S3Parameters& s3) {
  if (name == "region") {
    s3.region = std::move(value);
  } else if (name == "endpoint_override") {
    s3.endpoint = std::move(value);
  } else if (name == "scheme") {
    scheme = std::move(value);
  } else {
    return fail(EINVAL, fmt::format("ray_storage: unknown option {} in the uri.", name));
  }
  return {};
}

}  // namespace

Result<> read_transport_params(Params& params, S3Parameters& s3) {
  auto object = SPILLFS_TRY(params.object("override_transport_params"));
  if (!object) return {};
  Params transport("override_transport_params", *std::move(object));
  for (const auto& [name, field] :
       std::initializer_list<std::pair<const char*, std::string S3Parameters::*>>{
           {"endpoint_url", &S3Parameters::endpoint},
           {"region_name", &S3Parameters::region},
           {"aws_access_key_id", &S3Parameters::access_key},
           {"aws_secret_access_key", &S3Parameters::secret_key},
           {"aws_session_token", &S3Parameters::session_token}}) {
    auto value = SPILLFS_TRY(transport.text(name));
    if (value) s3.*field = *std::move(value);
  }
  SPILLFS_TRY(take_verify(transport, s3));
  const std::string style = SPILLFS_TRY(transport.text("addressing_style"))
                                .value_or(s3.virtual_host ? "virtual" : "path");
  if (style != "virtual" && style != "path") {
    return fail(EINVAL, "override_transport_params: addressing_style is path or virtual.");
  }
  s3.virtual_host = style == "virtual";
  SPILLFS_TRY(take_numbers(transport, s3));
  return transport.end();
}

Result<> take_arrow_options(std::string& uri, S3Parameters& s3) {
  const std::size_t question = std::min(uri.find('?'), uri.size());
  std::string_view rest = std::string_view(uri).substr(std::min(question + 1, uri.size()));
  std::string scheme = "https";
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    SPILLFS_TRY(take_option(pair.substr(0, equals),
                            percent_decoded(pair.substr(std::min(equals + 1, pair.size()))), scheme,
                            s3));
  }
  if (!s3.endpoint.empty() && s3.endpoint.find("://") == std::string::npos) {
    s3.endpoint = scheme + "://" + s3.endpoint;
  }
  std::string place = uri.substr(kScheme.size(), question - kScheme.size());
  const std::size_t at = place.substr(0, place.find('/')).rfind('@');
  if (at != std::string::npos) {
    const std::string_view user = std::string_view(place).substr(0, at);
    const std::size_t colon = std::min(user.find(':'), user.size());
    s3.access_key = percent_decoded(user.substr(0, colon));
    s3.secret_key = percent_decoded(user.substr(std::min(colon + 1, user.size())));
    place.erase(0, at + 1);
  }
  uri = std::string(kScheme) + place;
  return {};
}

}  // namespace spillfs::storage::external
