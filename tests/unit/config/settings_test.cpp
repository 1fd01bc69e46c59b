#include "pinfold/config/settings.hpp"

#include <atomic>
#include <thread>
#include <tuple>

#include <catch2/catch.hpp>

#include "pinfold/config/machine.hpp"

namespace pinfold::config {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using Pairs = std::vector<std::pair<Id, std::string>>;

std::string refused(Settings& settings, Id id, std::string_view value) { return settings.set(id, value, true).value_or("taken"); }

const std::string not_an_integer = "argument couldn't be parsed into an integer";
const std::string not_memory = "argument must be a memory value";

TEST_CASE("every setting has a default that it accepts, and shows it") {
  const Settings settings;
  for (const Setting& setting : settings_table()) {
    INFO(setting.name);
    Settings other;
    CHECK_FALSE(other.set(setting.id, settings.show(setting.id), false));
    CHECK(other.show(setting.id) == settings.show(setting.id));
    CHECK(find_setting(setting.name) == &setting);
    CHECK_FALSE(setting.help.empty());
  }
  CHECK(settings.integer(Id::port) == 6379);
  CHECK(settings.text(Id::bind) == "127.0.0.1 -::1");
  CHECK(settings.show(Id::maxmemory_policy) == "allkeys-lfu");
  CHECK(settings.integer(Id::proto_max_bulk_len) == 512 << 20);
}

TEST_CASE("auto means what the machine has") {
  const Settings settings;
  CHECK(settings.integer(Id::threads) == std::min(available_cores(), 256U));
  CHECK(settings.integer(Id::maxmemory) == static_cast<std::int64_t>(available_memory() / 100 * 75));
}

TEST_CASE("names are found in any case") {
  CHECK(find_setting("MaxMemory-Policy") == find_setting("maxmemory-policy"));
  CHECK(find_setting("maxmemory_policy") == nullptr);
  CHECK(find_setting("") == nullptr);
  CHECK(find_setting("CommandLog-Execution-Slower-Than") == find_setting("slowlog-log-slower-than"));
}

TEST_CASE("integers are read as strictly as in Redis") {
  Settings settings;
  for (const char* bad : {"", "abc", " 1", "1 ", "+1", "01", "1.5", "0x1", "1e3", "99999999999999999999"}) {
    INFO(bad);
    CHECK(refused(settings, Id::maxclients, bad) == not_an_integer);
    CHECK_THAT(refused(settings, Id::timeout, bad), StartsWith(not_an_integer) && Contains("seconds"));
  }
  CHECK(refused(settings, Id::hz, "501") == "argument must be between 1 and 500 inclusive");
  CHECK(refused(settings, Id::timeout, "-1") == "argument must be between 0 and 2147483647 inclusive, seconds");
  CHECK(refused(settings, Id::timeout, "2147483648") == "argument must be between 0 and 2147483647 inclusive, seconds");
  CHECK(settings.integer(Id::timeout) == 0);
  CHECK(refused(settings, Id::timeout, "2147483647") == "taken");
  CHECK(settings.show(Id::timeout) == "2147483647");
}

TEST_CASE("durations take any unit, and are kept in the unit of their type") {
  Settings settings;
  const std::tuple<Id, const char*, const char*> good[] = {
      {Id::timeout, "5s", "5"},          {Id::timeout, "2 m", "120"},           {Id::timeout, "3000ms", "3"},
      {Id::tcp_keepalive, "1h", "3600"}, {Id::lease_duration, "10s", "10000"},  {Id::lease_duration, "250MS", "250"},
      {Id::lfu_decay_time, "2h", "120"}, {Id::negative_ttl_max, "1m", "60000"}, {Id::invalidation_memory, "1d", "86400000"},
      {Id::negative_memory, "7%", "7"},  {Id::negative_memory, "8", "8"},       {Id::timeout, "0", "0"}};
  for (const auto& [id, value, shown] : good) {
    INFO(value);
    CHECK(refused(settings, id, value) == "taken");
    CHECK(settings.show(id) == shown);
  }
  CHECK(refused(settings, Id::timeout, "1500ms") == "argument must be a whole number of seconds");
  CHECK(refused(settings, Id::lease_duration, "2h") == "argument must be between 1 and 3600000 inclusive, milliseconds");
  CHECK_THAT(refused(settings, Id::lease_duration, "10sec"), EndsWith("it takes milliseconds, or 50ms, 30s, 5m, 1h"));
  CHECK_THAT(refused(settings, Id::timeout, "1x"), EndsWith("it takes seconds, or 30s, 5m, 1h, 1d"));
  CHECK_THAT(refused(settings, Id::lfu_decay_time, "1x"), EndsWith("it takes minutes, or 5m, 1h, 1d"));
  CHECK_THAT(refused(settings, Id::negative_memory, "x%"), Contains("5 or 5%"));
  CHECK(refused(settings, Id::negative_memory, "101%") == "argument must be between 0 and 100 inclusive, percent");
}

TEST_CASE("a maxmemory whose unit was forgotten is refused") {
  Settings settings;
  CHECK_THAT(refused(settings, Id::maxmemory, "64"), Contains("at least 1mb") && Contains("did you mean 64mb?"));
  CHECK_THAT(refused(settings, Id::maxmemory, "1048575"), Contains("at least 1mb"));
  for (const char* with_unit : {"64k", "1023 kb", "1b"}) {
    CHECK(refused(settings, Id::maxmemory, with_unit) == "argument must be at least 1mb, or 0 for no limit");
  }
  CHECK(refused(settings, Id::maxmemory, "1mb") == "taken");
  CHECK(refused(settings, Id::maxmemory, "64 mb") == "taken");
  CHECK(settings.show(Id::maxmemory) == "67108864");
}

TEST_CASE("memory takes units, and maxmemory shares") {
  Settings settings;
  for (const char* bad : {"", "-1", "1tb", "1.5gb", "1 ", " 1mb", "1mb ", "1GBB", "x", "99999999999999999999", "0%", "101%", "%", "1e3"}) {
    INFO(bad);
    CHECK_THAT(refused(settings, Id::maxmemory, bad),
               StartsWith(not_memory) && Contains("a whole number, not negative") && Contains("b, kb, mb, gb") && Contains("1% to 100%"));
  }
  CHECK(refused(settings, Id::maxmemory, "100Mb") == "taken");
  CHECK(settings.show(Id::maxmemory) == "104857600");
  CHECK(refused(settings, Id::maxmemory, "0") == "taken");
  CHECK(settings.integer(Id::maxmemory) == 0);
  CHECK(refused(settings, Id::maxmemory, "50%") == "taken");
  CHECK(settings.integer(Id::maxmemory) == static_cast<std::int64_t>(available_memory() / 100 * 50));
  CHECK_THAT(refused(settings, Id::proto_max_bulk_len, "50%"), StartsWith(not_memory) && !Contains("percentage"));
  CHECK(refused(settings, Id::proto_max_bulk_len, "100") == "argument must be between 1048576 and 9223372036854775807 inclusive, bytes");
}

TEST_CASE("the clients' share is in bytes or a percentage of maxmemory") {
  Settings settings;
  CHECK(settings.show(Id::maxmemory_clients) == "5%");
  for (const char* bad : {"", "-1", "-1%", "%", "1.5%", "x", "5 %", "1tb", "1GBB"}) {
    INFO(bad);
    CHECK_THAT(refused(settings, Id::maxmemory_clients, bad), StartsWith("argument must be a memory or percent value") &&
                                                                  Contains("a whole number, not negative") && Contains("0% to 100%"));
  }
  CHECK(refused(settings, Id::maxmemory_clients, "101%") == "percentage argument must be less or equal to 100");
  CHECK(settings.show(Id::maxmemory_clients) == "5%");
  const std::pair<const char*, const char*> good[] = {{"0", "0"},       {"0%", "0"},          {"1%", "1%"},
                                                      {"100%", "100%"}, {"10mb", "10485760"}, {"1", "1"}};
  for (const auto& [value, shown] : good) {
    CHECK(refused(settings, Id::maxmemory_clients, value) == "taken");
    CHECK(settings.show(Id::maxmemory_clients) == shown);
  }
}

TEST_CASE("choices and flags take their words in any case and nothing else") {
  Settings settings;
  CHECK(refused(settings, Id::maxmemory_policy, "NoEviction") == "taken");
  CHECK(settings.integer(Id::maxmemory_policy) == 7);
  const std::string all =
      "argument(s) must be one of the following: allkeys-lfu, allkeys-lru, allkeys-random, volatile-lfu, "
      "volatile-lru, volatile-random, volatile-ttl, noeviction";
  CHECK(refused(settings, Id::maxmemory_policy, "allkeys-lr") == all);
  CHECK(refused(settings, Id::maxmemory_policy, "") == all);
  CHECK(refused(settings, Id::appendonly, "NO") == "taken");
  CHECK(refused(settings, Id::appendonly, "perhaps") == "argument must be 'yes' or 'no'");
  CHECK(refused(settings, Id::appendonly, "yes") != "taken");
  CHECK(refused(settings, Id::save, "") == "taken");
  CHECK(refused(settings, Id::save, "900 1") != "taken");
}

TEST_CASE("a password can be any bytes") {
  Settings settings;
  for (const std::string_view value : {std::string_view("a\r\nb\0c", 6), std::string_view("\xff\xfe\xc3")}) {
    CHECK(refused(settings, Id::requirepass, value) == "taken");
    CHECK(settings.text(Id::requirepass) == value);
  }
}

TEST_CASE("only a password can hold a line break, or anything else that breaks a line of the file") {
  Settings settings;
  const std::string_view bad[] = {
      "a\nb",     "a\r",         std::string_view("a\0b", 3), "\x1b[0m", "\x7f", "\xc2\x85", "\xe2\x80\xa8", "\xff", "\xc3",
      "\xc0\xaf", "\xed\xa0\x80"};
  for (const std::string_view value : bad) {
    CHECK(settings.set(Id::logfile, value, false) == "argument must be UTF-8 text without line breaks or control characters");
  }
  CHECK(settings.text(Id::logfile).empty());
  for (const std::string_view good : {"", "a b # c: 'd' \"e\" \\", "grün €  \xf0\x9f\x90\x91"}) {
    CHECK(refused(settings, Id::requirepass, good) == "taken");
    CHECK(settings.text(Id::requirepass) == good);
  }
}

TEST_CASE("the socket's permissions are octal") {
  Settings settings;
  CHECK(settings.integer(Id::unixsocketperm) == 0700);
  CHECK_FALSE(settings.set(Id::unixsocketperm, "0777", false));
  CHECK(settings.integer(Id::unixsocketperm) == 0777);
  CHECK(settings.show(Id::unixsocketperm) == "777");
  for (const char* bad : {"", "8", "1000", "-1", "700 ", "rwx"}) CHECK(settings.set(Id::unixsocketperm, bad, false));
}

TEST_CASE("output limits are set by class, and the other classes stay") {
  Settings settings;
  CHECK(settings.output_limit().hard == 0);
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal 1mb 1kb 3 PUBSUB 1 2 3") == "taken");
  CHECK(settings.show(Id::client_output_buffer_limit) == "normal 1048576 1024 3 slave 268435456 67108864 60 pubsub 1 2 3");
  const OutputLimit limit = settings.output_limit();
  CHECK(limit.hard == 1048576);
  CHECK(limit.soft == 1024);
  CHECK(limit.soft_seconds == 3);
  CHECK(refused(settings, Id::client_output_buffer_limit, "replica 0 0 0") == "taken");
  CHECK(settings.show(Id::client_output_buffer_limit) == "normal 1048576 1024 3 slave 0 0 0 pubsub 1 2 3");

  constexpr std::string_view wrong_count = "Wrong number of arguments in buffer limit configuration.";
  constexpr std::string_view wrong_class = "Invalid client class specified in buffer limit configuration.";
  constexpr std::string_view wrong_number =
      "Error in hard, soft or soft_seconds setting in buffer limit configuration. The limits take bytes, or 100kb, 100mb, 1gb; the time "
      "takes "
      "whole seconds, or 30s, 5m, 1h, 1d";
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal 1 2") == wrong_count);
  CHECK(refused(settings, Id::client_output_buffer_limit, "master 1 2 3") == wrong_class);
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal x 2 3") == wrong_number);
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal 1 2 -1") == wrong_number);
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal 1 2 1500ms") == wrong_number);
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal 1 2 60 s") == wrong_count);
  CHECK(refused(settings, Id::client_output_buffer_limit, "normal 1 2 36500d") == wrong_number);
  CHECK(settings.output_limit().hard == 1048576);
}

TEST_CASE("the seconds of an output limit take a unit, and are shown and written in plain seconds") {
  for (const auto& [given, seconds] :
       std::initializer_list<std::pair<const char*, int>>{{"60", 60}, {"60s", 60}, {"5M", 300}, {"1h", 3600}, {"2000ms", 2}, {"0", 0}}) {
    Settings settings;
    CHECK(refused(settings, Id::client_output_buffer_limit, std::string("normal 1mb 1kb ") + given) == "taken");
    CHECK(settings.output_limit().soft_seconds == seconds);
    CHECK(settings.show(Id::client_output_buffer_limit) ==
          "normal 1048576 1024 " + std::to_string(seconds) + " slave 268435456 67108864 60 pubsub 33554432 8388608 60");
  }
}

TEST_CASE("the three numbers of the output limit are always from one moment") {
  Settings settings;
  std::atomic<bool> stop{false};
  std::atomic<bool> torn{false};
  std::thread reader([&] {
    while (!stop) {
      const OutputLimit limit = settings.output_limit();
      if (limit.hard != limit.soft || limit.soft != static_cast<std::uint64_t>(limit.soft_seconds)) torn = true;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const std::string n = std::to_string(i);
    settings.set(Id::client_output_buffer_limit, "normal " + n + " " + n + " " + n, true);
  }
  stop = true;
  reader.join();
  CHECK_FALSE(torn);
}

TEST_CASE("a setting that cannot change at run time is refused, even with its present value") {
  Settings settings;
  CHECK(refused(settings, Id::databases, "16") == "can't set immutable config");
  CHECK(refused(settings, Id::enable_debug_command, "nonsense") == "can't set immutable config");
  CHECK_FALSE(settings.set(Id::databases, "8", false));
}

TEST_CASE("several settings change together or not at all") {
  Settings settings;
  const auto index = [&](const Pairs& pairs) {
    const auto refusal = settings.set_all(pairs);
    return refusal ? static_cast<int>(refusal->index) : -1;
  };
  CHECK(index({{Id::timeout, "5"}, {Id::maxclients, "none"}}) == 1);
  CHECK(settings.integer(Id::timeout) == 0);
  CHECK(index({{Id::timeout, "5"}, {Id::timeout, "6"}}) == 1);
  CHECK(index({{Id::timeout, "none"}, {Id::port, "1"}}) == 1);  // names are checked before values
  CHECK(index({{Id::timeout, "5"}, {Id::maxclients, "50"}}) == -1);
  CHECK(settings.integer(Id::timeout) == 5);
  CHECK(settings.integer(Id::maxclients) == 50);
}

TEST_CASE("setting a file's name to the same again is a change, because the file may be another one") {
  Settings settings;
  int calls = 0;
  settings.on_change(Id::tls_cert_file, [&]() -> std::optional<std::string> {
    ++calls;
    return std::nullopt;
  });
  for (int i = 1; i <= 3; ++i) {
    CHECK(refused(settings, Id::tls_cert_file, "server.crt") == "taken");
    CHECK(calls == i);
  }
}

TEST_CASE("a listener is called for changes and may refuse them") {
  Settings settings;
  std::vector<std::int64_t> seen;
  settings.on_change(Id::timeout, [&] {
    seen.push_back(settings.integer(Id::timeout));
    return std::nullopt;
  });
  settings.on_change(Id::maxclients, [&]() -> std::optional<std::string> {
    if (settings.integer(Id::maxclients) > 100'000) return "too many";
    return std::nullopt;
  });
  CHECK(refused(settings, Id::timeout, "5") == "taken");
  CHECK(refused(settings, Id::timeout, "5") == "taken");  // no change, so the listener is not called
  CHECK(seen == std::vector<std::int64_t>{5});

  const Pairs pairs = {{Id::timeout, "7"}, {Id::maxclients, "1000000"}};
  const auto refusal = settings.set_all(pairs);
  REQUIRE(refusal);
  CHECK(refusal->index == 1);
  CHECK(refusal->reason == "too many");
  CHECK(settings.integer(Id::timeout) == 5);
  CHECK(settings.integer(Id::maxclients) == 10000);
  CHECK(seen == std::vector<std::int64_t>{5, 7, 5});

  CHECK_FALSE(settings.set(Id::timeout, "9", false));
  CHECK(seen.size() == 3);  // listeners are not called at start
}

TEST_CASE("a listener that has something to undo is told so in place of the former value") {
  Settings settings;
  int calls = 0;
  int undone = 0;
  const auto count = [&]() -> std::optional<std::string> {
    ++calls;
    return std::nullopt;
  };
  settings.on_change(Id::requirepass, count, [&] { ++undone; });
  settings.on_change(Id::timeout, []() -> std::optional<std::string> { return "no"; });
  REQUIRE(settings.set_all(Pairs{{Id::requirepass, "secret"}, {Id::timeout, "7"}}));
  CHECK(settings.text(Id::requirepass).empty());
  CHECK(calls == 1);
  CHECK(undone == 1);
  REQUIRE(settings.set_all(Pairs{{Id::timeout, "7"}, {Id::requirepass, "secret"}}));  // it was not told of that
  REQUIRE(settings.set_all(Pairs{{Id::timeout, "7"}}));
  CHECK(calls == 1);
  CHECK(undone == 1);
}

TEST_CASE("a listener of several settings is told once of all that a change has of them") {
  Settings settings;
  std::vector<std::string> seen;
  settings.on_change({Id::tls_cert_file, Id::tls_key_file, Id::tls_session_cache_timeout}, [&]() -> std::optional<std::string> {
    seen.push_back(settings.text(Id::tls_cert_file) + " " + settings.text(Id::tls_key_file));
    return std::nullopt;
  });
  CHECK_FALSE(settings.set_all(Pairs{{Id::tls_cert_file, "c"}, {Id::timeout, "7"}, {Id::tls_key_file, "k"}}));
  CHECK(seen == std::vector<std::string>{"c k"});
  CHECK_FALSE(settings.set_all(Pairs{{Id::timeout, "8"}, {Id::tls_session_cache_timeout, "300"}}));  // it has this value
  CHECK(seen.size() == 1);
}

TEST_CASE("of several settings with one listener the one is to blame that the error names, or else the first that has changed") {
  Settings settings;
  std::string error;
  settings.on_change({Id::tls_cert_file, Id::tls_key_file, Id::tls_key_file_pass, Id::tls_session_cache_timeout},
                     [&]() -> std::optional<std::string> { return error; });
  const Pairs pairs = {{Id::timeout, "7"}, {Id::tls_session_cache_timeout, "222"}, {Id::tls_key_file_pass, "x"}, {Id::tls_key_file, "k"}};
  const std::vector<std::pair<std::string, std::size_t>> cases = {{"tls-key-file 'k': is empty", 3},
                                                                  {"tls-key-file-pass: is wrong", 2},
                                                                  {"tls-cert-file 'c': is missing", 1},
                                                                  {"tls-key-file", 3},
                                                                  {"", 1},
                                                                  {"timeout: not its own", 1}};
  for (const auto& [text, index] : cases) {
    error = text;
    const auto refusal = settings.set_all(pairs);
    REQUIRE(refusal);
    CHECK(refusal->index == index);
    CHECK(refusal->reason == text);
  }
}

TEST_CASE("a listener for which there is no memory has refused, and all settings are what they were") {
  Settings settings;
  int limit = 0;
  int undone = 0;
  settings.on_change(Id::timeout, [&]() -> std::optional<std::string> {
    limit = static_cast<int>(settings.integer(Id::timeout));
    return std::nullopt;
  });
  settings.on_change(
      Id::hz, []() -> std::optional<std::string> { throw std::bad_alloc(); },
      [&] {
        ++undone;
        throw std::bad_alloc();
      });
  const std::string output = settings.text(Id::client_output_buffer_limit);
  const auto refusal =
      settings.set_all(Pairs{{Id::timeout, "7"}, {Id::client_output_buffer_limit, "normal 9 8 7"}, {Id::requirepass, "x"}, {Id::hz, "20"}});
  REQUIRE(refusal);
  CHECK(refusal->index == 3);
  CHECK(refusal->reason == "out of memory");
  CHECK(settings.integer(Id::timeout) == 0);
  CHECK(settings.integer(Id::hz) == 10);
  CHECK(settings.text(Id::requirepass).empty());
  CHECK(settings.text(Id::client_output_buffer_limit) == output);
  CHECK(settings.output_limit().hard == 0);
  CHECK(limit == 0);
  CHECK(undone == 1);
  CHECK_FALSE(settings.set_all(Pairs{{Id::timeout, "7"}}));
  CHECK(limit == 7);
}

TEST_CASE("a change that may take as long as a disk is not made by a thread that cannot wait, nor is one behind it") {
  Settings settings;
  std::optional<Refusal> refusal;
  bool tried = true;
  settings.on_change(
      {Id::tls_cert_file, Id::tls_key_file},
      [&]() -> std::optional<std::string> {
        std::thread([&] { tried = settings.try_set_all(Pairs{{Id::timeout, "9"}}, refusal); }).join();
        return std::nullopt;
      },
      {}, Settings::Takes::as_long_as_a_disk);
  CHECK_FALSE(settings.try_set_all(Pairs{{Id::timeout, "7"}, {Id::tls_key_file, "k"}}, refusal));
  CHECK(settings.integer(Id::timeout) == 0);
  CHECK(settings.text(Id::tls_key_file).empty());
  CHECK_FALSE(settings.set_all(Pairs{{Id::tls_key_file, "k"}}));
  CHECK_FALSE(tried);
  CHECK(settings.integer(Id::timeout) == 0);
  CHECK(settings.try_set_all(Pairs{{Id::timeout, "7"}}, refusal));
  CHECK_FALSE(refusal);
  CHECK(settings.integer(Id::timeout) == 7);
  CHECK(settings.try_set_all(Pairs{{Id::port, "1"}, {Id::tls_key_file, "k"}}, refusal));  // refused whatever it takes
  REQUIRE(refusal);
  CHECK(refusal->index == 0);
}

}  // namespace
TEST_CASE("a token is what a header can carry") {
  Settings settings;
  for (const std::string_view token : {"", "s3cret", "other:one", "!~", "Zm9v+/=="}) {
    CHECK_FALSE(settings.set(Id::admin_token, token, true));
    CHECK(settings.text(Id::admin_token) == token);
  }
  const auto zero = std::string("t") + '\0';
  for (const std::string& token : {std::string(" "), std::string(" lead"), std::string("trail "), std::string("t\r\nX: y"),
                                   std::string("t\x7f"), std::string("s\xc3\xa9"), zero}) {
    CHECK(settings.set(Id::admin_token, token, true) == "argument must be printable ASCII characters without spaces");
    CHECK(settings.set(Id::admin_token, token, false) == "argument must be printable ASCII characters without spaces");
  }
}

}  // namespace pinfold::config
