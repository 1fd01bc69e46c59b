// Fuzzes the names that a client's certificate gives it, from any bytes that OpenSSL takes for a certificate.
//
// The input is a certificate in DER, or names for a certificate that is made here. Its last byte says which, and chooses the field.
// Invariants:
//   - there are names or a reason, and not both
//   - a name is fit to be that of a user: no NUL, space, control character or wildcard, not empty and not too long
//   - a common name is the only one in the certificate; alternative names are as many as the certificate has of the type
//   - the same certificate gives the same names again

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "support/require.hpp"
#include "support/tail.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pinfold/net/tls_identity.hpp"

using fuzz::require;
using pinfold::net::names_of;
using pinfold::net::TlsNameField;
using pinfold::net::TlsNames;

namespace {

constexpr std::int64_t now = 1'800'000'000;  // the certificates among the seeds are valid then

bool fit_for_user(std::string_view name) {
  const bool odd = std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '*'; });
  return !name.empty() && name.size() <= TlsNames::longest && !odd;
}

int common_names(const X509& certificate) {
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  int count = 0;
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    count += OBJ_obj2nid(X509_NAME_ENTRY_get_object(X509_NAME_get_entry(subject, i))) == NID_commonName ? 1 : 0;
  }
  return count;
}

std::set<std::string> alternative_names(const X509& certificate, int type) {
  std::set<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)), GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(all.get(), i);
    if (one->type != type) continue;
    const ASN1_IA5STRING* const text = one->d.ia5;
    names.emplace(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  return names;
}

void check(const X509& certificate, TlsNameField field) {
  const TlsNames found = names_of(certificate, field, now);
  if (field == TlsNameField::off)
    return require(found.names.empty() && found.refusal.empty(), "there are names although none are asked for");
  require(found.names.empty() != found.refusal.empty(), "there are names and a reason why not, or neither");
  require(found.refusal.find_first_of("\r\n") == std::string::npos, "a reason is one line", found.refusal);
  for (const std::string& name : found.names) require(fit_for_user(name), "a name is not fit for a user", name);
  const TlsNames again = names_of(certificate, field, now);
  require(again.names == found.names && again.refusal == found.refusal, "a certificate has other names the second time");
  if (found.names.empty()) return;
  std::time_t time = now;
  require(X509_cmp_time(X509_get0_notAfter(&certificate), &time) == 1 && X509_cmp_time(X509_get0_notBefore(&certificate), &time) == -1,
          "a certificate gives names although it is not valid");
  if (field == TlsNameField::cn) {
    require(found.names.size() == 1 && common_names(certificate) == 1, "a common name is one of several");
    return;
  }
  const std::set<std::string> all = alternative_names(certificate, field == TlsNameField::uri ? GEN_URI : GEN_DNS);
  require(std::set<std::string>(found.names.begin(), found.names.end()) == all, "some alternative names are left out");
  require(found.names.size() == all.size() && all.size() <= TlsNames::most, "an alternative name is there twice, or there are too many");
}

using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

// A certificate with the names that the input lists: a byte for the kind, a byte for the size, and the name. Many kinds are rare in
// certificates that others have made, and OpenSSL takes no certificate of which one byte is wrong.
Certificate made_of(std::string_view input) {
  Certificate certificate(X509_new(), X509_free);
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> alternatives(GENERAL_NAMES_new(), GENERAL_NAMES_free);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), now - 1000);
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now + 1000);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  constexpr int types[] = {V_ASN1_UTF8STRING, V_ASN1_BMPSTRING,       V_ASN1_PRINTABLESTRING,
                           V_ASN1_T61STRING,  V_ASN1_UNIVERSALSTRING, V_ASN1_IA5STRING};
  while (input.size() >= 2) {
    const auto kind = static_cast<unsigned char>(input[0]);
    const std::string_view name = input.substr(2, static_cast<unsigned char>(input[1]));
    input.remove_prefix(2 + name.size());
    const auto* const bytes = reinterpret_cast<const unsigned char*>(name.data());
    const int size = static_cast<int>(name.size());
    if (kind % 4 < 2) {
      const int nid = kind % 4 == 0 ? NID_commonName : NID_organizationName;
      X509_NAME_add_entry_by_NID(subject, nid, types[kind / 4 % std::size(types)], bytes, size, -1, 0);
      continue;
    }
    constexpr int general[] = {GEN_URI, GEN_DNS, GEN_EMAIL};
    ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, bytes, size);
    GENERAL_NAME* const one = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(one, general[kind / 4 % std::size(general)], text);
    sk_GENERAL_NAME_push(alternatives.get(), one);
  }
  if (sk_GENERAL_NAME_num(alternatives.get()) > 0) {
    X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, alternatives.get(), 0, X509V3_ADD_DEFAULT);
  }
  return certificate;
}

Certificate read_from(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return {d2i_X509(nullptr, &at, static_cast<long>(der.size())), X509_free};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Tail tail(data, size);
  const std::uint8_t choices = tail.byte();
  const Certificate certificate = (choices & 4) != 0 ? made_of(tail.text()) : read_from(tail.text());
  if (certificate != nullptr) check(*certificate, static_cast<TlsNameField>(choices % 4));
  ERR_clear_error();
  return 0;
}
