// SPDX-License-Identifier: Apache-2.0
// The two ways in which Ray's configs say how to reach S3.
#pragma once

#include <string>

#include "storage/base/result.h"
#include "storage/external/config_params.h"
#include "storage/external/object_uri.h"

namespace spillfs::storage::external {

// Takes "override_transport_params", a flat object: endpoint_url, region_name, aws_access_key_id,
// aws_secret_access_key, aws_session_token, verify (a file of CA certificates), addressing_style
// ("path" or "virtual"), buffer_size (bytes), retries, timeout (seconds). EINVAL names the param.
Result<> read_transport_params(Params& params, S3Parameters& s3);

// Takes the credentials and options of pyarrow's uris off `uri`:
// "s3://key:secret@bucket/prefix?region=…&scheme=http&endpoint_override=host:port". EINVAL names
// the option.
Result<> take_arrow_options(std::string& uri, S3Parameters& s3);

}  // namespace spillfs::storage::external
