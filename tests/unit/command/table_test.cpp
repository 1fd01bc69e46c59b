#include <algorithm>
#include <random>
#include <set>

#include <catch2/catch.hpp>

#include "pinfold/base/text.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/describe.hpp"
#include "pinfold/command/syntax.hpp"

using namespace pinfold::command;

namespace {

using Words = std::vector<std::string_view>;

const Row* find(const Words& words) { return find_command(words); }

std::string name_of(const Row* row) { return row == nullptr ? "none" : std::string(row->name); }

bool is_subcommand(const Row& row) { return row.name.find('|') != std::string_view::npos; }

std::vector<std::uint32_t> keys_of(const Words& words) {
  std::vector<std::uint32_t> positions;
  const Row* row = find(words);
  REQUIRE(row != nullptr);
  REQUIRE(extract_keys(*row, words, positions) == Extraction::done);
  return positions;
}

int least_words(const Argument& argument);

// How many words at least stand for these arguments in a command.
int least_words(const std::vector<Argument>& arguments) {
  int words = 0;
  for (const Argument& argument : arguments) words += argument.optional ? 0 : least_words(argument);
  return words;
}

int least_words(const Argument& argument) {
  if (argument.type == ArgumentType::pure_token) return 1;
  const int token = argument.token.empty() ? 0 : 1;
  if (argument.type == ArgumentType::block) return token + least_words(argument.arguments);
  if (argument.type != ArgumentType::oneof) return token + 1;
  int least = 1000;
  for (const Argument& alternative : argument.arguments) least = std::min(least, least_words(alternative));
  return token + least;
}

std::string in_random_case(std::string_view text, std::mt19937& random) {
  std::string result(text);
  for (char& c : result) {
    if (random() % 2 == 0) c = pinfold::upper(c);
  }
  return result;
}

}  // namespace

TEST_CASE("table: commands are found whatever their case") {
  std::mt19937 random(1);
  for (const Row* row : commands()) {
    INFO(row->name);
    for (int i = 0; i < 10; ++i) {
      const std::string name = in_random_case(row->name, random);
      CHECK(find_command_by_name(name) == row);
      const std::size_t bar = name.find('|');
      const std::string first = name.substr(0, bar);
      const std::string second = bar == std::string::npos ? "x" : name.substr(bar + 1);
      if (is_subcommand(*row)) CHECK(find({first, second}) == row);
      if (!is_subcommand(*row)) CHECK(find({first}) == row);
    }
  }
}

TEST_CASE("table: what is no command is not found") {
  using namespace std::string_literals;
  const std::string names[] = {"",
                               "g",
                               "ge",
                               "gett",
                               "get ",
                               " get",
                               "get\0"s,
                               "\0get"s,
                               "g\xe5t",
                               "client|kill",
                               "client|",
                               "|",
                               "|kill",
                               std::string(31, 'a'),
                               std::string(32, 'a'),
                               std::string(33, 'a'),
                               std::string(100000, 'a'),
                               "GET\r\n",
                               "g@t",
                               "[get",
                               "`get"};
  for (const std::string& name : names) {
    INFO(name);
    CHECK(find({name}) == nullptr);
  }
  CHECK(find({}) == nullptr);
  // Letters are the only bytes whose case is ignored.
  CHECK(find_command_by_name("client\\kill") == nullptr);
}

TEST_CASE("table: an unknown subcommand leads to its container") {
  CHECK(name_of(find({"OBJECT", "freq", "key"})) == "object|freq");
  CHECK(name_of(find({"OBJECT", "nope"})) == "object");
  CHECK(name_of(find({"OBJECT", ""})) == "object");
  CHECK(name_of(find({"OBJECT", std::string(1000, 'x')})) == "object");
  CHECK(name_of(find({"OBJECT"})) == "object");
  CHECK(name_of(find({"GET", "freq"})) == "get");
}

TEST_CASE("table: every row has its place") {
  for (std::size_t i = 0; i < commands().size(); ++i) CHECK(command_index(*commands()[i]) == i);
}

