// Fuzzes the settings file: its YAML, its settings, its policies, and CONFIG REWRITE.
//
// The input is a settings file. Its last bytes choose some settings that are changed at run time before the file is written anew.
// Invariants:
//   - a file is accepted, or refused with one line that names it
//   - a rewritten file is read again with the same settings and policies; a rewrite that fails leaves the file as it was
//   - a field of a policy that is shown is read again with the same meaning
//   - the policies find for a key the first one whose pattern matches it

#include "pinfold/config/yaml.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/require.hpp"
#include "support/tail.hpp"
#include <unistd.h>

#include "pinfold/base/glob.hpp"
#include "pinfold/cache/policies.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/server/checks.hpp"

using fuzz::require;
using pinfold::cache::Policy;
using pinfold::cache::PolicySet;
using pinfold::config::Id;
using pinfold::config::Setting;
using pinfold::config::Settings;
namespace server = pinfold::server;

namespace {

// A folder of this process, in memory if the system has a place for that.
class Folder {
 public:
  Folder() {
    const char* const chosen = std::getenv("TMPDIR");
    const char* const place = chosen != nullptr ? chosen : std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    path_ = std::string(place) + "/pinfold-fuzz-yaml-XXXXXX";
    require(::mkdtemp(path_.data()) != nullptr, "there is no folder for the settings file");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string file() const { return path_ + "/settings.yaml"; }
  void write(std::string_view text) const {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> to(std::fopen(file().c_str(), "wb"), std::fclose);
    require(to != nullptr && std::fwrite(text.data(), 1, text.size(), to.get()) == text.size(), "the settings file cannot be written");
  }
  std::string read() const {
    std::string text;
    require(!pinfold::config::read_whole(file(), text), "the settings file cannot be read");
    return text;
  }

 private:
  std::string path_;
};

// Values for any setting; most are right for some of them.
constexpr std::string_view values[] = {
    "",
    "0",
    "1",
    "-1",
    "7",
    "100",
    "6379",
    "yes",
    "no",
    "auto",
    "64mb",
    "1gb",
    "75%",
    "5%",
    "30s",
    "10ms",
    "1h",
    "info",
    "warning",
    "local",
    "allkeys-lfu",
    "noeviction",
    "127.0.0.1 ::1",
    "* ::*",
    "a\"b\\c",
    "# none",
    "null",
    "~",
    "'q' : x",
    "a\nb",
    "\xc3\xbc",
    "\xff",
    "- x",
    "normal 1mb 512kb 10",
    "{}",
    "|",
    "?",
};

using Fields = std::vector<std::pair<std::string, std::string>>;

std::vector<Fields> fields_of(const Settings& settings) {
  std::vector<Fields> all;
  for (const auto& policy : settings.policies()) {
    Fields& fields = all.emplace_back();
    for (const auto& field : policy) fields.emplace_back(field.name, field.value);
  }
  return all;
}

void check_rewrite(const Folder& folder, Settings& settings, fuzz::Tail& choices) {
  const std::string before = folder.read();
  for (unsigned left = choices.byte() % 4U; left > 0; --left) {
    const auto table = pinfold::config::settings_table();
    const Setting& setting = table[choices.byte() % table.size()];
    const std::string_view value = values[choices.byte() % std::size(values)];
    static_cast<void>(settings.set(setting.id, value, setting.runtime));
  }
  if (const auto error = settings.rewrite()) {
    require(!error->empty() && error->find('\n') == std::string::npos, "an error of a rewrite is one line", *error);
    require(folder.read() == before, "a rewrite that fails changes the file", *error);
    return;
  }
  Settings again;
  const auto error = again.load_file(folder.file());
  require(!error, "a rewritten file is refused", error.value_or(""));
  for (const Setting& setting : pinfold::config::settings_table()) {
    require(again.show(setting.id) == settings.show(setting.id), "a rewritten file has another value", setting.name);
  }
  require(fields_of(again) == fields_of(settings), "a rewritten file has other policies");
  const std::string after = folder.read();
  require(!settings.rewrite() && folder.read() == after, "a second rewrite changes the file");
}

void check_fields(const Policy& policy) {
  Policy again;
  again.name = policy.name;
  for (const std::string_view field : pinfold::cache::policy_fields()) {
    const auto error = pinfold::cache::set_field(again, field, pinfold::cache::show_field(policy, field));
    require(!error, "a field is shown as it would be refused", error.value_or(""));
  }
  again.slot = policy.slot;
  require(again == policy, "a policy is shown as another one");
}

void check_match(const PolicySet& set, std::string_view key) {
  const Policy* first = nullptr;
  for (const Policy& policy : set.all()) {
    const pinfold::Glob glob(policy.match);
    const bool compared = glob.cost() == 0 || key.size() <= PolicySet::longest_searched;
    if (!compared || !glob.matches(key)) continue;
    first = &policy;
    break;
  }
  require(set.match(key) == first, "a key has another policy than the first one that matches it", key);
}

void check_policies(std::vector<Policy> policies, std::string_view text) {
  for (const Policy& policy : policies) check_fields(policy);
  static_cast<void>(pinfold::cache::warnings_about(policies, 10'000));
  const PolicySet set(std::move(policies));
  for (const Policy& policy : set.all()) {
    require(set.find(policy.name) == &policy && set.at(policy.slot) == &policy, "a policy is not found");
    // What is like a pattern is likely to match it: the pattern itself, and with something in the place of its stars.
    std::string key = policy.match;
    check_match(set, key);
    for (char& c : key) c = c == '*' || c == '?' ? 'x' : c;
    check_match(set, key);
    check_match(set, key.substr(0, key.size() / 2));
    check_match(set, key + key);
  }
  for (std::size_t at = 0; at < text.size(); at += 16) check_match(set, text.substr(at, 1 + at % 40));
}

}  // namespace

// The file need not outlast the process.
extern "C" int __wrap_fsync(int /*fd*/) { return 0; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  fuzz::Tail tail(data, size);
  const std::string_view choices = tail.bytes(8);
  const std::string_view text = tail.text();
  folder.write(text);
  Settings settings;
  if (const auto error = settings.load_file(folder.file())) {
    require(error->starts_with(folder.file() + ":"), "an error names the file and a line", *error);
    require(error->find('\n') == std::string::npos, "an error is one line", *error);
    return 0;
  }
  std::vector<Policy> policies;
  const auto error = server::read_policies(settings, policies);
  require(!error || (!error->empty() && error->find('\n') == std::string::npos), "an error is one line", error.value_or(""));
  if (!error) check_policies(std::move(policies), text);
  fuzz::Tail chosen(reinterpret_cast<const std::uint8_t*>(choices.data()), choices.size());
  check_rewrite(folder, settings, chosen);
  return 0;
}
