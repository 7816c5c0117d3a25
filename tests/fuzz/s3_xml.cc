// SPDX-License-Identifier: Apache-2.0
// The documents that an S3-compatible service sends, and those that are sent to it.
#include "storage/external/s3_xml.h"

#include <array>
#include <pugixml.hpp>

#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using storage::external::S3Error;

void check_reading(std::string_view xml) {
  const int documents =
      static_cast<int>(storage::external::parse_error(xml).has_value()) +
      static_cast<int>(accepted(storage::external::parse_listing(xml), EIO)) +
      static_cast<int>(accepted(storage::external::parse_uploads(xml), EIO)) +
      static_cast<int>(accepted(storage::external::parse_upload_id(xml), EIO)) +
      static_cast<int>(accepted(storage::external::parse_delete_result(xml), EIO));
  if (documents > 1) broken("a document is of one kind");
}

// A key that may stand in a document is what a reader of it sees.
void check_writing(std::string_view text) {
  const std::array keys{std::string(text), std::string("last")};
  const std::string xml = storage::external::delete_document(keys);
  if (!storage::external::fits_xml(text)) return;
  pugi::xml_document document;
  constexpr unsigned kAsItIs = pugi::parse_full | pugi::parse_ws_pcdata;
  if (!document.load_buffer(xml.data(), xml.size(), kAsItIs)) broken("what is written is XML");
  std::size_t at = 0;
  for (const pugi::xml_node& object : document.document_element().children("Object")) {
    if (at == keys.size()) broken("no object is added");
    require_equal(std::string(object.child_value("Key")), keys[at++], "a key is written as it is");
  }
  require_equal(at, keys.size(), "every key is written");
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>a &apos;b&apos; &#x42;"
      "</Message><Region>eu-1</Region></Error>",
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Contents><Key>a%2Fb"
      "</Key></Contents><Contents><Key>c+d%</Key></Contents></ListBucketResult>",
      "<ListMultipartUploadsResult><NextKeyMarker>k%20</NextKeyMarker><IsTruncated>true"
      "</IsTruncated><Upload><Key>a</Key><UploadId>1</UploadId></Upload>"
      "</ListMultipartUploadsResult>",
      "<!DOCTYPE x [<!ENTITY a \"b\">]><InitiateMultipartUploadResult><UploadId><![CDATA[x]]>"
      "</UploadId></InitiateMultipartUploadResult>",
      "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>",
      "a key: größe/雪 ]]> &amp; <b>"};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillfs::fuzz::check_reading(spillfs::fuzz::text_of(data, size));
  spillfs::fuzz::check_writing(spillfs::fuzz::text_of(data, size));
  return 0;
}
