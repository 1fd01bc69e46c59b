#include "requests.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "pinfold/base/text.hpp"
#include "pinfold/cache/policies.hpp"
#include "pinfold/command/syntax.hpp"
#include "pinfold/config/settings.hpp"

namespace fuzz {

namespace command = pinfold::command;
using command::Argument;
using command::ArgumentType;
using Words = std::vector<std::string>;

namespace {

// Few keys, so that requests meet each other's: short and long ones, of the sizes at which the store does something else.
constexpr std::string_view keys[] = {"k1",  "k1",  "k1",   "k2",  "k2",         "k3",       "k4",        "p:1",       "p:2",
                                     "p:3", "q:1", "{a}1", "\\e", "\\x00\\xff", "m\\*300;", "n\\*2100;", "b\\*20000;"};
constexpr std::string_view strings[] = {"v",
                                        "\\e",
                                        "1",
                                        "-7",
                                        "12345678901234567890",
                                        "3.5",
                                        "1e400",
                                        "nan",
                                        "aXbXc",
                                        "\\x00\\x80",
                                        "w\\*40;",
                                        "w\\*500;",
                                        "w\\*15000;",
                                        "w\\*16384;",
                                        "w\\*17000;",
                                        "w\\*70000;",
                                        "w\\*300000;",
                                        "0123456789abcdef"};
constexpr std::string_view lua[] = {
    "return\\_redis.call(unpack(ARGV))",
    "return\\_redis.pcall(unpack(ARGV))",
    "return\\_redis.call('GET',KEYS[1])",
    "return\\_redis.call('SET',KEYS[1],ARGV[1]\\_or\\_'x')",
    "redis.setresp(3)\\_return\\_{redis.pcall('CACHE.GET',KEYS[1]),redis.pcall('SCAN','0'),{double=1.5},{map={a=1}}}",
    "for\\_i=1,50\\_do\\_redis.pcall('APPEND',KEYS[1]\\_or\\_'k1',string.rep('y',i*100))\\_end\\_return\\_redis.call('GET','k1')",
    "redis.call('SELECT',3)\\_redis.call('MSET','k1','a','k2','b')\\_return\\_redis.call('KEYS','*')",
    "local\\_t={}\\_while\\_true\\_do\\_t[#t+1]=string.rep('x',10000)\\_end",
    "while\\_true\\_do\\_redis.pcall('INCR','k3')\\_end",
    "return\\_{1,'a',false,{ok='y'},{err='MY\\_x'},cjson.encode(KEYS),cmsgpack.pack(ARGV),redis.sha1hex('x')}",
    "#!lua\\_flags=no-writes\\x0areturn\\_redis.pcall('DEL','k1')",
    "#!lua\\_name=l\\x0aredis.register_function('f',function(k,a)\\_return\\_redis.pcall(unpack(a))\\_end)",
    "#!lua\\_name=m\\x0aredis.register_function{function_name='g',callback=function(k)\\_return\\_redis.call('MGET',unpack(k))\\_end,flags="
    "{'no-writes'}}",
};
constexpr std::string_view functions[] = {"f", "g", "f", "nosuch"};
constexpr std::string_view integers[] = {"0",
                                         "1",
                                         "1",
                                         "2",
                                         "3",
                                         "5",
                                         "8",
                                         "10",
                                         "16",
                                         "50",
                                         "100",
                                         "512",
                                         "1000",
                                         "4096",
                                         "60000",
                                         "600000",
                                         "-1",
                                         "-2",
                                         "-100",
                                         "100000",
                                         "2097152",
                                         "2147483647",
                                         "4294967295",
                                         "4294967296",
                                         "\\t",
                                         "\\c",
                                         "1800000001",
                                         "1800000000500",
                                         "9007199254740993",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "01",
                                         "+1",
                                         "1.0"};
constexpr std::string_view reals[] = {"0", "1", "1.5", "-0.25", "1e300", "inf", "nan", "1000", "0.1"};
constexpr std::string_view patterns[] = {"*", "k*", "p:*", "*1", "[kp]*", "k?", "*[12]", "\\\\*", "a*a*a*a*b", "[^k]*", "*x*x*", "\\e"};
constexpr std::string_view encodings[] = {"u1", "u8", "i8", "u16", "i32", "u63", "i64", "u64", "i65", "u0"};
constexpr std::string_view setting_values[] = {
    "0",    "1",   "yes",  "no",         "1mb",         "2mb",         "4mb",          "16mb",
    "50%",  "5%",  "100",  "noeviction", "allkeys-lru", "allkeys-lfu", "volatile-ttl", "allkeys-random",
    "pass", "\\e", "10ms", "1000",       "local"};
constexpr std::string_view policy_values[] = {"k*", "p:*", "*1",  "k1",  "100",    "10ms",      "1s",        "1h",  "0",
                                              "5%", "50%", "1kb", "1mb", "normal", "protected", "first-out", "1.5", "3"};
constexpr std::string_view names[] = {"p1", "p2", "p3", "pass", "default", "t1", "t2", "t3"};
constexpr std::string_view debug_words[] = {"OBJECT", "SLEEP", "SET-ACTIVE-EXPIRE", "POPULATE", "PROTOCOL", "ERROR", "HELP"};
constexpr std::string_view sections[] = {"server", "clients", "memory",     "stats", "keyspace", "commandstats", "errorstats",
                                         "cache",  "locks",   "everything", "all",   "default",  "replication",  "cpu"};
constexpr std::string_view addresses[] = {"127.0.0.1:10001", "127.0.0.1:10002", "127.0.0.1:6379", "1.2.3.4:5"};
constexpr std::string_view small_ids[] = {"1", "2", "3", "4", "5", "6"};
constexpr std::string_view types[] = {"string", "hash", "nosuch"};

std::string name_of_command(Random& random) { return std::string(random.pick(command::commands())->name); }

std::string string_for(Random& random, std::string_view name) {
  const auto is = [name](auto... words) { return ((name == words) || ...); };
  if (is("parameter")) return std::string(random.pick(pinfold::config::settings_table()).name);
  if (is("field")) return std::string(random.pick(pinfold::cache::policy_fields()));
  if (is("encoding")) return std::string(random.pick(encodings));
  if (is("section")) return std::string(random.pick(sections));
  if (is("subcommand")) return std::string(random.pick(debug_words));
  if (is("command", "command-name")) return name_of_command(random);
  if (is("ip:port")) return std::string(random.pick(addresses));
  if (is("token", "match-digest")) return random.one_in(4) ? std::string(random.pick(strings)) : "\\t";
  if (is("type")) return std::string(random.pick(types));
  if (is("tag", "name", "username", "password", "category")) return std::string(random.pick(names));
  if (is("prefix")) return std::string(random.pick(keys));
  if (is("beta")) return std::string(random.pick(reals));
  if (is("script", "function-code")) return std::string(random.pick(lua));
  if (is("function")) return std::string(random.pick(functions));
  if (is("sha1")) return random.one_in(2) ? "620cd258c2c9c88c9d10db67812ccf663d96bdc6" : std::string(random.pick(strings));
  if (is("arg")) return random_word(random);
  return std::string(random.pick(strings));
}

class Maker {
 public:
  explicit Maker(Random& random) : random_(random) {}

