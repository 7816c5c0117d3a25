// SPDX-License-Identifier: Apache-2.0
// The lines that lead to an S3-compatible service and come from it: credentials files, endpoints,
// uris, headers, encodings.
#include "storage/external/http_client.h"
#include "storage/external/object_url.h"
#include "storage/external/s3_encoding.h"
#include "storage/external/s3_object_store.h"
#include "storage/external/s3_reader.h"
#include "storage/external/s3_settings.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using namespace storage::external;  // NOLINT

void check_headers(const std::string& text) {
  const auto range = parse_content_range(text);
  if (range && !(range->first <= range->last && range->last < range->size)) {
    broken("a range is inside of what it is a range of");
  }
  parse_http_date(text);
}

void check_places(const std::string& text) {
  const auto endpoint = parse_endpoint(text);
  if (accepted(endpoint, EINVAL) && endpoint->authority.empty()) broken("an endpoint has a host");
  const auto uri = parse_s3_uri(text);
  if (accepted(uri, EINVAL) && *uri && (*uri)->bucket.empty()) broken("a uri has a bucket");
}

void check_encodings(const std::string& text) {
  require_equal(percent_decoded(encode_path(text)), text, "a path comes back as it was");
  require_equal(decode_listed(encode_component(text)), text, "a listed key comes back as it was");
  decode_listed(text);
}

// A value has no line ends, and no blanks around it.
void check_profile(const std::string& text) {
  for (const std::string& value : {parse_profile(text, "default").credentials.secret_key,
                                   parse_profile(text, "other").region}) {
    if (value.find('\n') != std::string::npos || value.starts_with(' ') || value.ends_with('\r')) {
      broken("a value is the text of one line");
    }
  }
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      "[default]\r\naws_access_key_id = k\r\naws_secret_access_key=s/t+u=\r\n# c\n[other]\n"
      "region=eu-1\naws_session_token\n;\n[]\n[",
      "bytes 5-9/20",
      "Fri, 24 May 2013 00:00:00 GMT",
      "http://[::1]:9000/base/",
      "s3://my.bucket-1/a/b c//",
      "a%2Fb+c%2Bd%zz%4"};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(spillfs::fuzz::text_of(data, size));
  spillfs::fuzz::check_headers(text);
  spillfs::fuzz::check_places(text);
  spillfs::fuzz::check_encodings(text);
  spillfs::fuzz::check_profile(text);
  return 0;
}
