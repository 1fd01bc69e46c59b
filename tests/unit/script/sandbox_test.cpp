// What a script cannot reach or change.

#include "script/fake_host.hpp"

namespace pinfold::script {

TEST_CASE("CVE-2022-0543: scripts have the globals of Redis and no others") {
  Rig rig;
  const std::string script = R"(
    local names = {}
    for name in pairs(_G) do names[#names + 1] = name end
    table.sort(names)
    return table.concat(names, ' '))";
  CHECK(rig.run(script).find(
            "ARGV KEYS _G _VERSION __redis__err__handler assert bit cjson cmsgpack collectgarbage coroutine error gcinfo getmetatable "
            "ipairs load loadstring math next pairs pcall rawequal rawget rawset redis select server setmetatable string struct table "
            "tonumber tostring type unpack xpcall") != std::string::npos);
  for (const char* name :
       {"os", "io", "debug", "package", "require", "module", "dofile", "loadfile", "print", "newproxy", "getfenv", "setfenv"}) {
    CHECK(rig.run(std::string("return ") + name) ==
          std::string("-ERR user_script:1: Script attempted to access nonexistent global variable '") + name +
              "' script: SHA, on @user_script:1.\r\n");
  }
}

TEST_CASE("server is another name of redis") {
  Rig rig;
  CHECK(rig.run("return {server.call('ping'), server == redis}") == "*2\r\n+PONG\r\n:1\r\n");
}

TEST_CASE("no table of the sandbox can be changed, whatever the way") {
  Rig rig;
  // Visits all tables and metatables that can be reached from the globals, tries to write each, and to replace its metatable.
  const std::string script = R"(
    local ways = {
      function(t) t.broken = 1 end,
      function(t) local key = next(t) if key ~= nil then t[key] = nil else error('empty') end end,
      function(t) rawset(t, 'broken', 1) end,
      function(t) table.insert(t, 1) end,
      function(t) table.insert(t, 1, 1) end,
      function(t) setmetatable(t, {}) end,
      function(t) setmetatable(t, nil) end,
      function(t) t[1] = 1 end,
    }
    local seen, changed, count = {}, {}, 0
    local own = {[KEYS] = true, [ARGV] = true, [ways] = true, [seen] = true, [changed] = true}
    local function visit(value, path)
      if type(value) ~= 'table' or seen[value] or own[value] then return end
      seen[value] = true
      count = count + 1
      for i, way in ipairs(ways) do
        if pcall(way, value) then changed[#changed + 1] = path .. ' by way ' .. i end
      end
      for key, inner in pairs(value) do visit(inner, path .. '.' .. tostring(key)) end
      visit(getmetatable(value), path .. '(meta)')
    end
    visit(_G, '_G')
    visit(getmetatable(''), 'string(meta)')
    return {count, changed})";
  CHECK(rig.run(script) == "*2\r\n:12\r\n*0\r\n");
  // The other ways leave nothing behind either.
  CHECK(rig.run("table.remove(redis) table.sort(redis) table.foreach(redis, function(k) end) return {type(redis.call), #redis}") ==
        "*2\r\n$8\r\nfunction\r\n:0\r\n");
  CHECK(rig.run("return {string.broken, redis.broken, rawget(_G, 'broken')}") == "*0\r\n");
}

TEST_CASE("CVE-2025-46818: a script cannot change what other scripts find in the metatables of basic types") {
  Rig rig;
  const std::string refused = "-ERR user_script:1: Attempt to modify a readonly table script: SHA, on @user_script:1.\r\n";
  CHECK(rig.run("getmetatable('').__index = function() return 'mine' end") == refused);
  CHECK(rig.run("string.upper = function() return 'mine' end") == refused);
  CHECK(rig.run("getmetatable('').__index.upper = function() return 'mine' end") == refused);
  CHECK(rig.run("rawset(getmetatable(''), '__index', {})") ==
        "-ERR Attempt to modify a readonly table script: SHA, on @user_script:1.\r\n");
  CHECK(rig.run("for _, value in ipairs({1, true, print_ or false, function() end, coroutine.create(function() end), cjson.null}) do "
                "if getmetatable(value) ~= nil then return 'has one' end end return 'none'")
            .starts_with("-ERR"));
  CHECK(rig.run("for _, value in ipairs({1, true, false, function() end, coroutine.create(function() end), cjson.null}) do "
                "if getmetatable(value) ~= nil then return 'has one' end end return 'none'") == "$4\r\nnone\r\n");
  CHECK(rig.run("return ('abc'):upper()") == "$3\r\nABC\r\n");
}

TEST_CASE("protected metatables work for a script's own tables, and stay protected") {
  Rig rig;
  CHECK(rig.run("local t = setmetatable({}, getmetatable('')) return t.upper('x')") == "$1\r\nX\r\n");
  CHECK(rig.run("local t = setmetatable({}, getmetatable('')) getmetatable(t).__index = 1") ==
        "-ERR user_script:1: Attempt to modify a readonly table script: SHA, on @user_script:1.\r\n");
  CHECK(rig.run("local t = setmetatable({}, getmetatable('')) return getmetatable(t) == getmetatable('')") == ":1\r\n");
}

TEST_CASE("KEYS and ARGV are a script's own, and are new in the next one") {
  Rig rig;
  CHECK(rig.run("KEYS[3] = 'x' ARGV[1] = 'y' return {KEYS[3], ARGV[1], #KEYS}") == "*3\r\n$1\r\nx\r\n$1\r\ny\r\n:3\r\n");
  CHECK(rig.run("return {#KEYS, ARGV[1]}") == "*2\r\n:2\r\n$2\r\na1\r\n");
}

TEST_CASE("CVE-2015-4335: bytecode is not loaded") {
  Rig rig;
  for (const char* script :
       {"return {select(2, loadstring(string.dump(function() return 5 end), '=x'))}",
        "local code = string.dump(function() end) return {select(2, load(function() local c = code code = nil return c end, '=x'))}",
        "local code = string.dump(function() end) local i = 0 "
        "return {select(2, load(function() i = i + 1 return code:sub(i, i) end, '=x'))}"}) {
    CHECK(rig.run(script) == "*1\r\n$38\r\nx:1: unexpected symbol near 'char(27)'\r\n");
  }
  const Compiled compiled = rig.interpreter.compile("\x1bLuaQ");
  CHECK(compiled.script == Handle::none);
}

TEST_CASE("what follows the body of a script is not run") {
  Rig rig;
  // Redis runs it once when the script is compiled.
  CHECK(rig.run("return 1 end redis.call('set', 'x', 1) f = function()").starts_with("-ERR Error compiling script (new function): "));
  CHECK(rig.run("return 1 end f = 5 local g = function()").starts_with("-ERR Error compiling script (new function): "));
  CHECK(rig.run("return redis.call('get', 'x')") == "$-1\r\n");
  CHECK(rig.host.calls.size() == 1);
}

TEST_CASE("CVE-2025-49844: the name of a chunk survives a collection while it is compiled") {
  // A small limit makes the collector run all the time. The address sanitizer sees what is used after it was freed.
  Rig rig;
  const std::string script = R"(
    local parts = {}
    for i = 1, 300 do parts[i] = 'local v' .. i .. ' = {' .. string.rep('"x' .. i .. '" .. a,', 20) .. '}' end
    local source = 'do ' .. table.concat(parts, ' end do ') .. ' end'
    for i = 1, 20 do
      collectgarbage('step', 10)
      local f, message = loadstring(source, '=name' .. i .. '\0behind')
      collectgarbage()
      if not f then return message end
      local g, why = loadstring('x = = ' .. source, '@name' .. i .. string.rep('n', i) .. '\0')
      if why:sub(1, 4) ~= 'name' then return why end
      local pieces = {source, nil}
      local first = true
      if not load(function() collectgarbage() if first then first = false return source end end) then return 'load' end
    end
    return 'ok')";
  CHECK(rig.run(script) == "$2\r\nok\r\n");
}

