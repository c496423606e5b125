#include "maas/rpc/request_head.h"

#include <algorithm>

#include "maas/rpc/metadata.h"

namespace maas {
namespace {

constexpr std::string_view kContentType = "application/grpc";

// application/grpc, also with a format ("+proto") or parameters.
bool IsGrpc(std::string_view content_type) {
  if (!content_type.starts_with(kContentType)) return false;
  return content_type.size() == kContentType.size() || content_type[kContentType.size()] == '+' ||
         content_type[kContentType.size()] == ';';
}

void Refuse(std::string_view name, std::string_view why, RequestHead* head) {
  if (!head->error.ok()) return;
  head->error = Status(Code::kInternal, "",
                       std::string("Error parsing '").append(name).append("' metadata").append(why));
}

// As Python shows bytes of Latin-1 that are not ASCII.
void AppendEscaped(std::string_view bytes, std::string* out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char byte : bytes) {
    const auto value = static_cast<uint8_t>(byte);
    if (value < 0x80) {
      *out += byte;
    } else {
      out->append("\\x").append(1, kHex[value >> 4]).append(1, kHex[value & 15]);
    }
  }
}

void ReadTenant(const HeaderField& field, bool first, RequestHead* head) {
  if (!first) head->tenant += ", ";
  if (field.name.ends_with("-bin")) {
    std::string bytes;
    if (Base64Decode(field.value, &bytes)) AppendEscaped(bytes, &head->tenant);
    return;
  }
  // Metadata is ASCII; of what is not, grpcio makes text by rules of its own.
  head->odd |= std::any_of(field.value.begin(), field.value.end(), [](char byte) { return byte < 0; });
  head->tenant += field.value;
}

}  // namespace

RequestHead ReadRequestHead(Headers headers, std::string_view tenant_key) {
  RequestHead head;
  bool is_post = false;
  bool takes_trailers = false;
  bool is_grpc = false;
  bool has_authority = false;
  bool has_tenant = false;
  for (const HeaderField& field : headers) {
    const std::string_view name = field.name;
    if (name.empty()) continue;
    switch (name[0]) {
      case ':':
        if (name == ":path") head.path = field.value;
        if (name == ":method") is_post = field.value == "POST";
        if (name == ":authority") has_authority = true;
        break;
      case 't':
        if (name == "te") takes_trailers = field.value == "trailers";
        break;
      case 'c':
        if (name == "content-type") is_grpc = IsGrpc(field.value);
        break;
      case 'g':
        if (name == "grpc-timeout" && !ParseTimeout(field.value, &head.timeout_ns)) Refuse(name, "", &head);
        if (name == "grpc-encoding" && !ParseEncoding(field.value, &head.encoding)) Refuse(name, "", &head);
        break;
      default:
        break;
    }
    if (name.ends_with("-bin") && !IsBase64(field.value)) Refuse(name, ": illegal base64 encoding", &head);
    if (!tenant_key.empty() && name == tenant_key) {
      ReadTenant(field, !has_tenant, &head);
      has_tenant = true;
    }
  }
  head.odd |= !is_post || !takes_trailers || !is_grpc || !has_authority;
  return head;
}

}  // namespace maas
