#include <algorithm>

#include "temporary.hpp"

#include <catch2/catch.hpp>

#include "pinfold/config/settings.hpp"
#include "pinfold/config/values.hpp"
#include "pinfold/config/yaml.hpp"

namespace pinfold::config {
namespace {

// The error about a file with this text, without its path.
std::string problem(const std::string& text) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x.yaml", text);
  Settings settings;
  const std::string error = settings.load_file(path).value_or("none");
  return error.starts_with(path) ? error.substr(path.size()) : error;
}

Start start(Settings& settings, std::vector<const char*> arguments, std::vector<const char*> environment = {}) {
  arguments.insert(arguments.begin(), "pinfold-server");
  environment.push_back(nullptr);
  return settings.load_command_line(static_cast<int>(arguments.size()), arguments.data(), environment.data());
}

TEST_CASE("a file sets the settings that it names") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x.yaml",
                                           "# comment\n"
                                           "port: 7000\n"
                                           "bind: 127.0.0.1 -::1   # trailing\n"
                                           "MaxMemory: 64mb\n"
                                           "requirepass: \"a: # 'b'\"\n"
                                           "unixsocketperm: 0770\n"
                                           "enable-debug-command: local\n");
  Settings settings;
  CHECK(settings.load_file(path).value_or("").empty());
  CHECK(settings.integer(Id::port) == 7000);
  CHECK(settings.text(Id::bind) == "127.0.0.1 -::1");
  CHECK(settings.integer(Id::maxmemory) == 64 << 20);
  CHECK(settings.text(Id::requirepass) == "a: # 'b'");
  CHECK(settings.integer(Id::unixsocketperm) == 0770);
  CHECK(settings.show(Id::enable_debug_command) == "local");
  CHECK(settings.file() == path);
}

TEST_CASE("an empty file, an empty value and YAML's own words for flags are fine") {
  CHECK(problem("") == "none");
  CHECK(problem("# nothing\n") == "none");
  CHECK(problem("---\nport: 1\n") == "none");
  CHECK(problem("logfile:\nrequirepass: ''\n") == "none");
  for (const char* yes : {"yes", "true", "True", "YES", "on", "On"}) {
    const TemporaryDirectory directory;
    Settings settings;
    REQUIRE_FALSE(settings.load_file(directory.write("x", "enable-debug-command: " + std::string(yes))));
    CHECK(settings.show(Id::enable_debug_command) == "yes");
  }
  for (const char* no : {"no", "false", "off"}) CHECK(problem("appendonly: " + std::string(no)) == "none");
  CHECK(problem("appendonly: 'off'") == ":1: bad value \"off\" for 'appendonly': argument must be 'yes' or 'no'");
}

TEST_CASE("an error in a file is reported with its line") {
  CHECK(problem("port: 1\n\nmaxmemori: 1\n") == ":3: unknown setting 'maxmemori' (did you mean 'maxmemory'?)");
  for (const char* name : {"policy", "policis", "Policies"}) {
    INFO(name);
    CHECK(problem("port: 1\n" + std::string(name) + ":\n  - name: p\n    match: x\n") ==
          ":2: unknown setting '" + std::string(name) + "' (did you mean 'policies'?)");
  }
  CHECK(problem("policy: p\n") == ":1: unknown setting 'policy' (did you mean 'policies'?)");
  CHECK(problem("colour: [red]\n") == ":1: unknown setting 'colour'");
  CHECK(problem("# c\nport: abc\n") == ":2: bad value \"abc\" for 'port': argument couldn't be parsed into an integer");
  CHECK(problem("port:\n") == ":1: bad value \"\" for 'port': argument couldn't be parsed into an integer");
  CHECK(problem("timeout: 1\nport: [1, 2]\n") == ":2: 'port' must be a single value");
  CHECK(problem("port: {a: 1}\n") == ":1: 'port' must be a single value");
  CHECK(problem("port: 1\nport: 2\n") == ":2: 'port' is set twice");
  CHECK(problem("port: 1\nPort: 2\n") == ":2: 'Port' is set twice");
  CHECK(problem("[a]: 1\n") == ":1: expected the name of a setting");
  CHECK(problem("- a\n- b\n") == ":1: expected lines of the form 'name: value'");
  CHECK(problem("just text\n") == ":1: expected lines of the form 'name: value'");
  CHECK_THAT(problem("port: 1\n---\ntimeout: 1\n"), Catch::Contains("more than one YAML document"));
  for (const char* text : {",", ",\n", ", port: 1", "port: 1\n,", "a\n,", "]", "}", "- ,\n,", "?,", ":,", ",,,", "---\n,", "{a}\n,"}) {
    CHECK(problem(text) != "none");
  }
  CHECK_THAT(problem("port: 1\n  bad: x\n"), Catch::StartsWith(":2: not valid YAML: "));
  CHECK_THAT(problem("port: \"1\" 2\n"), Catch::StartsWith(":") && Catch::Contains("not valid YAML: "));
  for (const std::string text : {"bind: *\n", "requirepass: @abc\n", "users:\n  a: >secret on\n"}) {
    CHECK_THAT(problem(text), Catch::Contains("quotes") && !Catch::Contains("secret") && !Catch::Contains("abc"));
  }
  CHECK_THAT(problem("logfile: \"a\\nb\"\n"), Catch::StartsWith(":1: bad value \"a\\nb\" for 'logfile': "));
}