TEST_CASE("table: containers know their subcommands") {
  std::size_t inner = 0;
  for (const Row* row : commands()) {
    for (const Row* subcommand : subcommands(*row)) {
      ++inner;
      CHECK(subcommand->name.starts_with(std::string(row->name) + "|"));
    }
    CHECK(is_container(*row) == !subcommands(*row).empty());
    // Without a handler of its own a container has to have something else to run.
    if (row->handler == nullptr) CHECK(is_container(*row));
  }
  CHECK(inner ==
        static_cast<std::size_t>(std::count_if(commands().begin(), commands().end(), [](const Row* row) { return is_subcommand(*row); })));
}

TEST_CASE("table: every row is complete and consistent") {
  const std::set<std::string_view> groups = {"string",       "generic", "connection", "server",      "bitmap",
                                             "transactions", "cache",   "pubsub",     "scripting",   "hash",
                                             "list",         "set",     "sorted-set", "hyperloglog", "geo"};
  for (const Row* row : commands()) {
    INFO(row->name);
    CHECK(row->name == pinfold::to_lower(row->name));
    CHECK(row->arity != 0);
    if (is_subcommand(*row)) CHECK(std::abs(row->arity) >= 2);
    CHECK(groups.count(row->group) == 1);
    CHECK_FALSE(row->since.empty());
    CHECK_FALSE(row->complexity.empty());
    CHECK(row->summary.size() > 5);
    CHECK(row->summary.back() == '.');
    CHECK(row->summary.find_first_of("\r\n") == std::string_view::npos);
    CHECK(parse_syntax(row->syntax));
    CHECK_FALSE(((row->flags & kWrite) != 0 && (row->flags & kReadOnly) != 0));
    if ((row->flags & kDenyOom) != 0) CHECK((row->flags & kWrite) != 0);
    for (const KeySpec& spec : row->keys) {
      if (spec.kind == KeySpec::Kind::none) continue;
      CHECK(spec.first >= 1);
      CHECK(spec.step >= 1);
      CHECK_FALSE(key_use_names(spec.use).empty());
    }
    if (row->keys[0].kind == KeySpec::Kind::none) CHECK(row->keys[1].kind == KeySpec::Kind::none);
    CHECK_FALSE(category_names(*row).empty());
  }
}

TEST_CASE("table: the arity says how many arguments the syntax needs") {
  for (const Row* row : commands()) {
    INFO(row->name);
    if (is_container(*row)) continue;
    const int words = (is_subcommand(*row) ? 2 : 1) + least_words(arguments_of(*row));
    // Redis leaves it to some handlers to find that arguments are missing.
    CHECK(words >= std::abs(row->arity));
    if (row->arity > 0) CHECK(words == row->arity);
  }
}

TEST_CASE("table: the only key of a request is the one that extract_keys finds") {
  for (const Row* row : commands()) {
    INFO(row->name);
    for (std::size_t size = 1; size < 12; ++size) {
      const Words words(size, "1");
      std::vector<std::uint32_t> positions;
      const bool found = extract_keys(*row, words, positions) == Extraction::done;
      const std::size_t only = only_key(*row, words);
      if (only != 0) CHECK(positions == std::vector<std::uint32_t>{static_cast<std::uint32_t>(only)});
      const bool one_range =
          row->keys[0].kind == KeySpec::Kind::range && (row->keys[1].kind == KeySpec::Kind::none || row->keys[1].follows_word());
      if (one_range && found && positions.size() == 1) CHECK(only == positions[0]);
    }
  }
}