TEST_CASE("CVE-2014-5461: a function with many parameters and varargs gets room for them") {
  Rig rig;
  const std::string script = R"(
    local names = {}
    for i = 1, 190 do names[i] = 'p' .. i end
    local f = loadstring('return function(' .. table.concat(names, ',') .. ', ...) return select("#", ...) end')()
    local function deep(n) if n == 0 then return f() end return (deep(n - 1)) end
    for n = 0, 60 do deep(n) end
    return {f(), coroutine.wrap(function() return f(1, 2) end)()})";
  CHECK(rig.run(script) == "*2\r\n:0\r\n:0\r\n");
}

TEST_CASE("CVE-2021-43519: coroutines that are nested without end do not use up the stack") {
  Rig rig;
  CHECK(rig.run("local function f() return coroutine.wrap(f)() end return {pcall(f)}").starts_with("*2\r\n$-1\r\n"));
  CHECK(rig.run("local function f() local c = coroutine.create(f) return select(2, coroutine.resume(c)) end return f()") ==
        "$16\r\nC stack overflow\r\n");
  CHECK(rig.run("local function f() return pcall(coroutine.wrap(function() return pcall(f) end)) end f() return 'ok'") == "$2\r\nok\r\n");
}

TEST_CASE("CVE-2025-46819: the delimiter of a long string is bounded by the memory of the script") {
  Rig rig({.memory = 4 * 1024 * 1024});
  CHECK(rig.run("return {select(2, load(function() return '[=======' end))}") == "*1\r\n$17\r\nnot enough memory\r\n");
  CHECK(rig.run("local first = true return {select(2, load(function() if first then first = false return '[' end return string.rep('=', "
                "65536) end))}") == "*1\r\n$17\r\nnot enough memory\r\n");
  CHECK(rig.run("return #loadstring('return [' .. string.rep('=', 1000) .. '[x]' .. string.rep('=', 1000) .. ']')()") == ":1\r\n");
}