TEST_CASE("an error about a file is one line, whatever the file has in it") {
  for (const std::string text : {"\"a\\nb\": 1\n", "\"a\\nb\": [1]\n", "port: \"1\\n2\"\n", "\"port\\r\": 1\n\"port\\r\": 1\n",
                                 "port: \"\\\r\n\"\n", "port: \"\\\x01\"\n", "policies:\n  - \"a\\e[1mb\": [x]\n"}) {
    INFO(text);
    const std::string error = problem(text);
    CHECK(!error.empty());
    CHECK(std::none_of(error.begin(), error.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
  }
}

TEST_CASE("a value that is a quoted text without an end is refused") {
  for (const std::string text :
       {"bind: \"127.0.0.1\nport: 1\n", "bind: '127.0.0.1\nport: 1\n", "bind: \"127.0.0.1\\\"\n", "bind: '127.0.0.1''\n"}) {
    INFO(text);
    CHECK_THAT(problem(text), Catch::Contains("does not end") || Catch::Contains("not valid YAML"));
  }
  for (const std::string text :
       {"bind: \"127.0.0.1\"\n", "bind: '127.0.0.1' # x\n", "bind: \"127.0.0.1\n  ::1\"\n", "{bind: '127.0.0.1', port: 1}\n",
        "bind:\n  '127.0.0.1'\n", "\357\273\277bind: '127.0.0.1'\n", "bind: ''\n", "requirepass: 'it''s'\n", "requirepass: \"\\\"\"\n"}) {
    INFO(text);
    CHECK(problem(text) == "none");
  }
}

TEST_CASE("a file that is not text in UTF-8 is refused") {
  using namespace std::string_literals;
  for (const std::string& text : {"\xFE\xFF\0p\0o"s, "\xFF\xFEp\0o\0"s, "\xFF\xFE\0\0p\0\0\0"s, "\xFF\xFE"s}) {
    CHECK(problem(text) == ":1: the file is not in UTF-8");
  }
  const std::string control = "a control character: write it as in \"\\x01\"";
  for (const std::string& text : {"p\0o\0r\0t\0:\0"s, "\0p\0o\0r\0t\0:"s, "\0\0\xFE\xFF\0\0\0p"s, "\0"s, "\x04"s}) {
    CHECK(problem(text) == ":1: " + control);
  }
  for (const char c : {'\0', '\1', '\4', '\x0b', '\x1b', '\x1f'}) {
    CHECK(problem("port: 1\n# " + std::string(1, c) + "\ntimeout: \"1\n") == ":2: " + control);
    CHECK(problem("port: 1\r\n\ttimeout: \"" + std::string(1, c)) == ":2: " + control);
  }
  for (const std::string text : {"port: 1\n#\rtimeout: 1\n", "port: 1\ntimeout: 1\r", "port: 1\n#\r\r\n"}) {
    CHECK(problem(text) == ":2: a carriage return without a line feed behind it");  // YAML ends a line here
  }
  CHECK(problem("port: 1\r\n#\t\xc3\xa9 \x7f\r\n") == "none");
}

TEST_CASE("tags, anchors and aliases are refused, because a rule or a password without quotes may look like one") {
  const std::string why = ": a tag, an anchor or an alias of YAML: put a text that begins with !, & or * in quotes";
  const auto refused_at = [&](int line, const std::string& text) {
    INFO(text);
    CHECK(problem(text) == ":" + std::to_string(line) + why);
  };
  for (const std::string property : {"!~x", "!", "!x", "!!str", "!!binary", "!<x>", "!<?>", "!<!>", "&x", "&x !y", "!y &x"}) {
    for (const std::string text : {"", " abc", " 'abc'", " \"abc\"", " \"abc", " 'abc"}) {
      refused_at(1, "requirepass: " + property + text + "\nmaxmemory: 100mb\n");
      refused_at(3, "users:\n  a:\n    - " + property + text + "\n    - +get\n");
      refused_at(2, "users:\n  a: " + property + text + "\n");
      refused_at(2, "policies:\n  - name: " + property + text + "\n");
    }
    refused_at(1, property + " port: 1\n");
    refused_at(1, property + "\nport: 1\n");
    refused_at(2, "users:\n  " + property + " a: 'on'\n");
    refused_at(2, "users:\n  a: " + property + " ['on']\n");
    refused_at(1, "users: " + property + " {a: 'on'}\n");
    refused_at(1, "policies: " + property + " []\n");
  }
  refused_at(1, "requirepass: *secret\n");
  refused_at(4, "users:\n  a:\n    - on\n    - *x\n");
  refused_at(1, "timeout: &t 5\nhz: *t\n");
  refused_at(2, "%TAG !e! tag:example.org,2000:\n--- !e!x\nport: 1\n");
  CHECK(problem("users:\n  a: 'on !~x'\n  b: [\"!~x\", '&x', +get]\n  c: on !~x &x\nrequirepass: \"!\"\n") == "none");
}

TEST_CASE("a user has no empty rule") {
  for (const std::string rule : {"''", "\"\"", "|", ">-"})
    CHECK(problem("users:\n  a:\n    - " + rule + "\n") == ":3: a rule of a user is empty");
  CHECK_THAT(problem("users:\n  a:\n    -\n"), Catch::Contains("a rule of a user must be a text"));
}

TEST_CASE("a comment that may be a rule of a user, or a part of a password, is refused") {
  const std::string why = ": YAML takes '#' for a comment here: put the text in quotes, or a space after the '#'";
  CHECK(problem("users:\n  a: on #5e88 ~x !~y\n") == ":2" + why);
  CHECK(problem("users:\n  a: 'on'\n  b: on\t ~x ~on\n    ~on \t#5e88 !~y\n  c: on\n") == ":3" + why);
  CHECK(problem("users:\n  a:\n    - on\n    - ~x #!~y\n") == ":4" + why);
  CHECK(problem("users: {a: on #b\n}\n") == ":1" + why);
  CHECK(problem("users:\n  a: [on, ~x, #5e88, !~y,\n    +get]\n") == ":2" + why);
  CHECK(problem("users:\n  a: [on] #5e88\n") == ":2" + why);
  CHECK(problem("users:\n  a: #5e88 on\n") == ":2" + why);
  CHECK(problem("users:\n  a: \"on #5e88\" #x\n") == ":2" + why);
  CHECK(problem("requirepass: a #b\n") == ":1" + why);
  CHECK(problem("requirepass: #b\n") == ":1" + why);
  CHECK(problem("port: 1 #b\n") == "none");
  CHECK(problem("users:\n  a: on # 5e88\n  b: on #\n  c: on ~x#y\n  d: on ~x\n    ~y  # z\n#e\n  f: [on #\n  , ~y]\n  g: on") == "none");
  CHECK(problem("users:\n  a: \"on #5e88\" # x\n  b: |\n    on #5e88\n  c: on ## x\n  d: on #----\n  e: # x\n    on\n") == "none");
}

TEST_CASE("a settings file has a largest size") {
  const std::string text = "port: 1\n#" + std::string(largest_settings_file - 9, '-');
  CHECK(problem(text) == "none");
  CHECK(problem(text + "-") == ":1: the file is larger than 67108864 bytes");
}

TEST_CASE("rules of a user that are a quoted text without an end are refused") {
  for (const std::string text : {"users:\n  a: \"on +get\n", "users:\n  a:\n    - on\n    - '~x\n"}) {
    INFO(text);
    CHECK_THAT(problem(text), Catch::Contains("does not end") || Catch::Contains("not valid YAML"));
  }
  CHECK(problem("users:\n  a: \"on\n    +get\"\n") == "none");
}

TEST_CASE("the error about a file that cannot be read names it") {
  Settings settings;
  CHECK(settings.load_file("/nonexistent/x.yaml").value_or("") == "cannot read '/nonexistent/x.yaml': No such file or directory");
  CHECK(settings.load_file("/").value_or("") == "cannot read '/': Is a directory");
}

TEST_CASE("a message never shows a password") {
  for (const char* file : {"requirepass: [secret]\n", "requirepass: secret\nrequirepass: secret\n", "requirepass: \"secret\" secret\n",
                           "requirepass: *secret\n", "requirepass: !secret\n", "requirepass: &secret\n", "requirepass: !<secret\n",
                           "requirepass: !a!secret\n"}) {
    INFO(file);
    const std::string text = problem(file);
    CHECK(text != "none");
    CHECK(text.find("secret") == std::string::npos);
  }
}

TEST_CASE("the environment sets the settings that it names, and unknown names are refused") {
  Settings settings;
  const char* good[] = {"PATH=/bin", "PINFOLD_MAXMEMORY_POLICY=noeviction", "PINFOLD_TCP_KEEPALIVE=7", nullptr};
  CHECK(settings.load_environment(good).value_or("").empty());
  CHECK(settings.show(Id::maxmemory_policy) == "noeviction");
  CHECK(settings.integer(Id::tcp_keepalive) == 7);

  const char* unknown[] = {"PINFOLD_PROT=1", nullptr};
  CHECK(settings.load_environment(unknown).value_or("") ==
        "environment variable PINFOLD_PROT: unknown setting 'prot' (did you mean 'port'?)");
  const char* bad[] = {"PINFOLD_PORT=abc", nullptr};
  CHECK(settings.load_environment(bad).value_or("") ==
        "environment variable PINFOLD_PORT: bad value \"abc\" for 'port': argument couldn't be parsed into "
        "an integer");
  for (const Setting& setting : settings_table()) {
    CHECK(environment_name(setting).find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == std::string::npos);
  }
}

TEST_CASE("variables that Kubernetes sets for a service called pinfold are no settings") {
  Settings settings;
  const char* service[] = {"PINFOLD_PORT=tcp://10.0.0.1:6379", "PINFOLD_SERVICE_HOST=10.0.0.1", "PINFOLD_SERVICE_PORT_REDIS=6379",
                           "PINFOLD_PORT_6379_TCP_ADDR=10.0.0.1", nullptr};
  CHECK(settings.load_environment(service).value_or("").empty());
  CHECK(settings.integer(Id::port) == 6379);
}

TEST_CASE("the command line wins over the environment, and the environment over the file") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x.yaml", "maxclients: 100\ntimeout: 10\nhz: 20\n");
  Settings settings;
  const Start outcome =
      start(settings, {path.c_str(), "--maxclients", "300", "--port=7000"}, {"PINFOLD_MAXCLIENTS=200", "PINFOLD_TIMEOUT=20"});
  CHECK(outcome.outcome == Start::Outcome::run);
  CHECK(settings.integer(Id::hz) == 20);
  CHECK(settings.integer(Id::timeout) == 20);
  CHECK(settings.integer(Id::maxclients) == 300);
  CHECK(settings.integer(Id::port) == 7000);
}

TEST_CASE("values of options may be empty or look like options") {
  Settings settings;
  CHECK(start(settings, {"--requirepass=a=b", "--logfile", "", "--bind", "-::1"}).outcome == Start::Outcome::run);
  CHECK(settings.text(Id::requirepass) == "a=b");
  CHECK(settings.text(Id::bind) == "-::1");
  CHECK(start(settings, {"--requirepass", "--help"}).outcome == Start::Outcome::run);
  CHECK(settings.text(Id::requirepass) == "--help");
}

TEST_CASE("a wrong command line gets an error of one clear line") {
  Settings settings;
  const auto refusal = [&](std::vector<const char*> arguments) {
    const Start outcome = start(settings, std::move(arguments));
    CHECK(outcome.outcome == Start::Outcome::refused);
    return outcome.text;
  };
  CHECK(refusal({"--maxmemori", "1"}) == "unknown setting 'maxmemori' (did you mean 'maxmemory'?)");
  CHECK(refusal({"--entirely-else", "1"}) == "unknown setting 'entirely-else'");
  CHECK(refusal({"--port"}) == "option --port needs a value");
  CHECK(refusal({"--port", "70000"}) == "bad value \"70000\" for 'port': argument must be between 0 and 65535 inclusive");
  CHECK(refusal({"--a\nb", "1"}) == "unknown setting 'a\\nb'");
  CHECK(refusal({"-x"}) == "unexpected argument \"-x\" (options are --name value; the file comes first)");
  CHECK(refusal({"--port", "1", "late.yaml"}) == "unexpected argument \"late.yaml\" (options are --name value; the file comes first)");
}

TEST_CASE("help and version are printed and nothing is read") {
  Settings settings;
  for (const char* option : {"--help", "-h"}) {
    const Start outcome = start(settings, {option}, {"PINFOLD_PORT=abc"});
    CHECK(outcome.outcome == Start::Outcome::print);
    for (const Setting& setting : settings_table()) CHECK_THAT(outcome.text, Catch::Contains(std::string(setting.name)));
  }
  for (const char* option : {"--version", "-v"}) {
    CHECK_THAT(start(settings, {option}).text, Catch::StartsWith("Pinfold server v="));
  }
}

}  // namespace
}  // namespace pinfold::config