TEST_CASE("table: keys are found where they stand") {
  using Positions = std::vector<std::uint32_t>;
  CHECK(keys_of({"get", "a"}) == Positions{1});
  CHECK(keys_of({"del", "a", "b", "c"}) == Positions{1, 2, 3});
  CHECK(keys_of({"copy", "a", "b", "REPLACE"}) == Positions{1, 2});
  CHECK(keys_of({"mset", "a", "1", "b", "2"}) == Positions{1, 3});
  CHECK(keys_of({"bitop", "and", "d", "a", "b"}) == Positions{2, 3, 4});
  CHECK(keys_of({"object", "freq", "a"}) == Positions{2});
  CHECK(keys_of({"msetex", "2", "a", "1", "b", "2", "EX", "5"}) == Positions{2, 4});
  CHECK(keys_of({"cache.set", "k", "v", "EX", "5", "DEPENDS", "2", "a", "b", "STALE", "1"}) == Positions{1, 7, 8});
  CHECK(keys_of({"cache.set", "k", "v", "tags", "2", "DEPENDS", "1", "depends", "1", "a"}) == Positions{1, 9});
  CHECK(keys_of({"cache.set", "DEPENDS", "DEPENDS", "TOKEN", "DEPENDS", "KEEPTTL", "DEPENDS", "1", "a"}) == Positions{1, 8});
  CHECK(keys_of({"cache.absent", "k", "DEPENDS", "1", "a"}) == Positions{1, 4});
  CHECK(keys_of({"cache.set", "k", "v", "NOSUCH", "DEPENDS", "1", "a"}) == Positions{1});  // the handler answers with an error before it
  CHECK(keys_of({"cache.set", "k", "v", "TAGS", "x", "DEPENDS", "1", "a"}) == Positions{1});
  CHECK(keys_of({"ping", "a"}).empty());
  CHECK(keys_of({"scan", "0"}).empty());
}

TEST_CASE("table: a count of keys that does not fit finds none") {
  for (const char* count : {"0", "-1", "3", "x", "", "9223372036854775807", "4611686018427387905", "99999999999999999999"}) {
    INFO(count);
    const Words words = {"msetex", count, "a", "1", "b", "2"};
    std::vector<std::uint32_t> positions = {7};
    CHECK(extract_keys(*find(words), words, positions) == Extraction::malformed);
    CHECK(positions == std::vector<std::uint32_t>{7});
  }
}

TEST_CASE("table: keys are never looked for past the arguments") {
  std::mt19937 random(7);
  const std::string_view samples[] = {"", "0", "1", "2", "-1", "5", "100", "key", "9223372036854775807", "GET"};
  for (const Row* row : commands()) {
    for (int round = 0; round < 300; ++round) {
      const std::size_t size = random() % 9;
      // A copy of exactly this size, so that a sanitizer sees any step beyond it.
      Words args(size);
      for (std::string_view& arg : args) arg = samples[random() % std::size(samples)];
      args.shrink_to_fit();
      std::vector<std::uint32_t> positions;
      const bool fits = extract_keys(*row, args, positions) == Extraction::done;
      if (!fits) CHECK(positions.empty());
      for (const std::uint32_t position : positions) REQUIRE(position < size);
    }
  }
}

TEST_CASE("table: what happens to a key may depend on the arguments") {
  const auto use = [](const Words& words) { return key_use(find(words)->keys[0], words); };
  CHECK(use({"set", "k", "v"}) == KeyUse::write);
  CHECK(use({"set", "k", "get"}) == KeyUse::write);
  CHECK(use({"set", "k", "v", "EX", "5", "Get"}) == KeyUse::modify);
  CHECK(use({"bitfield", "k"}) == KeyUse::read);
  CHECK(use({"bitfield", "k", "get", "u8", "0", "OVERFLOW", "wrap"}) == KeyUse::read);
  CHECK(use({"bitfield", "k", "get", "u8"}) == KeyUse::modify);
  CHECK(use({"bitfield", "k", "get", "u8", "0", "set", "u8", "0", "1"}) == KeyUse::modify);
  CHECK(use({"get", "k"}) == KeyUse::read);
}