  Words make(const command::Row& row) {
    begin(row);
    arguments(command::arguments_of(row));
    if (row.name == "config|set") fit_values(setting_values);
    if (row.name == "cache.policy|set") fit_values(policy_values);
    spoil();
    return std::move(words_);
  }

 private:
  void begin(const command::Row& row) {
    std::string name(row.name);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return pinfold::upper(c); });
    const std::size_t bar = name.find('|');
    words_.push_back(name.substr(0, bar));
    if (bar != std::string::npos) words_.push_back(name.substr(bar + 1));
    fixed_ = words_.size();
  }

  void arguments(const std::vector<Argument>& all) {
    for (const Argument& each : all) {
      if (each.optional && !random_.one_in(3)) continue;
      argument(each);
    }
  }

  void argument(const Argument& each) {
    std::size_t times = 1;
    if (each.multiple) {
      while (times < 40 && !random_.one_in(3)) ++times;
      if (each.optional && random_.one_in(4)) --times;
    }
    const bool counted = each.multiple && number_at_ != 0;
    if (counted) {
      if (!random_.one_in(16)) words_[number_at_] = std::to_string(times);
      number_at_ = 0;
    }
    for (std::size_t i = 0; i < times; ++i) {
      if (!each.token.empty() && (i == 0 || each.multiple_token || each.type == ArgumentType::pure_token)) words_.push_back(each.token);
      value(each);
    }
  }

