#include "maas/net/tls_identity.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "maas/net/tls_transport.h"

namespace maas {

namespace {

std::string ToPem(X509* certificate) {
  const std::unique_ptr<BIO, TlsFree<&BIO_free>> memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || PEM_write_bio_X509(memory.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<size_t>(size)};
}

std::string CommonName(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (place < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return name;
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  const int size = ASN1_STRING_length(address);
  if (size != 4 && size != 16) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text.data(), text.size());
  return text.data();
}

std::string AlternativeName(const GENERAL_NAME* name) {
  int kind = 0;
  const void* value = GENERAL_NAME_get0_value(name, &kind);
  switch (kind) {
    case GEN_DNS:
    case GEN_EMAIL:
    case GEN_URI: {
      const auto* text = static_cast<const ASN1_IA5STRING*>(value);
      return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
              static_cast<size_t>(ASN1_STRING_length(text))};
    }
    case GEN_IPADD:
      return AddressText(static_cast<const ASN1_OCTET_STRING*>(value));
    default:
      return {};
  }
}

bool IsWhole(const std::string& name) { return !name.empty() && name.find('\0') == std::string::npos; }

}  // namespace

void ReadTlsIdentity(const SSL* ssl, Peer* peer) {
  const std::unique_ptr<X509, TlsFree<&X509_free>> certificate(SSL_get_peer_certificate(ssl));
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return;
  peer->certificate_pem = ToPem(certificate.get());
  if (std::string name = CommonName(certificate.get()); IsWhole(name)) peer->common_name = std::move(name);
  const std::unique_ptr<GENERAL_NAMES, TlsFree<&GENERAL_NAMES_free>> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    std::string name = AlternativeName(sk_GENERAL_NAME_value(names.get(), i));
    if (IsWhole(name)) peer->alternative_names.push_back(std::move(name));
  }
}

}  // namespace maas
