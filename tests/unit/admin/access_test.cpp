#include "pinfold/admin/access.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "pinfold/base/address.hpp"

using namespace pinfold;
using namespace pinfold::admin;
using config::Id;

namespace {

struct Asked {
  explicit Asked(const std::string& token = {}) { set(Id::admin_token, token); }
  void set(Id id, const std::string& value) { REQUIRE_FALSE(settings.set(id, value, false).has_value()); }
  // The status with which a request from there is answered.
  unsigned status(const std::string& address, const std::string& authorization = {}, const std::string& host = {}, bool certified = false) {
    const auto refusal = access.refusal({address, certified}, {authorization, host});
    return refusal ? refusal->status : 200;
  }

  config::Settings settings;
  store::Keyspace keyspace{{}};
  command::Engine engine{settings, keyspace, 1};
  Access access{engine};
};

const std::string here = "127.0.0.1:4000";
const std::string elsewhere = "192.0.2.1:4000";
const std::string right = "Bearer s3cret";
const std::string wrong = "Bearer s3cre";

}  // namespace

TEST_CASE("access: the secret of a request is its token, or the password of Basic") {
  CHECK(secret_of("Bearer abc") == "abc");
  CHECK(secret_of("BEARER   a b ") == "a b ");
  CHECK(secret_of("Basic dTpw") == "p");        // u:p
  CHECK(secret_of("basic OnA6cQ==") == "p:q");  // :p:q
  CHECK(secret_of("Basic dTo=") == "");         // u:
  for (const char* none : {"", "Bearer", "Bearerabc", "Basic", "Basic ", "Basic dTpw=", "Basic ====", "Basic dQ==", "Basic !!!!",
                           "Digest abc", "Basic dTp", "Basic =TpwdTpw", "Basic dTpwdT=w"}) {
    CHECK_FALSE(secret_of(none).has_value());
  }
}

TEST_CASE("access: addresses and names without a dot are nobody else's") {
  for (const char* good : {"127.0.0.1", "127.0.0.1:80", "[::1]", "[2001:db8::1]:9121", "localhost", "pinfold:9121"})
    CHECK(is_local_name(good));
  for (const char* bad : {"", ":80", "a.b", "localhost.", "127.0.0.1.", "127.0.0.1.a", "127.1.", "[", "[]", "[a.b]", "[::1", "[1.2.3.4]",
                          "[::1].a", "[::1]a"}) {
    CHECK_FALSE(is_local_name(bad));
  }
  CHECK_FALSE(is_local_name("[" + std::string(8000, ':') + "]"));
}

TEST_CASE("access: with a token, whoever shows it is let in, from everywhere and under every name") {
  Asked asked("s3cret");
  CHECK(asked.status(here) == 401);
  CHECK(asked.status(here, wrong) == 401);
  CHECK(asked.status(here, "Bearer ") == 401);
  CHECK(asked.status(here, {}, "localhost", true) == 401);
  CHECK(asked.status(here, right) == 200);
  CHECK(asked.status(elsewhere, right, "evil.example") == 200);
}

TEST_CASE("access: without a token, protected-mode lets in this machine and certificates") {
  Asked asked;
  CHECK(asked.status(here) == 200);
  CHECK(asked.status("[::1]:4000") == 200);
  CHECK(asked.status(elsewhere) == 403);
  CHECK(asked.status(elsewhere, right) == 403);
  CHECK(asked.status(elsewhere, {}, {}, true) == 200);
  CHECK(asked.status("") == 403);
  CHECK(asked.engine.stats.total(&command::ThreadStats::admin_protected) == 3);
  asked.set(Id::protected_mode, "no");
  CHECK(asked.status(elsewhere) == 200);
}

TEST_CASE("access: without a token, a name that somebody else may own is refused") {
  Asked asked;
  CHECK(asked.status(here, {}, "localhost:9121") == 200);
  CHECK(asked.status(here, {}, "evil.example") == 421);
  CHECK(asked.status(here, {}, "evil.example", true) == 421);
  asked.set(Id::protected_mode, "no");
  CHECK(asked.status(elsewhere, {}, "evil.example") == 421);
}

TEST_CASE("access: an address that has shown too many wrong tokens waits, and no other does") {
  Asked asked("s3cret");
  asked.set(Id::auth_failures_per_minute, "3");
  for (int i = 0; i < 3; ++i) CHECK(asked.status(elsewhere, wrong) == 401);
  const auto refusal = asked.access.refusal({elsewhere, false}, {right, {}});
  REQUIRE(refusal.has_value());
  CHECK(refusal->status == 429);
  CHECK(refusal->retry_seconds >= 1);
  CHECK(refusal->retry_seconds <= 20);
  CHECK(asked.status("192.0.2.1:5000", right) == 429);
  CHECK(asked.status("192.0.2.2:4000", right) == 200);
  CHECK(asked.status(elsewhere) == 401);
  CHECK(asked.engine.auth_failures.wait_ms(*origin_of(elsewhere), 3, monotonic_ms()) == 0);  // passwords have an account of their own
  CHECK(asked.engine.stats.total(&command::ThreadStats::auth_failures) == 3);
  CHECK(asked.engine.stats.total(&command::ThreadStats::auth_limited) == 2);
  asked.set(Id::auth_failures_per_minute, "0");
  CHECK(asked.status(elsewhere, right) == 200);
}