  void value(const Argument& each) {
    switch (each.type) {
      case ArgumentType::pure_token:
        return;
      case ArgumentType::oneof:
        return argument(random_.pick(each.arguments));
      case ArgumentType::block:
        return arguments(each.arguments);
      case ArgumentType::key:
        return add(random_.pick(keys));
      case ArgumentType::integer:
        if (each.name.starts_with("num")) number_at_ = words_.size();
        return add(each.name == "client-id" ? random_.pick(small_ids) : random_.pick(integers));
      case ArgumentType::unix_time:
        return add(random_.pick(integers));
      case ArgumentType::real:
        return add(random_.pick(reals));
      case ArgumentType::pattern:
        return add(random_.pick(patterns));
      case ArgumentType::string:
        break;
    }
    const bool is_key = each.name.find("key") != std::string::npos;
    words_.push_back(is_key ? std::string(random_.pick(keys)) : string_for(random_, each.name));
  }

  void add(std::string_view word) { words_.emplace_back(word); }

  // Every second word after the names is the value of what stands before it.
  template <class List>
  void fit_values(const List& list) {
    const std::size_t first = fixed_ + (words_.size() - fixed_) % 2;
    for (std::size_t i = first + 1; i < words_.size(); i += 2) words_[i] = random_.pick(list);
  }

  // Now and then, what nobody should send.
  void spoil() {
    if (!random_.one_in(12) || words_.size() <= fixed_) return;
    const std::size_t at = fixed_ + random_.below(words_.size() - fixed_);
    switch (random_.below(4)) {
      case 0:
        words_.erase(words_.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      case 1:
        words_.insert(words_.begin() + static_cast<std::ptrdiff_t>(at), random_word(random_));
        return;
      case 2:
        words_.push_back(words_[at]);
        return;
      default:
        words_[at] = random_word(random_);
    }
  }

  Random& random_;
  Words words_;
  std::size_t fixed_ = 0;      // words of the command's name
  std::size_t number_at_ = 0;  // where the number of what follows stands; 0: nowhere
};

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return z ^ z >> 31;
}

std::string random_word(Random& random) {
  switch (random.below(6)) {
    case 0:
      return std::string(random.pick(keys));
    case 1:
      return std::string(random.pick(integers));
    case 2:
      return std::string(random.pick(patterns));
    case 3:
      return std::string(random.pick(names));
    case 4:
      return name_of_command(random);
    default:
      return std::string(random.pick(strings));
  }
}

Words random_request(Random& random, const command::Row& row) { return Maker(random).make(row); }

Words random_request(Random& random) {
  // Transactions and leases need several requests, so these are more frequent than others.
  constexpr std::string_view frequent[] = {"multi", "exec", "watch", "cache.get", "cache.set", "set", "get", "cache.purge"};
  if (random.one_in(3)) return random_request(random, *command::find_command_by_name(random.pick(frequent)));
  return random_request(random, *random.pick(command::commands()));
}

}  // namespace fuzz