TEST_CASE("CVE-2024-46981: an interpreter can be destroyed in any state of its collector") {
  for (int steps = 0; steps < 60; ++steps) {
    Rig rig;
    rig.run(
        "local json = cjson.new() local t = setmetatable({}, {__mode = 'kv', __gc = function() error() end}) for i = 1, 500 do t[i] = "
        "{json, "
        "coroutine.wrap(function() coroutine.yield() end)} t[i][2]() end collectgarbage('step', " +
        std::to_string(steps) + ")");
  }
}

TEST_CASE("an error that a host's frame lies above runs the destructors of that frame") {
  struct Counted {
    explicit Counted(int& to) : count(to) { ++count; }
    ~Counted() { --count; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    int& count;
  };
  Rig rig;
  int alive = 0;
  // The buffer of table.concat, among others, lives in a frame that the error leaves. The memory tells.
  rig.run("return 1");
  rig.interpreter.collect();
  for (int i = 0; i < 100; ++i) {
    const Counted counted(alive);
    rig.run("local t = {string.rep('x', 100000), {}} table.concat(t)");
  }
  CHECK(alive == 0);
  while (rig.interpreter.collect()) {
  }
  CHECK(rig.interpreter.memory() < 1024 * 1024);
}

TEST_CASE("the error handler makes a table of an error") {
  Rig rig;
  CHECK(rig.run("local e = __redis__err__handler('x') return {type(e), e.err, e.source, e.line}") ==
        "*4\r\n$5\r\ntable\r\n$5\r\nERR x\r\n$12\r\n@user_script\r\n:1\r\n");
  CHECK(rig.run("return __redis__err__handler('x')") == "-ERR x\r\n");
  CHECK(rig.run("local e = __redis__err__handler(redis) return e.err").starts_with("$-1"));
}

TEST_CASE("settings of the collector do not outlive a script, nor have they an effect") {
  Rig rig;
  CHECK(rig.run("collectgarbage('stop') collectgarbage('setpause', 1000000) collectgarbage('setstepmul', 1) return 1") == ":1\r\n");
  for (int i = 0; i < 50; ++i) CHECK(rig.run("local t = {} for i = 1, 10000 do t[i] = {i} end return #t") == ":10000\r\n");
  while (rig.interpreter.collect()) {
  }
  CHECK(rig.interpreter.memory() < 2 * 1024 * 1024);
}

}  // namespace pinfold::script
