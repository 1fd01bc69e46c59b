#include "pinfold/net/tls_context.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <string>

#include "rig.hpp"
#include "tls_rig.hpp"
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "pinfold/base/clock.hpp"
#include "pinfold/net/tls_certificates.hpp"

using namespace pinfold::net;
using Catch::Matchers::Contains;
using pinfold::config::Id;

TEST_CASE("tls: a context is made of a certificate, its key and the authorities of clients") {
  TlsFiles files;
  const auto context = files.load();
  CHECK(context->asks_certificates());
  CHECK_FALSE(context->server().serial.empty());
  CHECK(context->server().expires_at > std::time(nullptr) + 80'000);
  CHECK_FALSE(context->authority().serial.empty());
  CHECK(context->make() != nullptr);
  files.set(Id::tls_auth_clients, "no");
  files.set(Id::tls_ca_cert_file, "");
  CHECK_FALSE(files.load()->asks_certificates());
}

TEST_CASE("tls: files that cannot be used are named, with what is wrong") {
  TlsFiles files;
  const auto error = [&files] { return files.try_to_load().value_or("no error"); };
  const std::string crt = files.directory.path("server.crt");
  const std::string key = files.directory.path("server.key");
  const std::string ca = files.directory.path("ca.crt");
  SECTION("missing") {
    std::filesystem::remove(crt);
    CHECK(error() == "tls-cert-file '" + crt + "': cannot be opened: No such file or directory");
  }
  SECTION("empty, no PEM, a directory, or too large") {
    files.directory.write("server.crt", "");
    CHECK(error() == "tls-cert-file '" + crt + "': is empty");
    files.directory.write("server.crt", "hello");
    CHECK(error() == "tls-cert-file '" + crt + "': has no certificate in PEM");
    files.directory.write("server.crt", std::string(1024 * 1024 + 1, 'x'));
    CHECK(error() == "tls-cert-file '" + crt + "': is larger than 1 MB");
    std::filesystem::remove(crt);
    std::filesystem::create_directory(crt);
    CHECK(error() == "tls-cert-file '" + crt + "': is a directory");
  }
  SECTION("a FIFO, on which nobody writes") {
    for (const std::string& file : {ca, key, crt}) {
      std::filesystem::remove(file);
      REQUIRE(mkfifo(file.c_str(), 0600) == 0);
      CHECK_THAT(error(), Contains("'" + file + "': is no regular file"));
    }
  }
  SECTION("half-written, at any byte") {
    const Certified next = certify({}, &files.authority);
    const std::string pem = pem_of(*next.certificate);
    files.directory.write("server.key", pem_of(*next.key));
    for (std::size_t size = 1; size + 2 < pem.size(); size += 13) {
      files.directory.write("server.crt", pem.substr(0, size));
      CHECK_THAT(error(), Contains("tls-cert-file '" + crt));
    }
    files.directory.write("server.crt", pem);
    CHECK(error() == "no error");
  }
  SECTION("a key of another certificate, no key, or one with a password") {
    files.directory.write("server.key", pem_of(*certify().key));
    CHECK(error() == "tls-key-file '" + key + "': is not the key of the certificate in tls-cert-file '" + crt + "'");
    files.directory.write("server.key", pem_of(*files.authority.certificate));
    CHECK_THAT(error(), Contains("tls-key-file '" + key + "': has no key in PEM"));
    const Certified server = certify({}, &files.authority);
    files.save(server);
    files.directory.write("server.key", pem_of(*server.key, "s3cret"));
    CHECK(error() == "tls-key-file '" + key + "': has a password: set tls-key-file-pass");
    files.set(Id::tls_key_file_pass, "wrong");
    CHECK(error() == "tls-key-file '" + key + "': cannot be read with the password in tls-key-file-pass");
    files.set(Id::tls_key_file_pass, "s3cret");
    CHECK(error() == "no error");
  }
  SECTION("authorities") {
    files.directory.write("ca.crt", "hello");
    CHECK(error() == "tls-ca-cert-file '" + ca + "': has no certificate in PEM");
    files.set(Id::tls_ca_cert_file, "");
    CHECK_THAT(error(), Contains("neither tls-ca-cert-file nor tls-ca-cert-dir"));
    files.set(Id::tls_ca_cert_dir, files.directory.path("authorities"));
    CHECK_THAT(error(), Contains("tls-ca-cert-dir") && Contains("cannot be read"));
    std::filesystem::create_directory(files.directory.path("authorities"));
    CHECK_THAT(error(), Contains("has no files"));
    files.directory.write("authorities/a-text", "of other things");
    CHECK_THAT(error(), Contains("authorities': has no certificate in PEM"));
    files.directory.write("authorities/one", pem_of(*files.authority.certificate));
    CHECK(error() == "no error");
    files.directory.write("authorities/two", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    CHECK_THAT(error(), Contains("authorities/two': has a broken certificate"));
  }
  SECTION("nothing set") {
    files.set(Id::tls_key_file, "");
    CHECK_THAT(error(), Contains("tls-key-file is not set"));
    files.set(Id::tls_cert_file, "");
    CHECK_THAT(error(), Contains("tls-cert-file is not set"));
  }
}

TEST_CASE("tls: protocols and ciphers that do not exist are refused by name") {
  TlsFiles files;
  const auto error = [&files] { return files.try_to_load().value_or("no error"); };
  files.set(Id::tls_protocols, "TLSv1.2 SSLv3");
  CHECK(error() == "tls-protocols: there is no protocol 'SSLv3': it takes TLSv1.2 and TLSv1.3");
  files.set(Id::tls_protocols, " ");
  CHECK_THAT(error(), Contains("names no protocol"));
  files.set(Id::tls_protocols, "tlsv1.3");
  CHECK(error() == "no error");
  files.set(Id::tls_ciphers, "NONSENSE");
  CHECK_THAT(error(), Contains("tls-ciphers: 'NONSENSE': no cipher match"));
  files.set(Id::tls_ciphers, "ECDHE+AESGCM");
  files.set(Id::tls_ciphersuites, "TLS_NONSENSE");
  CHECK_THAT(error(), Contains("tls-ciphersuites: 'TLS_NONSENSE'"));
}

TEST_CASE("tls: certificates that have expired are used, with a warning") {
  TlsFiles files;
  files.save(certify({.from = -2 * 86'400, .until = -86'400}, &files.authority));
  const auto context = files.load();
  REQUIRE_FALSE(context->warnings().empty());
  CHECK_THAT(context->warnings()[0], Contains("server.crt': the certificate has expired on "));
  files.save(certify({.from = 86'400, .until = 90 * 86'400}, &files.authority));
  CHECK_THAT(files.load()->warnings().at(0), Contains("is not valid before"));
  files.save(certify({.from = -1, .until = 86'400}, &files.authority));
  CHECK_THAT(files.load()->warnings().at(0), Contains("the certificate ends soon, on "));
  files.save(certify({}, &files.authority));
  chmod(files.directory.path("server.key").c_str(), 0604);
  CHECK_THAT(files.load()->warnings().at(0), Contains("every user of this machine may read it"));
  chmod(files.directory.path("server.key").c_str(), 0600);
  CHECK(files.load()->warnings().empty());
}

namespace {

// Certificates of an engine whose settings name files. The clock goes back at the end.
struct Loading {
  Loading() {
    for (const Id id : {Id::tls_cert_file, Id::tls_key_file, Id::tls_ca_cert_file}) rig.set(id, files.settings.text(id));
    REQUIRE_FALSE(certificates.load());
  }
  ~Loading() { pinfold::advance_clock_for_test(-passed_ms); }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

  std::string serial() const { return certificates.context()->server().serial; }
  void pass(std::int64_t ms) {
    pinfold::advance_clock_for_test(ms);
    passed_ms += ms;
  }

  std::int64_t passed_ms = 0;
  TlsFiles files;
  Rig rig;
  TlsCertificates certificates{rig.engine};
};

}  // namespace

TEST_CASE("tls: changed files are loaded by themselves, and broken ones leave the present certificates") {
  Loading loading;
  const auto first = loading.certificates.context();
  loading.certificates.look();
  CHECK(loading.certificates.context() == first);
  const Certified next = certify({}, &loading.files.authority);
  SECTION("a certificate without its key is half of a change") {
    loading.files.directory.write("server.crt", pem_of(*next.certificate));
    for (int i = 0; i < 3; ++i) {
      loading.certificates.look();
      loading.pass(10'000);
    }
    CHECK(loading.certificates.context() == first);
    CHECK_THAT(loading.rig.engine.tls.certificates().last_error, Contains("is not the key of the certificate"));
    CHECK(loading.rig.engine.tls.certificates().failed_loads == 3);
    const auto lines = loading.rig.engine.events.take();
    const auto tells = [](const auto& line) { return line.text.find("is not the key") != std::string::npos; };
    CHECK(std::count_if(lines.begin(), lines.end(), tells) == 1);
    loading.files.directory.write("server.key", pem_of(*next.key));
    loading.certificates.look();
    CHECK(loading.certificates.context() != first);
    CHECK(loading.rig.engine.tls.certificates().last_error.empty());
  }
  SECTION("files that are gone are no reason to stop") {
    std::filesystem::remove(loading.files.directory.path("server.crt"));
    CHECK(loading.certificates.load());
    loading.certificates.look();
    CHECK(loading.certificates.context() == first);
  }
  SECTION("an authority that is added to the directory") {
    std::filesystem::create_directory(loading.files.directory.path("authorities"));
    loading.files.directory.write("authorities/a", pem_of(*loading.files.authority.certificate));
    loading.rig.set(Id::tls_ca_cert_dir, loading.files.directory.path("authorities"));
    loading.certificates.look();
    const auto second = loading.certificates.context();
    CHECK(second != first);
    loading.certificates.look();
    CHECK(loading.certificates.context() == second);
    loading.files.directory.write("authorities/b", pem_of(*next.certificate));
    loading.certificates.look();
    CHECK(loading.certificates.context() != second);
  }
}

TEST_CASE("tls: files that stay broken are read less and less often, and at once when they change") {
  Loading loading;
  const auto failures = [&] { return loading.rig.engine.tls.certificates().failed_loads; };
  const std::string path = loading.files.directory.path("server.crt");
  const auto first = loading.certificates.context();
  std::filesystem::rename(path, path + ".away");
  // As the server does it: every two seconds.
  const auto look_for = [&](int seconds) {
    for (int i = 0; i < seconds / 2; ++i) {
      loading.certificates.look();
      loading.pass(2000);
    }
  };
  look_for(64);
  CHECK(failures() == 6);  // at once, and after 2, 6, 14, 30 and 62 seconds
  look_for(3600);
  CHECK(failures() >= 12);
  CHECK(failures() <= 24);
  const std::uint64_t before = failures();
  loading.files.directory.write("server.crt", "broken in another way");
  loading.certificates.look();
  CHECK(failures() == before + 1);
  loading.pass(2000);
  loading.certificates.look();  // the delay is short again
  CHECK(failures() == before + 2);
  CHECK(loading.certificates.context() == first);
  std::filesystem::rename(path + ".away", path);
  loading.certificates.look();
  CHECK(loading.certificates.context() != first);
  const std::uint64_t loads = loading.rig.engine.tls.certificates().loads;
  look_for(600);
  CHECK(loading.rig.engine.tls.certificates().loads == loads);
  CHECK(failures() == before + 2);
}

TEST_CASE("tls: a file that may be read again is taken, although its content is the same") {
  Loading loading;
  const std::string path = loading.files.directory.path("server.key");
  loading.files.directory.write("server.key", "nonsense");
  loading.certificates.look();
  const std::uint64_t failures = loading.rig.engine.tls.certificates().failed_loads;
  loading.certificates.look();
  CHECK(loading.rig.engine.tls.certificates().failed_loads == failures);
  REQUIRE(chmod(path.c_str(), 0640) == 0);
  loading.certificates.look();
  CHECK(loading.rig.engine.tls.certificates().failed_loads == failures + 1);
}

TEST_CASE("tls: a load that is taken back leaves the certificates and what is told of them") {
  Loading loading;
  const auto first = loading.certificates.context();
  const std::string cert = loading.files.settings.text(Id::tls_cert_file);
  const auto told = [&] { return loading.rig.engine.tls.certificates(); };
  const auto before = told();
  SECTION("one that has succeeded") {
    const Certified other = certify({.until = 20'000}, &loading.files.authority);
    loading.rig.set(Id::tls_cert_file, loading.files.directory.write("other.crt", pem_of(*other.certificate)));
    loading.rig.set(Id::tls_key_file, loading.files.directory.write("other.key", pem_of(*other.key)));
    REQUIRE_FALSE(loading.certificates.load());
    REQUIRE(told().server.serial != before.server.serial);
    loading.rig.set(Id::tls_cert_file, cert);
    loading.rig.set(Id::tls_key_file, loading.files.settings.text(Id::tls_key_file));
  }
  SECTION("one that has failed") {
    loading.rig.set(Id::tls_cert_file, "/nowhere");
    REQUIRE(loading.certificates.load());
    REQUIRE_FALSE(told().last_error.empty());
    loading.rig.set(Id::tls_cert_file, cert);
  }
  loading.certificates.undo();
  CHECK(loading.certificates.context() == first);
  CHECK(told().server.serial == before.server.serial);
  CHECK(told().last_error.empty());
  const std::uint64_t loads = told().loads;
  loading.certificates.look();  // the files of the settings are those of the context
  CHECK(told().loads == loads);
  CHECK(loading.certificates.context() == first);
}

TEST_CASE("tls: the authorities have a limit in number and in bytes") {
  TlsFiles files;
  const auto error = [&files] { return files.try_to_load().value_or("no error"); };
  const std::string one = pem_of(*files.authority.certificate);
  const auto times = [&one](int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += one;
    return all;
  };
  files.directory.write("ca.crt", times(1024));
  CHECK(error() == "no error");
  files.directory.write("ca.crt", times(1025));
  CHECK(error() == "tls-ca-cert-file '" + files.directory.path("ca.crt") + "': is too much: there may be 1024 certificates");
  files.directory.write("ca.crt", times(1023));
  std::filesystem::create_directory(files.directory.path("authorities"));
  files.set(Id::tls_ca_cert_dir, files.directory.path("authorities"));
  files.directory.write("authorities/a", one);
  CHECK(error() == "no error");
  files.directory.write("authorities/b", one);
  CHECK_THAT(error(), Contains("authorities/b': is too much"));
  files.directory.write("ca.crt", one);
  for (int i = 0; i < 8; ++i) files.directory.write("authorities/" + std::to_string(i), one + std::string(1024 * 1024 - one.size(), '\n'));
  CHECK_THAT(error(), Contains("authorities/7': is too much: the files of authorities may have 8 MB together"));
}
