// Replies of commands as values of Lua, calls of the host, and results.

#include "script/fake_host.hpp"

namespace pinfold::script {

namespace {

/// A script that describes the reply to the command "reply".
constexpr const char* describe = R"(
  local function text(value)
    if type(value) ~= 'table' then return type(value) .. ' ' .. tostring(value) end
    local parts = {}
    for key, inner in pairs(value) do parts[#parts + 1] = tostring(key) .. '=' .. text(inner) end
    table.sort(parts)
    return '{' .. table.concat(parts, ', ') .. '}'
  end
  redis.setresp(%d)
  return text(redis.pcall('reply')))";

std::string described(Rig& rig, std::string reply, int resp) {
  rig.host.canned = std::move(reply);
  std::string script = describe;
  script.replace(script.find("%d"), 2, std::to_string(resp));
  const std::string text = rig.run(script);
  const std::size_t begin = text.find("\r\n") + 2;
  return text.substr(begin, text.size() - begin - 2);
}

}  // namespace

TEST_CASE("replies become values of Lua, however they are cut into pieces") {
  const std::tuple<const char*, int, const char*> cases[] = {
      {":12\r\n", 2, "number 12"},
      {":-9223372036854775808\r\n", 2, "number -9.2233720368548e+18"},
      {"$5\r\nab\r\nc\r\n", 2, "string ab\r\nc"},
      {"$0\r\n\r\n", 2, "string "},
      {"$-1\r\n", 2, "boolean false"},
      {"*-1\r\n", 2, "boolean false"},
      {"+OK\r\n", 2, "{ok=string OK}"},
      {"-ERR what it is\r\n", 2, "{err=string ERR what it is, ignore_error_stats_update=boolean true}"},
      {"*0\r\n", 2, "{}"},
      {"*3\r\n:1\r\n$1\r\na\r\n*1\r\n+x\r\n", 2, "{1=number 1, 2=string a, 3={1={ok=string x}}}"},
      {"*2\r\n-ERR a b\r\n$-1\r\n", 2, "{1={err=string ERR a b, ignore_error_stats_update=boolean true}, 2=boolean false}"},
      {"_\r\n", 3, "nil nil"},
      {"#t\r\n", 3, "boolean true"},
      {"#f\r\n", 3, "boolean false"},
      {",1.5\r\n", 3, "{double=number 1.5}"},
      {",inf\r\n", 3, "{double=number inf}"},
      {"(12345678901234567890\r\n", 3, "{big_number=string 12345678901234567890}"},
      {"=8\r\ntxt:abcd\r\n", 3, "{verbatim_string={format=string txt, string=string abcd}}"},
      {"=4\r\ntxt:\r\n", 3, "{verbatim_string={format=string txt, string=string }}"},
      {"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n%0\r\n", 3, "{map={a=number 1, b={map={}}}}"},
      {"~2\r\n$1\r\na\r\n$1\r\nb\r\n", 3, "{set={a=boolean true, b=boolean true}}"},
      {">1\r\n:1\r\n", 3, "{1=number 1}"},
      {"|1\r\n$1\r\na\r\n:1\r\n:2\r\n", 3, "number 2"},
  };
  Rig rig;
  for (const auto& [reply, resp, description] : cases) {
    for (const std::size_t piece : {1, 2, 3, 7, 1000}) {
      INFO(reply << " in pieces of " << piece);
      rig.host.piece = piece;
      CHECK(described(rig, reply, resp) == description);
    }
  }
}

TEST_CASE("a large reply is one value") {
  Rig rig;
  rig.host.piece = 1000;
  rig.host.canned = "$1000000\r\n" + std::string(1000000, 'x') + "\r\n";
  CHECK(rig.run("return #redis.call('reply')") == ":1000000\r\n");
  rig.host.canned = "*100000\r\n";
  for (int i = 0; i < 100000; ++i) rig.host.canned += ":1\r\n";
  CHECK(rig.run("return #redis.call('reply')") == ":100000\r\n");
  CHECK(rig.host.polls >= 20);
}

TEST_CASE("a reply that is larger than the limit fails the script only") {
  Rig rig({.memory = 1024 * 1024});
  rig.host.canned = "$2000000\r\n" + std::string(2000000, 'x') + "\r\n";
  CHECK(rig.run("return redis.call('reply')") == "-ERR not enough memory script: SHA, on @user_script:1.\r\n");
  CHECK(rig.run("return {pcall(redis.call, 'reply')}") == "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
  CHECK(rig.run("return 1") == ":1\r\n");
}

TEST_CASE("arguments of calls reach the host as they are") {
  Rig rig;
  rig.run("redis.call('ping', 'a\\0b', 1, -2.5, 1e15, 123456789012345678, 0)");
  CHECK(rig.host.calls[0] ==
        std::vector<std::string>{"ping", std::string("a\0b", 3), "1", "-2.5", "1000000000000000", "1.2345678901234568e+17", "0"});
}

TEST_CASE("the protocol of redis.setresp holds to the end of the script") {
  Rig rig;
  CHECK(rig.run("redis.setresp(3) return {tostring(redis.call('get', 'none')), true}", 3) == "*2\r\n$3\r\nnil\r\n#t\r\n");
  CHECK(rig.run("return {tostring(redis.call('get', 'none')), true}", 3) == "*2\r\n$5\r\nfalse\r\n:1\r\n");
}

TEST_CASE("a host may give a script up, which the script cannot catch") {
  Rig rig;
  rig.host.abandons = true;
  CHECK(rig.run("pcall(redis.call, 'ping') redis.call('set', 'x', 1) return 1") == "abandoned");
  CHECK(rig.run("return {coroutine.resume(coroutine.create(function() redis.pcall('ping') end))}") == "abandoned");
  CHECK(rig.run("return {xpcall(function() redis.pcall('ping') end, function() return 1 end)}") == "abandoned");
  CHECK(rig.host.calls.size() == 3);
  rig.host.abandons = false;
  CHECK(rig.run("return redis.call('ping')") == "+PONG\r\n");
}

TEST_CASE("a sink is told whether the error was counted by the command") {
  Rig rig;
  rig.run("return redis.call('get')");
  CHECK(rig.last.ended == Ended::failed);
  CHECK(rig.counted_before);
  rig.run("return {1, redis.pcall('get')}");
  CHECK(rig.last.ended == Ended::returned);
  CHECK(rig.counted_before);
  rig.run("error('x')");
  CHECK(rig.last.ended == Ended::failed);
  CHECK(!rig.counted_before);
  rig.run("return redis.error_reply('x')");
  CHECK(!rig.counted_before);
  rig.run("return 1");
  CHECK(rig.last.ended == Ended::returned);
}

TEST_CASE("an error that is a table without a text is an unknown error") {
  Rig rig;
  // Redis 7.0 crashes.
  CHECK(rig.run("error({})") == "-ERR unknown error script: SHA, on @user_script:1.\r\n");
  CHECK(rig.run("error({err = {}})") == "-ERR unknown error script: SHA, on @user_script:1.\r\n");
  CHECK(rig.run("error(redis)") == "-ERR unknown error\r\n");
}

TEST_CASE("redis.log passes levels and texts") {
  Rig rig;
  rig.run("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b') redis.log(redis.LOG_DEBUG, 'x')");
  CHECK(rig.host.lines == std::vector<std::string>{"3 a 1 b", "0 x"});
}

TEST_CASE("redis.acl_check_cmd asks the host") {
  Rig rig;
  CHECK(rig.run("return {redis.acl_check_cmd('get', 'x'), redis.acl_check_cmd('set', 'x', 1)}") == "*2\r\n:1\r\n$-1\r\n");
  CHECK(rig.run("return redis.acl_check_cmd('nosuch')") ==
        "-ERR Invalid command passed to redis.acl_check_cmd() script: SHA, on @user_script:1.\r\n");
}

TEST_CASE("random numbers are the same in each interpreter, and go on from script to script") {
  Rig one;
  Rig two;
  CHECK(one.run("return tostring(math.random())") == "$16\r\n0.39646477363839\r\n");
  CHECK(one.run("return math.random(100)") == ":85\r\n");
  CHECK(two.run("math.randomseed(7) return tostring(math.random())") == "$16\r\n0.26644419658298\r\n");
}

TEST_CASE("lines of errors are those of the body behind its first line") {
  Rig rig;
  CHECK(rig.run("\n\nerror('x')") == "-ERR user_script:3: x script: SHA, on @user_script:3.\r\n");
}

}  // namespace pinfold::script