TEST_CASE("command table: passwords are never shown, and names of keys only as such") {
  const auto shown = [](const Words& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
      const Shown one = shown_argument(*find(words), words, i);
      text += one == Shown::plain ? '.' : one == Shown::key ? 'k' : 's';
    }
    return text;
  };
  CHECK(shown({"AUTH", "secret"}) == ".s");
  CHECK(shown({"AUTH", "name", "secret"}) == ".ss");
  CHECK(shown({"AUTH", "a", "b", "c", "d"}) == ".ssss");
  CHECK(shown({"HELLO"}) == ".");
  CHECK(shown({"HELLO", "3", "auth", "name", "secret", "SETNAME", "me"}) == "...ss..");
  CHECK(shown({"HELLO", "3", "SETNAME", "AUTH", "AUTH", "secret", "me"}) == "....sss");
  CHECK(shown({"HELLO", "3", "AUTH"}) == "...");
  CHECK(shown({"HELLO", "3", "AUHT", "name", "secret", "SETNAME", "me"}) == "..sss..");
  CHECK(shown({"HELLO", "secret"}) == ".s");
  CHECK(shown({"CONFIG", "SET", "timeout", "1", "RequirePass", "secret"}) == ".....s");
  CHECK(shown({"CONFIG", "SET", "requirepass", "secret", "secret"}) == "...ss");
  CHECK(shown({"CONFIG", "SET", "requirepass", "hz", "secret"}) == "...ss");
  CHECK(shown({"CONFIG", "SET", "timeout", "requirepass", "secret"}) == "....s");
  CHECK(shown({"CONFIG", "SET", "requirepas", "secret", "hz", "10"}) == "..ss..");
  CHECK(shown({"CONFIG", "SET", "requirepass", "my", "secret", "hz", "10"}) == "...ssss");
  CHECK(shown({"CONFIG", "SET", "secret", "requirepass"}) == "..ss");
  CHECK(shown({"CONFIG", "GET", "requirepass"}) == "...");
  CHECK(shown({"CONFIG", "GET", "requirepass", "secret", "maxmemory"}) == "...s.");
  CHECK(shown({"CONFIG", "GET", "tls-key-file-pass", "my", "secret"}) == "...ss");
  CHECK(shown({"CONFIG", "GET", "requirepas", "secret", "max*", "MaxMemory", "h?", "[hz]*"}) == "..ss....");
  CHECK(shown({"GET", "k"}) == ".k");
  CHECK(shown({"MSET", "a", "1", "b", "2"}) == ".k.k.");
  CHECK(shown({"LCS", "a"}) == ".k");
  CHECK(shown({"CACHE.PURGE", "PREFIX", "user:"}) == "..k");
  CHECK(shown({"CACHE.PURGE", "tags", "1", "t"}) == "...k");
  CHECK(shown({"DEBUG", "OBJECT", "k"}) == "..k");
  CHECK(shown({"DEBUG", "OBJEKT", "k"}) == "..k");
  CHECK(shown({"DEBUG", "SLEEP", "1"}) == "...");
  CHECK(shown({"DEBUG", "POPULATE", "1", "k", "5"}) == "...k.");
  CHECK(shown({"DEBUG"}) == ".");
  CHECK(shown({"ACL", "SETUSER", "ada", "on", ">secret", "<secret", "#5ec7e7", "!5ec7e7", "!~a", "~a", "+get"}) == "....ssss...");
  CHECK(shown({"ACL", "SETUSER", "ada", "secret", "(>secret)", "(+get", "~a)", "ON", "db=1"}) == "...ss....");
  CHECK(shown({"ACL", "SETUSER", "ada", "(+get ~a #5ec7e7)"}) == "...s");
  CHECK(shown({"ACL", "DRYRUN", "ada", "auth", "name", "secret"}) == "....ss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "get", "k"}) == "....s");
  CHECK(shown({"ACL", "DRYRUN", "ada", "set", "k", "value"}) == "....ss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "keys", "k*"}) == "....s");
  CHECK(shown({"ACL", "DRYRUN", "ada", "client", "setname", "me"}) == ".....s");
  CHECK(shown({"ACL", "DRYRUN", "ada", "client", "kill", "id", "1"}) == ".......");
  CHECK(shown({"ACL", "DRYRUN", "ada", "cache.purge", "prefix", "k"}) == ".....k");
  CHECK(shown({"ACL", "DRYRUN", "ada", "debug", "object", "k"}) == ".....k");
  CHECK(shown({"ACL", "DRYRUN", "ada", "config", "set", "timeout", "1", "requirepass", "secret"}) == "........s");
  CHECK(shown({"ACL", "DELUSER", "ada", ">secret"}) == "...s");
  CHECK(shown({"ACL", "SETUSER", ">secret", "on"}) == "..s.");
  CHECK(shown({"ACL", "DELUSER", "ada on >secret", "bob"}) == "..s.");
  CHECK(shown({"ACL", "GETUSER", "ada"}) == "...");
  CHECK(shown({"ACL", "GETUSER", ">secret"}) == "..s");
  CHECK(shown({"ACL", "GETUSER", "ada >secret"}) == "..s");
  CHECK(shown({"COMMAND", "GETKEYS", "AUTH", "secret"}) == "...s");
  CHECK(shown({"COMMAND", "GETKEYS", "HELLO", "3", "AUTH", "name", "secret"}) == ".....ss");
  CHECK(shown({"COMMAND", "GETKEYSANDFLAGS", "CONFIG", "SET", "requirepass", "secret"}) == ".....s");
  CHECK(shown({"COMMAND", "GETKEYS", "ACL", "SETUSER", "ada", ">secret"}) == ".....s");
  CHECK(shown({"COMMAND", "GETKEYS", "AUHT", "secret"}) == "..ss");
  CHECK(shown({"COMMAND", "GETKEYS", "ACL", "SETUSR", "ada", ">secret"}) == "..ssss");
  CHECK(shown({"COMMAND", "GETKEYS", "COMMAND", "GETKEYS", "AUTH", "secret"}) == "..ssss");
  CHECK(shown({"COMMAND", "GETKEYS", "ACL", "DRYRUN", "ada", "AUTH", "secret"}) == "..sssss");
  CHECK(shown({"COMMAND", "GETKEYS", "MSET", "a", "1"}) == "...k.");
  CHECK(shown({"COMMAND", "DOCS", "get", "AUTH", "secret", "config|get"}) == "....s.");
  CHECK(shown({"COMMAND", "INFO", "secret"}) == "..s");
  CHECK(shown({"LATENCY", "HISTOGRAM", "auth", "secret"}) == "...s");
  CHECK(shown({"ACL", "SETUSR", "ada", ">secret"}) == ".sss");
  CHECK(shown({"CONFIG", "SETT", "requirepass", "secret"}) == ".sss");
  CHECK(shown({"COMMAND", "GETKEYZ", "AUTH", "secret"}) == ".sss");
  CHECK(shown({"CACHE.SET", "k", "v", "EX", "9", "TAGS", "2", "t", "u"}) == ".k.....kk");
  CHECK(shown({"CACHE.SET", "k", "tags", "tags", "t"}) == ".k..k");
  CHECK(shown({"CACHE.ABSENT", "k", "TAGS", "1", "t"}) == ".k..k");
  CHECK(shown({"ACL", "SETUSER", "ada >secret", "~a >secret", "(~a", "+get >secret)", "(~a)>secret", "on"}) == "..ss.ss.");
}

TEST_CASE("command table: nothing is shown of a request that ACL DRYRUN cannot try") {
  const auto shown = [](const Words& words) {
    std::string text;
    for (std::size_t i = 3; i < words.size(); ++i) text += shown_argument(*find(words), words, i) == Shown::secret ? 's' : '.';
    return text;
  };
  CHECK(shown({"ACL", "DRYRUN", "ada", "nosuch", "k"}) == "ss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "AUHT", "bob", "secret"}) == "sss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "CONFIG", "ST", "requirepass", "secret"}) == "ssss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "ACL", "SETUSR", "bob", "on", ">secret"}) == "sssss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "ACL", "DRYRUN", "ada", "AUTH", "secret"}) == "sssss");
  CHECK(shown({"ACL", "DRYRUN", "CONFIG", "SET", "requirepass", "secret"}) == "sss");
  CHECK(shown({"ACL", "DRYRUN", "ada", "CONFIG"}) == "s");
  CHECK(shown({"ACL", "DRYRUN", "ada", "CONFIG", "GET", "maxmemory"}) == "...");
}

TEST_CASE("command table: tags are taken for such wherever they stand") {
  Words words(40, "x");
  words[0] = "CACHE.SET";
  words.back() = "t";
  CHECK(shown_argument(*find(words), words, 39) == Shown::key);
  CHECK(shown_argument(*find(words), words, 10) == Shown::plain);
}
