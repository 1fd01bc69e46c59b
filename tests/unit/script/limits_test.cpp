// Memory, time and depth of scripts.

#include "script/fake_host.hpp"

namespace pinfold::script {

namespace {

class FakeAccount final : public Account {
 public:
  bool take(std::size_t bytes) override {
    if (taken + bytes > limit) return false;
    taken += bytes;
    most = std::max(most, taken);
    return true;
  }
  void release(std::size_t bytes) override { taken -= bytes; }

  std::size_t limit = ~std::size_t{0} / 2;
  std::size_t taken = 0;
  std::size_t most = 0;
};

constexpr std::size_t mb = 1024 * 1024;

}  // namespace

TEST_CASE("a script that needs more memory than its limit fails, and the next one does not") {
  Rig rig({.memory = 4 * mb});
  for (const char* script :
       {"local t = {} for i = 1, 1e9 do t[i] = {} end", "local s = 'x' while true do s = s .. s end", "return string.rep('x', 1e9)",
        "return string.rep(string.rep('x', 1e5), 1e5)",
        "local t, u = {}, {} for i = 1, 1000 do t[i] = string.rep('x', 1000) end for i = 1, 1000 do u[i] = table.concat(t, i) end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end", "local c = {} while true do c = {coroutine.create(function() end), c} end",
        "return (string.rep('x', 1e6)):gsub('x', string.rep('y', 1000))", "return cjson.encode({string.rep('\\1', 1e6)})",
        "local s = string.rep('x', 1e6) return cmsgpack.pack(s, s, s, s, s, s, s)", "return struct.pack(string.rep('i8', 1e6), 1)",
        "return string.format(string.rep('%99d', 1e5), unpack({}, 1, 7000))"}) {
    INFO(script);
    const std::string reply = rig.run(script);
    CHECK((reply.find("not enough memory") != std::string::npos || reply.find("bad argument") != std::string::npos));
    CHECK(rig.interpreter.memory() < 5 * mb);
    CHECK(rig.run("local t = {} for i = 1, 10000 do t[i] = {} end return #t") == ":10000\r\n");
  }
}

TEST_CASE("a script can catch that memory was refused, and goes on within its limit") {
  Rig rig({.memory = 4 * mb});
  CHECK(rig.run("return {pcall(string.rep, 'x', 1e9)}") == "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
  CHECK(rig.run("local ok, message = pcall(function() local t = {} while true do t = {t, {}, {}} end end) return message") ==
        "$17\r\nnot enough memory\r\n");
}

TEST_CASE("a coroutine that gets many arguments when memory is full fails by itself, or gets them") {
  Rig rig({.memory = 2 * mb});
  // With each turn of the loop there is a little more memory, until there is enough for the arguments.
  CHECK(rig.run("local body = function() return 1 end local args, co, fill, count = {}, {}, {}, 0 "
                "for i = 1, 7000 do args[i] = i end for i = 1, 100 do co[i] = coroutine.create(body) end "
                "for i = 1, 2000 do fill[i] = false end "
                "local function run(...) "
                "for i = 1, 2 do coroutine.resume(coroutine.create(body), ...) end collectgarbage() "
                "pcall(function() while true do count = count + 1 fill[count] = string.rep('x', 2000) .. count end end) "
                "for i = 1, 100 do fill[count - i] = nil collectgarbage() pcall(coroutine.resume, co[i], ...) end return count > 100 end "
                "return run(unpack(args))") == ":1\r\n");
}

TEST_CASE("garbage does not count against a script that needs little memory at a time") {
  Rig rig({.memory = 4 * mb});
  CHECK(rig.run("local keep = string.rep('k', 1500000) local n = 0 for i = 1, 3000 do local t = {} for j = 1, 100 do t[j] = {i} end n = n "
                "+ #t end "
                "return n") == ":300000\r\n");
}

TEST_CASE("the account is asked before memory is taken, and gets all of it back") {
  FakeAccount account;
  {
    Rig rig({.memory = 8 * mb}, &account);
    const std::size_t idle = account.taken;
    CHECK(idle >= rig.interpreter.memory());
    CHECK(idle < 512 * 1024);
    rig.run("local t = {} for i = 1, 50000 do t[i] = {} end");
    CHECK(account.taken >= rig.interpreter.memory());
    account.limit = account.taken + 100 * 1024;
    CHECK(rig.run("return string.rep('x', 5000000)").find("not enough memory") != std::string::npos);
    CHECK(account.most <= account.limit);
    while (rig.interpreter.collect()) {
    }
    CHECK(account.taken < mb);
  }
  CHECK(account.taken == 0);
  account.limit = 10000;
  CHECK_THROWS_AS(Interpreter(&account), std::bad_alloc);
  CHECK(account.taken == 0);
}

TEST_CASE("compiled scripts do not count against the limit, and are given back") {
  Rig rig({.memory = mb});
  std::vector<Handle> kept;
  std::string body;
  for (int i = 0; i < 200; ++i) body += "local a" + std::to_string(i % 100) + " = redis.call('get', 'k" + std::to_string(i) + "') ";
  for (int i = 0; i < 200; ++i) {
    const Compiled compiled = rig.interpreter.compile("do " + body.substr(0, body.size() / 2) + " end return " + std::to_string(i));
    REQUIRE(compiled.script != Handle::none);
    kept.push_back(compiled.script);
  }
  CHECK(rig.run("return #string.rep('x', 300000)") == ":300000\r\n");
  TextSink sink;
  rig.interpreter.run(kept[123], "SHA", {}, {}, rig.host, sink);
  CHECK(sink.text == ":123\r\n");
  for (const Handle handle : kept) rig.interpreter.forget(handle);
  rig.run("return 1");
  while (rig.interpreter.collect()) {
  }
  CHECK(rig.interpreter.memory() < mb);
}

TEST_CASE("a script that does not end is stopped, whatever it catches") {
  const std::string stopped = "-ERR Script killed by user with SCRIPT KILL... script: SHA, on @user_script:1.\r\n";
  const char* many_coroutines =
      "local t = {} for i = 1, 1000 do t[i] = coroutine.wrap(function() while true do for j = 1, 1000 do end coroutine.yield() end end) "
      "end "
      "while true do for i = 1, 1000 do t[i]() end end";
  for (const char* script :
       {"while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) return f() end f()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "while true do coroutine.wrap(function() for i = 1, 3000 do end end)() end",
        many_coroutines,
        "return setmetatable({}, {__index = function() while true do end end}).x",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "string.gsub('x', 'x', function() while true do end end)",
        "load(function() return ' ' end)",
        "load(function() while true do end end)",
        "while true do loadstring('x = = 1') end",
        "while true do pcall(error) end",
        "while true do redis.pcall('get', 'k') end",
        "while true do redis.sha1hex('x') end",
        "while true do tostring(1) end",
        "local s = string.rep('a', 1000) while true do s:find('b') end",
        "while true do string.rep('x', 1000) end",
        "collectgarbage('step', 2^31 - 1) while true do end",
        "while true do collectgarbage() end",
        "table.insert({}, -2^31, 1)",
        "table.foreachi(setmetatable({1, 2, 3}, {}), function() while true do end end)",
        "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
        "return setmetatable({}, {__tostring = error}) .. (function() while true do end end)()",
        "local t = setmetatable({}, {__eq = function() while true do end end}) return t == setmetatable({}, getmetatable(t))"}) {
    INFO(script);
    Rig rig;
    rig.host.stop_after = 20;
    CHECK(rig.run(script) == stopped);
    CHECK(rig.last.ended == Ended::stopped);
    rig.host.stop_after = ~std::uint64_t{0};
    CHECK(rig.run("return pcall(function() return 1 end)") == ":1\r\n");
  }
}

TEST_CASE("a result that takes long to write is stopped, too") {
  Rig rig;
  rig.host.stop_after = 50;
  // A table of a few hundred bytes that stands for 2^40 values.
  CHECK(rig.run("local t = {1} for i = 1, 40 do t = {t, t} end return t") ==
        "-ERR Script killed by user with SCRIPT KILL... script: SHA, on @user_script:0.\r\n");
  rig.host.stop_after = ~std::uint64_t{0};
  rig.room = 100000;
  CHECK(rig.run("local t = {1} for i = 1, 40 do t = {t, t} end return t") == "refused");
  CHECK(rig.last.ended == Ended::refused_reply);
  CHECK(rig.run("return string.rep('x', 100000)") == "refused");
  CHECK(rig.run("return 'x'") == "$1\r\nx\r\n");
}

TEST_CASE("functions of the libraries ask the host in the midst of their work") {
  // How much work each call is, in characters, elements or the like. It asks at least once in 4096 steps, of which 64 copied bytes are one.
  struct Case {
    const char* script;
    std::uint64_t least_polls;
  };
  const Case cases[] = {
      {"return string.rep('x', 10000000):len()", 10000000 / 64 / 4096},
      {"return string.rep('x', 1000000):reverse():len()", 1000000 / 8 / 4096},
      {"return #string.rep('x', 1000000):upper()", 1000000 / 8 / 4096},
      {"return string.rep('x', 1000000):find('[^x]')", 1000000 / 4096},
      {"return string.rep('x', 1000000):find('y', 1, true)", 1000000 / 64 / 4096},
      {"return (string.rep('ab', 50000):find(string.rep('ab', 500) .. 'c', 1, true))", 50000 * 1000 / 64 / 4096},
      {"return string.rep('a', 100):match('.-.-.-b')", 100 * 100 * 100 / 6 / 4096},
      {"return string.rep('a', 100):match('(.*)(.*)%1b')", 100 * 100 * 100 / 6 / 4096},
      {"return string.rep('(', 3000):match('%b()')", 3000 * 2900 / 2 / 4096},
      {"return string.rep('x', 3000):match('[' .. string.rep('a', 3000) .. ']')", 3000 * 3000 / 4 / 4096},
      {"local n = 0 for _ in string.rep('x', 100000):gmatch('x') do n = n + 1 end return n", 100000 / 4096},
      {"return (string.rep('x', 100000):gsub('x', '%0')):len()", 100000 / 4096},
      {"local t = {} for i = 1, 100000 do t[i] = 'x' end return #table.concat(t)", 200000 / 4096},
      {"local t = {} for i = 1, 2000 do table.insert(t, 1, i) end return #t", 2000 * 2000 / 2 / 4096},
      {"local t = {} for i = 1, 2000 do t[i] = i end for i = 1, 2000 do table.remove(t, 1) end return #t", 2000 * 2000 / 2 / 4096},
      {"local t = {} for i = 1, 20000 do t[i] = -i end table.sort(t) return t[1]", 20000 * 14 * 4 / 4096},
      {"local t = {} for i = 1, 20000 do t[i] = i end return table.foreachi(t, type) or 1", 1},
      {"local t = {} for i = 1, 100000 do t[i] = i end return table.maxn(t)", 100000 / 4096},
      {"local t = {} for i = 1, 7000 do t[i] = i end for i = 1, 100 do unpack(t) end return 1", 100},
      {"local s = string.rep('x', 7000) for i = 1, 100 do s:byte(1, -1) end return 1", 100},
      {"return #string.format('%q', string.rep('x', 1000000))", 1000000 / 4096},
      {"return #redis.sha1hex(string.rep('x', 1000000))", 1000000 / 3 / 8192},
      {"return tonumber(string.rep(' ', 1000000) .. '1')", 1},
      {"return loadstring(string.rep(' ', 1000000)) and 1", 3 * 1000000 / 4096},
      {"local t = {} for i = 1, 20000 do t[i] = i end return #cjson.encode(t)", 40000 / 4096},
      {"return #cjson.encode(string.rep('x', 1000000))", 1000000 / 4096},
      {"return #cjson.decode('[' .. string.rep('1,', 100000) .. '1]')", 200000 / 4096},
      {"return #cjson.decode('\"' .. string.rep('x', 1000000) .. '\"')", 1000000 / 8 / 4096},
      {"return cjson.decode(string.rep(' ', 1000000) .. '1')", 1000000 / 4096},
      {"local t = {} for i = 1, 20000 do t[i] = i end return #cmsgpack.pack(t)", 40000 / 4096},
      {"return #cmsgpack.unpack(struct.pack('>BI4', 221, 100000) .. string.rep('\\1', 100000))", 100000 / 4096},
      {"return struct.size(string.rep('b', 100000))", 100000 / 4096},
      {"for i = 1, 100 do coroutine.wrap(function() end)() end return 1", 100},
  };
  for (const Case& item : cases) {
    INFO(item.script);
    Rig rig;
    const std::uint64_t before = rig.interpreter.polls();
    const std::string reply = rig.run(item.script);
    CHECK(!reply.starts_with("-"));
    CHECK(rig.interpreter.polls() - before >= item.least_polls);
    CHECK(rig.host.polls == rig.interpreter.polls());
  }
}

TEST_CASE("the host is asked once in 4096 instructions, and more often while there are large blocks") {
  Rig rig;
  rig.run("for i = 1, 4096000 do end");
  CHECK(rig.host.polls >= 1000);
  CHECK(rig.host.polls <= 1010);
  // A table of which one access may pass over a million elements.
  rig.host.polls = 0;
  rig.run("local t = {} for i = 1, 1e6 do t[i] = true end for i = 1, 1e6 do t[i] = nil end for i = 1, 2000 do next(t) end");
  CHECK(rig.host.polls >= 10000 / 64);
  // In a coroutine that began before.
  rig.host.polls = 0;
  rig.run(
      "local c = coroutine.wrap(function() coroutine.yield() for i = 1, 16000 do end end) c() local s = string.rep('x', 16000000) c() "
      "return #s");
  CHECK(rig.host.polls >= 900);
}

TEST_CASE("the host is asked for each walk over a large table without elements") {
  const std::string empty = "local t = {} for i = 1, 2 ^ 19 do t[i] = true end for i = 1, 2 ^ 19 do t[i] = nil end local a = {} ";
  for (const char* script :
       {"for i = 1, 1100 do a[i] = t end return #cjson.encode(a)", "for i = 1, 1100 do a[i] = t end return #cmsgpack.pack(a)",
        "for i = 1, 1100 do a[i] = t end return pcall(table.sort, a, table.maxn)",
        "for i = 1, 1100 do a[i] = {map = t} end redis.setresp(3) return a",
        "for i = 1, 1100 do a[i] = {set = t} end redis.setresp(3) return a"}) {
    INFO(script);
    Rig rig;
    rig.run(empty);
    const std::uint64_t before = rig.host.polls;
    rig.host.polls = 0;
    rig.run(empty + script);
    CHECK(rig.last.ended == Ended::returned);
    CHECK(rig.host.polls >= before + 1000);
  }
}

TEST_CASE("conditions that make the compiler slow are stopped") {
  Rig rig;
  std::string script = "return a";
  for (int i = 0; i < 60000; ++i) script += " or a";
  rig.host.stop_after = 100;
  const Compiled compiled = rig.interpreter.compile(script, &rig.host);
  CHECK(compiled.script == Handle::none);
  CHECK(compiled.error == "ERR Script killed by user with SCRIPT KILL...");
  CHECK(rig.host.polls == 101);
}

TEST_CASE("nesting is bounded") {
  Rig rig({.memory = 16 * mb});
  // Of patterns. Lua's own matcher calls itself for each of these items.
  CHECK(rig.run("return {pcall(string.find, string.rep('a', 100000), string.rep('a?', 100000) .. 'b')}").find("pattern too complex") !=
        std::string::npos);
  CHECK(rig.run("return {pcall(string.match, 'a', string.rep('(', 40))}").find("too many captures") != std::string::npos);
  // Of values. The libraries' own limits may be raised, but not beyond what the stack holds.
  CHECK(rig.run("cjson.encode_max_depth(2^31 - 1) local t = {} for i = 1, 100000 do t = {t} end return {pcall(cjson.encode, t)}")
            .find("excessive nesting (2001)") != std::string::npos);
  CHECK(rig.run("cjson.decode_max_depth(2^31 - 1) return {pcall(cjson.decode, string.rep('[', 100000))}")
            .find("nested data structures (2001)") != std::string::npos);
  CHECK(
      rig.run("return {pcall(cmsgpack.unpack, string.rep('\\145', 100000))}").find("stack overflow (in function mp_decode_to_lua_array)") !=
      std::string::npos);
  CHECK(rig.run("return {pcall(cmsgpack.unpack, string.rep('\\129\\1', 100000))}")
            .find("stack overflow (in function mp_decode_to_lua_hash)") != std::string::npos);
  // Of the parser.
  CHECK(rig.run("return " + std::string(100000, '(')).find("chunk has too many syntax levels") != std::string::npos);
  CHECK(rig.run("return " + std::string(100000, '{')).find("chunk has too many syntax levels") != std::string::npos);
  // Of calls.
  CHECK(rig.run("local function f() return (pcall(f)) end return f()") == ":1\r\n");
  CHECK(rig.run("local function f() return (string.gsub('x', 'x', f)) end return {pcall(f)}").find("C stack overflow") !=
        std::string::npos);
  CHECK(rig.run("local function f() table.sort({2, 1}, f) end return {pcall(f)}").find("C stack overflow") != std::string::npos);
  CHECK(rig.run("local function f() return f() + 1 end return {pcall(f)}").find("stack overflow") != std::string::npos);
  CHECK(rig.run("local t = setmetatable({}, {}) getmetatable(t).__index = t return {pcall(function() return t.x end)}")
            .find("loop in gettable") != std::string::npos);
  // Of results: as deep as Lua's stack is, then Redis' error.
  const std::string reply = rig.run("local t = {} t[1] = t return t");
  CHECK(reply.ends_with("*1\r\n-ERR reached lua stack limit\r\n"));
  CHECK(std::count(reply.begin(), reply.end(), '*') == 7995);
}

TEST_CASE("scripts that are given up are collected, also when all was collected while they were there") {
  Rig rig;
  std::string body;
  for (int i = 0; i < 50000; ++i) body += "x = 1 ";
  std::vector<Handle> kept;
  for (int i = 0; i < 20; ++i) kept.push_back(rig.interpreter.compile("local x = " + std::to_string(i) + " " + body).script);
  rig.run("collectgarbage()");
  CHECK(rig.interpreter.memory() > 4 * mb);
  for (const Handle handle : kept) rig.interpreter.forget(handle);
  while (rig.interpreter.collect()) {
  }
  CHECK(rig.interpreter.memory() < mb);
}

TEST_CASE("garbage that would be in the way of a script can be collected before it") {
  for (const bool before : {false, true}) {
    Rig rig({.memory = 8 * mb});
    rig.run("local t = {} for i = 1, 70000 do t[i] = {} end");
    CHECK(rig.interpreter.memory() > 5 * mb);
    if (before) {
      rig.interpreter.make_room();
      CHECK(rig.interpreter.memory() < mb);
    }
    const std::uint64_t polls = rig.interpreter.polls();
    CHECK(rig.run("return 1") == ":1\r\n");
    CHECK((rig.interpreter.polls() - polls < 10) == before);
  }
}

TEST_CASE("garbage is collected in steps after the runs") {
  Rig rig;
  rig.run("local t = {} for i = 1, 200000 do t[i] = {} end");
  const std::size_t left = rig.interpreter.memory();
  CHECK(left > mb);
  int steps = 0;
  while (rig.interpreter.collect()) ++steps;
  CHECK(steps > 1);
  CHECK(rig.interpreter.memory() < mb);
  // Runs alone do it, too.
  rig.run("local t = {} for i = 1, 200000 do t[i] = {} end");
  for (int i = 0; i < 1000 && rig.interpreter.memory() > mb; ++i) rig.run("return 1");
  CHECK(rig.interpreter.memory() < mb);
}

}  // namespace pinfold::script
