#include "pinfold/net/tls_identity.hpp"

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <openssl/x509v3.h>

namespace pinfold::net {

namespace {

// Why a name is not used; nothing if it is.
std::optional<std::string> fault_of(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > TlsNames::longest) return "is longer than " + std::to_string(TlsNames::longest) + " bytes";
  if (name.find('\0') != std::string_view::npos) return "has a NUL in it";
  if (name.find('*') != std::string_view::npos) return "is a wildcard";
  const bool odd = std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
  if (odd) return "has a space or a control character in it";
  return std::nullopt;
}

std::string_view text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

void refuse(TlsNames& names, std::string reason) {
  names.names.clear();
  names.refusal = std::move(reason);
}

// The subject's common name. There must be exactly one: which of several is meant depends on who reads them.
TlsNames common_name(const X509& certificate) {
  TlsNames result;
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int first = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (first < 0) {
    refuse(result, "its certificate has no common name");
    return result;
  }
  if (X509_NAME_get_index_by_NID(subject, NID_commonName, first) >= 0) {
    refuse(result, "its certificate has several common names");
    return result;
  }
  unsigned char* bytes = nullptr;
  const int size = ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, first)));
  if (size < 0) {
    refuse(result, "its certificate's common name cannot be read");
    return result;
  }
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(bytes, [](unsigned char* text) { OPENSSL_free(text); });
  std::string name(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  if (const auto fault = fault_of(name)) {
    refuse(result, "its certificate's common name " + *fault);
  } else {
    result.names.push_back(std::move(name));
  }
  return result;
}

// The alternative names of one type: GEN_URI or GEN_DNS.
TlsNames alternative_names(const X509& certificate, int type) {
  TlsNames result;
  int critical = -1;
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, &critical, nullptr)), GENERAL_NAMES_free);
  if (all == nullptr) {
    // -1: there is no such extension. -2: there are several. Otherwise it cannot be read.
    refuse(result, critical == -1 ? "its certificate has no alternative names" : "its certificate's alternative names cannot be read");
    return result;
  }
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(all.get(), i);
    if (one->type != type) continue;
    const std::string_view name = text_of(one->d.ia5);
    if (const auto fault = fault_of(name)) {
      refuse(result, "one of its certificate's alternative names " + *fault);
      return result;
    }
    if (result.names.size() == TlsNames::most) {
      refuse(result, "its certificate has more than " + std::to_string(TlsNames::most) + " alternative names of the type");
      return result;
    }
    if (std::ranges::find(result.names, name) == result.names.end()) result.names.emplace_back(name);
  }
  if (result.names.empty()) refuse(result, "its certificate has no alternative name of the type that tls-auth-clients-user says");
  return result;
}

}  // namespace

bool is_valid_at(const X509& certificate, std::int64_t now) {
  std::time_t time = now;
  return X509_cmp_time(X509_get0_notAfter(&certificate), &time) > 0 && X509_cmp_time(X509_get0_notBefore(&certificate), &time) < 0;
}

TlsNames names_of(const X509& certificate, TlsNameField field, std::int64_t now) {
  if (field == TlsNameField::off) return {};
  // A session that is resumed may be older than the end of its certificate.
  if (!is_valid_at(certificate, now)) {
    TlsNames expired;
    refuse(expired, "its certificate is not valid at this time");
    return expired;
  }
  if (field == TlsNameField::cn) return common_name(certificate);
  return alternative_names(certificate, field == TlsNameField::uri ? GEN_URI : GEN_DNS);
}

}  // namespace pinfold::net
