// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_xml.h"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "storage/external/s3_encoding.h"

namespace spillfs::storage::external {
namespace {

// The root of `xml`, which `document` holds; an empty node where it is no XML.
pugi::xml_node load_root(pugi::xml_document& document, std::string_view xml) {
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  return document.document_element();
}

Result<pugi::xml_node> load(pugi::xml_document& document, std::string_view xml, const char* name) {
  const pugi::xml_node root = load_root(document, xml);
  if (std::string_view(root.name()) != name) {
    return fail(EIO, fmt::format("the service's reply is not a {}", name));
  }
  return root;
}

S3Error read_error(const pugi::xml_node& node) {
  return {.code = node.child_value("Code"),
          .message = node.child_value("Message"),
          .region = node.child_value("Region"),
          .key = node.child_value("Key")};
}

void append_text(pugi::xml_node parent, const char* name, const std::string& text) {
  parent.append_child(name).append_child(pugi::node_pcdata).set_value(text.c_str());
}

std::string serialize(const pugi::xml_document& document) {
  std::ostringstream text;
  document.save(text, "", pugi::format_raw);
  return text.str();
}

pugi::xml_node append_root(pugi::xml_document& document, const char* name) {
  pugi::xml_node root = document.append_child(name);
  root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
  return root;
}

// The length of the UTF-8 sequence that `text` starts with; 0 for none. XML allows no others than
// these, and neither U+FFFE nor U+FFFF.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF && tail(1)) return 2;
  if (lead >= 0xE0 && lead <= 0xEF && tail(1) && tail(2)) {
    const unsigned point = (lead & 0xFU) << 12 | (byte(1) & 0x3FU) << 6 | (byte(2) & 0x3FU);
    return point >= 0x800 && (point < 0xD800 || point > 0xDFFF) && point < 0xFFFE ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const unsigned high = (lead & 7U) << 2 | (byte(1) & 0x30U) >> 4;  // the point's plane
    return high >= 1 && high <= 16 ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::optional<S3Error> parse_error(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = load_root(document, xml);
  if (std::string_view(root.name()) != "Error") return std::nullopt;
  return read_error(root);
}

Result<std::vector<std::string>> parse_listing(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = SPILLFS_TRY(load(document, xml, "ListBucketResult"));
  std::vector<std::string> keys;
  for (const pugi::xml_node& object : root.children("Contents")) {
    keys.push_back(decode_listed(object.child_value("Key")));
  }
  return keys;
}

Result<S3UploadPage> parse_uploads(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = SPILLFS_TRY(load(document, xml, "ListMultipartUploadsResult"));
  S3UploadPage page{.truncated = std::string_view(root.child_value("IsTruncated")) == "true",
                    .key_marker = decode_listed(root.child_value("NextKeyMarker")),
                    .id_marker = root.child_value("NextUploadIdMarker")};
  for (const pugi::xml_node& upload : root.children("Upload")) {
    page.uploads.push_back(
        {.key = decode_listed(upload.child_value("Key")), .id = upload.child_value("UploadId")});
  }
  return page;
}

Result<std::string> parse_upload_id(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = SPILLFS_TRY(load(document, xml, "InitiateMultipartUploadResult"));
  std::string id = root.child_value("UploadId");
  if (id.empty()) return fail(EIO, "the service's reply has no UploadId");
  return id;
}

Result<std::vector<S3Error>> parse_delete_result(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = SPILLFS_TRY(load(document, xml, "DeleteResult"));
  std::vector<S3Error> errors;
  for (const pugi::xml_node& error : root.children("Error")) errors.push_back(read_error(error));
  return errors;
}

bool fits_xml(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    if (length == 1 && (static_cast<unsigned char>(text[0]) < ' ' || text[0] == '\x7F')) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

std::string delete_document(std::span<const std::string> keys) {
  pugi::xml_document document;
  pugi::xml_node root = append_root(document, "Delete");
  append_text(root, "Quiet", "true");
  for (const std::string& key : keys) append_text(root.append_child("Object"), "Key", key);
  return serialize(document);
}

std::string complete_document(std::span<const std::string> etags) {
  pugi::xml_document document;
  pugi::xml_node root = append_root(document, "CompleteMultipartUpload");
  for (std::size_t i = 0; i < etags.size(); ++i) {
    pugi::xml_node part = root.append_child("Part");
    append_text(part, "PartNumber", std::to_string(i + 1));
    append_text(part, "ETag", etags[i]);
  }
  return serialize(document);
}

}  // namespace spillfs::storage::external
