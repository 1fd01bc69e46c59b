// Libraries of functions (FUNCTION LOAD, FCALL).

#include "script/fake_host.hpp"

namespace pinfold::script {

namespace {

struct FunctionRig : Rig {
  using Rig::Rig;

  Library load(std::string_view code) { return interpreter.load_library("\n" + std::string(code), host); }
  std::string call(const Registered& function, std::vector<std::string_view> keys = {"k1"},
                   std::vector<std::string_view> arguments = {"a1"}) {
    TextSink sink;
    last = interpreter.run_function(function.function, function.name, keys, arguments, host, sink);
    return last.ended == Ended::stopped ? "-" + last.error + "\r\n" : sink.text;
  }
  /// Calls the one function of the library.
  std::string call_only(std::string_view code) {
    const Library library = load(code);
    if (library.functions.size() != 1) return library.error;
    const std::string reply = call(library.functions[0]);
    interpreter.forget(library.functions[0].function);
    return reply;
  }
};

}  // namespace

TEST_CASE("a library registers functions, which get keys and arguments") {
  FunctionRig rig;
  const Library library = rig.load(R"(
    local function first(keys, args) return {keys[1], args[1], #keys, #args} end
    redis.register_function('first', first)
    redis.register_function{
      function_name='second', callback=function() return 2 end, flags={'no-writes', 'allow-stale'}, description='text'
    }
    redis.register_function(3, first))");
  CHECK(library.error.empty());
  REQUIRE(library.functions.size() == 3);
  CHECK(library.functions[0].name == "first");
  CHECK(library.functions[0].flags == 0);
  CHECK(!library.functions[0].description);
  CHECK(library.functions[1].name == "second");
  CHECK(library.functions[1].flags == (no_writes | allow_stale));
  CHECK(library.functions[1].description == "text");
  CHECK(library.functions[2].name == "3");
  CHECK(rig.call(library.functions[0]) == "*4\r\n$2\r\nk1\r\n$2\r\na1\r\n:1\r\n:1\r\n");
  CHECK(rig.call(library.functions[1]) == ":2\r\n");
}

TEST_CASE("libraries get the errors of Redis when they are loaded") {
  FunctionRig rig;
  const std::string prefix = "Error registering functions: ERR ";
  const std::pair<const char*, std::string> cases[] = {
      {"", "No functions registered"},
      {"return 1", "No functions registered"},
      {"redis.log(1, 'x')", "No functions registered"},
      {"local x = ", "Error compiling function: user_function:2: unexpected symbol near '<eof>'"},
      {"x = 1", prefix + "user_function:2: Attempt to modify a readonly table"},
      {"redis.x = 1", prefix + "user_function:2: Attempt to modify a readonly table"},
      {"return x", prefix + "user_function:2: Script attempted to access nonexistent global variable 'x'"},
      {"redis.call('get', 'x')", prefix + "user_function:2: Script attempted to access nonexistent global variable 'call'"},
      {"math.random()", prefix + "user_function:2: Script attempted to access nonexistent global variable 'math'"},
      {"_G.x = 1", prefix + "user_function:2: Script attempted to access nonexistent global variable '_G'"},
      {"redis.register_function()", prefix + "wrong number of arguments to redis.register_function"},
      {"redis.register_function('f')", prefix + "calling redis.register_function with a single argument is only applicable to Lua table "
                                                "(representing named arguments)."},
      {"redis.register_function('f', 1)", prefix + "second argument to redis.register_function must be a function"},
      {"redis.register_function('f', function() end, nil)", prefix + "wrong number of arguments to redis.register_function"},
      {"redis.register_function('a b', function() end)",
       prefix + "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"},
      {"redis.register_function('', function() end)",
       prefix + "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"},
      {"redis.register_function{}", prefix + "redis.register_function must get a function name argument"},
      {"redis.register_function{function_name='f'}", prefix + "redis.register_function must get a callback argument"},
      {"redis.register_function{function_name='f', callback=1}",
       prefix + "callback argument given to redis.register_function must be a function"},
      {"redis.register_function{function_name='f', callback=function() end, x=1}",
       prefix + "unknown argument given to redis.register_function"},
      {"redis.register_function{1}", prefix + "unknown argument given to redis.register_function"},
      {"redis.register_function{function_name='f', callback=function() end, flags=1}",
       prefix + "flags argument to redis.register_function must be a table representing function flags"},
      {"redis.register_function{function_name='f', callback=function() end, flags={'x'}}", prefix + "unknown flag given"},
      {"redis.register_function{function_name='f', callback=function() end, flags={1}}", prefix + "unknown flag given"},
      {"redis.register_function('f', function() end) redis.register_function('f', function() end)",
       prefix + "Function already exists in the library"},
  };
  for (const auto& [code, error] : cases) {
    INFO(code);
    const Library library = rig.load(code);
    CHECK(library.error == error);
    CHECK(library.functions.empty());
  }
}

TEST_CASE("functions get the errors of Redis when they are called") {
  FunctionRig rig;
  CHECK(rig.call_only("redis.register_function('f', function() error('x') end)") ==
        "-ERR user_function:2: x script: f, on @user_function:2.\r\n");
  CHECK(rig.call_only("redis.register_function('f', function() return redis.call('get') end)") ==
        "-ERR Wrong number of args calling Redis command from script script: f, on @user_function:2.\r\n");
  CHECK(rig.call_only("redis.register_function('f', function() return KEYS end)") ==
        "-ERR user_function:2: Script attempted to access nonexistent global variable 'KEYS' script: f, on @user_function:2.\r\n");
  CHECK(rig.call_only("local r = redis redis.register_function('f', function() return r.call('ping') end)") ==
        "-ERR user_function:2: Script attempted to access nonexistent global variable 'call' script: f, on @user_function:2.\r\n");
  CHECK(rig.call_only("redis.register_function('f', redis.register_function)") ==
        "-ERR redis.register_function can only be called on FUNCTION LOAD command\r\n");
  CHECK(rig.call_only("local r = redis.register_function redis.register_function('f', function() r('g', function() end) end)") ==
        "-ERR redis.register_function can only be called on FUNCTION LOAD command script: f, on @user_function:2.\r\n");
}

TEST_CASE("functions have the globals of Redis' functions") {
  FunctionRig rig;
  CHECK(
      rig.call_only("redis.register_function('f', function() local t = {} for k in pairs(_G) do t[#t + 1] = k end table.sort(t) "
                    "return table.concat(t, ' ') end)")
          .find("_G _VERSION assert bit cjson cmsgpack collectgarbage coroutine error gcinfo getmetatable ipairs load loadstring math next "
                "pairs pcall rawequal rawget rawset redis select server setmetatable string struct table tonumber tostring type unpack "
                "xpcall") != std::string::npos);
  CHECK(rig.call_only("redis.register_function('f', function() local t = {} for k in pairs(redis) do t[#t + 1] = k end table.sort(t) "
                      "return table.concat(t, ' ') end)")
            .find("LOG_DEBUG LOG_NOTICE LOG_VERBOSE LOG_WARNING REDIS_VERSION REDIS_VERSION_NUM REPL_ALL REPL_AOF REPL_NONE REPL_REPLICA "
                  "REPL_SLAVE acl_check_cmd call error_reply log pcall set_repl setresp sha1hex status_reply") != std::string::npos);
  // Also after a library was loaded without success.
  CHECK(!rig.load("error()").error.empty());
  CHECK(rig.call_only("redis.register_function('f', function() return type(string.rep) end)") == "$8\r\nfunction\r\n");
}

TEST_CASE("what libraries keep counts against the limit, however many there are") {
  FunctionRig rig({.memory = 4u << 20});
  std::vector<Library> libraries;
  std::string error;
  while (error.empty() && libraries.size() < 100) {
    const std::string number = std::to_string(libraries.size());
    libraries.push_back(
        rig.load("local s = ('x'):rep(5e5) .. " + number + " redis.register_function('f" + number + "', function() return #s end)"));
    error = libraries.back().error;
  }
  CHECK(error == "Error registering functions: not enough memory");
  CHECK(rig.interpreter.memory() < 6u << 20);
  // And is given back.
  for (const Library& library : libraries) {
    for (const Registered& function : library.functions) rig.interpreter.forget(function.function);
  }
  CHECK(rig.run("return #('x'):rep(5e5)") == ":500000\r\n");
  while (rig.interpreter.collect()) {
  }
  CHECK(rig.interpreter.memory() < 2u << 20);
}

TEST_CASE("values that a library keeps are not looked through for each script") {
  FunctionRig rig({.memory = 16u << 20});
  const Library library =
      rig.load("local t = {} redis.register_function('f', function() for i = 1, 130000 do t[#t + 1] = {} end return #t end)");
  CHECK(rig.call(library.functions[0]) == ":130000\r\n");
  for (int i = 0; i < 3; ++i) rig.run("return 1");
  const std::uint64_t before = rig.interpreter.polls();
  for (int i = 0; i < 100; ++i) CHECK(rig.run("return 1") == ":1\r\n");
  CHECK(rig.interpreter.polls() - before < 100);
  // When the library is gone, so are they.
  rig.interpreter.forget(library.functions[0].function);
  CHECK(rig.run("return #('x'):rep(3e6)") == ":3000000\r\n");
  while (rig.interpreter.collect()) {
  }
  CHECK(rig.interpreter.memory() < 4u << 20);
}

TEST_CASE("what a function loads has the globals of functions, without KEYS and ARGV of the script before") {
  FunctionRig rig;
  CHECK(rig.run("return loadstring('return KEYS[1] .. type(redis.breakpoint)')()") == "$10\r\nk1function\r\n");
  for (const char* name : {"KEYS", "ARGV"}) {
    CHECK(rig.call_only("redis.register_function('f', function() return loadstring('return " + std::string(name) + "')() end)")
              .find("Script attempted to access nonexistent global variable '" + std::string(name) + "'") != std::string::npos);
  }
  CHECK(rig.call_only("redis.register_function('f', function() return loadstring('return type(redis.breakpoint)')() end)") ==
        "$3\r\nnil\r\n");
  CHECK(rig.load("nosuch()").error ==
        "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable 'nosuch'");
  CHECK(rig.run("return loadstring('return KEYS[1]')()") == "$2\r\nk1\r\n");
}

TEST_CASE("a library keeps its local variables from call to call, and shares none with others") {
  FunctionRig rig;
  const Library one = rig.load("local n = 0 redis.register_function('f', function() n = n + 1 return n end)");
  const Library two = rig.load("local n = 0 redis.register_function('f', function() n = n + 1 return n end)");
  CHECK(rig.call(one.functions[0]) == ":1\r\n");
  CHECK(rig.call(one.functions[0]) == ":2\r\n");
  CHECK(rig.call(two.functions[0]) == ":1\r\n");
}

TEST_CASE("the loading of a library is stopped, and leaves nothing") {
  FunctionRig rig({.memory = 4 * 1024 * 1024});
  rig.host.stop_text = "ERR FUNCTION LOAD timeout";
  rig.host.stop_after = 10;
  CHECK(rig.load("redis.register_function('f', function() end) while true do end").error ==
        "Error registering functions: ERR FUNCTION LOAD timeout");
  rig.host.stop_after = ~std::uint64_t{0};
  CHECK(rig.load("local t = {} for i = 1, 1e9 do t[i] = {} end").error == "Error registering functions: not enough memory");
  CHECK(rig.call_only("redis.register_function('f', function() return type(pairs) end)") == "$8\r\nfunction\r\n");
  CHECK(rig.run("return type(KEYS)") == "$5\r\ntable\r\n");
}

TEST_CASE("names and descriptions of functions have a limit") {
  FunctionRig rig;
  // A library has no string.rep while it is loaded.
  const std::string twice = "local s = 'x' while #s < 600000 do s = s .. s end ";
  CHECK(rig.load(twice + "redis.register_function(s, function() end) redis.register_function('y' .. s, function() end)").error ==
        "Error registering functions: ERR not enough memory");
  CHECK(rig.load(twice + "redis.register_function{function_name='f', callback=function() end, description=s .. s}").error ==
        "Error registering functions: ERR not enough memory");
}

TEST_CASE("a function that does not end is stopped with its own name") {
  FunctionRig rig;
  const Library library = rig.load("redis.register_function('f', function() while true do end end)");
  rig.host.stop_after = 10;
  CHECK(rig.call(library.functions[0]) == "-ERR Script killed by user with SCRIPT KILL... script: f, on @user_function:2.\r\n");
}

TEST_CASE("flags have names") {
  CHECK(named_flags().size() == 5);
  CHECK(flag_named("no-writes") == no_writes);
  CHECK(flag_named("allow-cross-slot-keys") == allow_cross_slot_keys);
  CHECK(!flag_named("No-Writes"));
  CHECK(!flag_named(""));
}

}  // namespace pinfold::script
