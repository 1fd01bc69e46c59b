#include "pinfold/net/tls_identity.hpp"

#include <ctime>
#include <string>
#include <vector>

#include "tls_rig.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::net;
using Field = TlsNameField;

namespace {

TlsNames names(const Wanted& wanted, Field field) {
  const Certified made = certify(wanted);
  return names_of(*made.certificate, field, std::time(nullptr));
}

}  // namespace

TEST_CASE("tls: a certificate's common name is its name") {
  const TlsNames found = names({.common_names = {"alice"}}, Field::cn);
  CHECK(found.names == std::vector<std::string>{"alice"});
  CHECK(found.refusal.empty());
  CHECK(names({.common_names = {"z\xc3\xbcrich-7"}}, Field::cn).names == std::vector<std::string>{"z\xc3\xbcrich-7"});
}

TEST_CASE("tls: alternative names of the type that is asked for are names, and no others") {
  const Wanted wanted{.common_names = {"cn"}, .uris = {"urn:a", "urn:b", "urn:a"}, .dns_names = {"db.example"}};
  CHECK(names(wanted, Field::uri).names == std::vector<std::string>{"urn:a", "urn:b"});
  CHECK(names(wanted, Field::dns).names == std::vector<std::string>{"db.example"});
  CHECK(names(wanted, Field::cn).names == std::vector<std::string>{"cn"});
  CHECK(names(wanted, Field::off).names.empty());
  CHECK(names(wanted, Field::off).refusal.empty());
}

TEST_CASE("tls: what is ambiguous or odd in a certificate gives no name") {
  using namespace std::string_literals;
  const std::vector<std::string> bad = {"alice\0.evil"s, "\0"s,       "*.example",
                                        "al*ce",         "two words", "line\nbreak",
                                        "tab\there",     "\x7f",      std::string(TlsNames::longest + 1, 'a'),
                                        "alice "};
  for (const std::string& name : bad) {
    INFO(name);
    const bool fits_a_common_name = name.size() <= 64;  // OpenSSL makes no longer one
    if (fits_a_common_name) CHECK(names({.common_names = {name}}, Field::cn).names.empty());
    for (const Field field : {Field::uri, Field::dns}) {
      // Beside a good one, too: a certificate with an odd name is odd.
      Wanted wanted{.uris = {"urn:good", name}, .dns_names = {"good", name}};
      const TlsNames found = names(wanted, field);
      CHECK(found.names.empty());
      CHECK_FALSE(found.refusal.empty());
    }
  }
  CHECK(names({.common_names = {"alice", "bob"}}, Field::cn).refusal == "its certificate has several common names");
  CHECK(names({.common_names = {"alice", "alice"}}, Field::cn).names.empty());
  CHECK(names({.common_names = {}}, Field::cn).refusal == "its certificate has no common name");
  CHECK(names({}, Field::uri).refusal == "its certificate has no alternative names");
  CHECK_FALSE(names({.dns_names = {"a"}}, Field::uri).refusal.empty());
  std::vector<std::string> many;
  for (std::size_t i = 0; i <= TlsNames::most; ++i) many.push_back("n" + std::to_string(i));
  CHECK(names({.dns_names = many}, Field::dns).refusal == "its certificate has more than 16 alternative names of the type");
  many.pop_back();
  CHECK(names({.dns_names = many}, Field::dns).names == many);
}

TEST_CASE("tls: a certificate that is not valid at the time gives no name") {
  const Certified made = certify({.common_names = {"alice"}, .from = -1000, .until = 1000});
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  CHECK(names_of(*made.certificate, Field::cn, now).names.size() == 1);
  CHECK(names_of(*made.certificate, Field::cn, now + 2000).refusal == "its certificate is not valid at this time");
  CHECK(names_of(*made.certificate, Field::cn, now - 2000).names.empty());
}
