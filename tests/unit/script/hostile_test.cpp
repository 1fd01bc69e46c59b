// Classes of faults that the libraries of other servers have had. The sanitizers see what a comparison does not.

#include "script/fake_host.hpp"

namespace pinfold::script {

TEST_CASE("CVE-2024-31449: bit.tohex with numbers of digits that have no negative") {
  Rig rig;
  for (const char* digits : {"-2147483648", "2147483648", "-2147483649", "4294967295", "-4294967296", "2^53", "-2^53", "1e300", "-1e300",
                             "1/0", "0/0", "-0.5"}) {
    INFO(digits);
    const std::string reply = rig.run(std::string("return #bit.tohex(-1, ") + digits + ")");
    CHECK((reply == ":8\r\n" || reply == ":0\r\n" || reply == ":1\r\n"));
  }
}

TEST_CASE("CVE-2022-24834: sizes of cjson and cmsgpack that do not fit into 32 bits, or that nothing follows") {
  Rig rig({.memory = 8 * 1024 * 1024});
  CHECK(rig.run("return {pcall(cjson.encode, string.rep('\\0', 3e6))}") == "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
  CHECK(rig.run("cjson.encode_sparse_array(false, 0) local r = {pcall(cjson.encode, {[2^31 - 10] = 1})} cjson.encode_sparse_array(false, "
                "2) return r") == "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
  CHECK(rig.run("cjson.encode_sparse_array(false, 0) local r = {pcall(cjson.encode, {[2^53] = 1})} cjson.encode_sparse_array(false, 2) "
                "return r") == "*2\r\n$-1\r\n$48\r\nCannot serialise table: excessively sparse array\r\n");
  for (const char* bytes : {"\\221\\255\\255\\255\\255", "\\223\\255\\255\\255\\255", "\\219\\255\\255\\255\\255", "\\220\\255\\255",
                            "\\222\\255\\255\\1", "\\218\\255\\255x", "\\159", "\\143\\1", "\\191", "\\203\\1", "\\207", "\\205\\1"}) {
    INFO(bytes);
    CHECK(rig.run(std::string("return {pcall(cmsgpack.unpack, '") + bytes + "')}") == "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n");
  }
  CHECK(rig.run("return {pcall(cmsgpack.unpack_limit, 'abc', 2^31 - 1, 3)}").starts_with("*2\r\n:1\r\n"));
  CHECK(rig.run("return {pcall(cmsgpack.unpack_limit, 'abc', -2^31, -2^31)}").starts_with("*2\r\n$-1\r\n"));
}

TEST_CASE("CVE-2025-46817: unpack and its like with ranges whose size overflows") {
  Rig rig;
  for (const char* range :
       {"-2147483648, 2147483647", "-2147483648, 2147483646", "0, 2147483647", "1, 2147483647", "-2147483648, -1", "1, 8000"}) {
    INFO(range);
    CHECK(rig.run(std::string("return {pcall(unpack, {}, ") + range + ")}") == "*2\r\n$-1\r\n$26\r\ntoo many results to unpack\r\n");
  }
  CHECK(rig.run("return {pcall(unpack, {}, 2147483647, 2147483647)}") == "*1\r\n:1\r\n");
  CHECK(rig.run("return {pcall(unpack, {}, 2147483647, -2147483648)}") == "*1\r\n:1\r\n");
  CHECK(rig.run("return {('abc'):byte(-2147483648, 2147483647)}") == "*3\r\n:97\r\n:98\r\n:99\r\n");
  CHECK(rig.run("return {('abc'):byte(-2^63, 2^63)}").starts_with("*"));
  CHECK(rig.run("return {('abc'):sub(-2^63, 2^63), ('abc'):sub(2^63), ('abc'):sub(1, -2^63)}").starts_with("*3\r\n"));
  CHECK(rig.run("return {('abc'):find('b', -2^63), ('abc'):find('c', 2^62)}").starts_with("*"));
  CHECK(rig.run("return {pcall(string.byte, string.rep('x', 1e6), 1, -1)}") == "*2\r\n$-1\r\n$21\r\nstring slice too long\r\n");
  CHECK(rig.run("return {select('#', select(-1, 1, 2)), pcall(select, 2147483647, 1)}") == "*2\r\n:1\r\n:1\r\n");
  CHECK(rig.run("return {table.concat({'a'}, 'x', 2147483647, -2147483648), pcall(table.concat, {}, '', 2147483647, 2147483647)}")
            .starts_with("*3\r\n$0\r\n\r\n$-1"));
  CHECK(rig.run("return {#table.concat({'a'}), table.remove({}, 2147483647) or 0, table.remove({}, -2147483648) or 0}") ==
        "*3\r\n:1\r\n:0\r\n:0\r\n");
}

TEST_CASE("sizes of struct that overflow (CVE-2020-14147 and those before it)") {
  Rig rig({.memory = 8 * 1024 * 1024});
  for (const char* script : {"return struct.pack('i2147483648', 1)", "return struct.unpack('c2147483648', 'abc')",
                             "return struct.pack('I99999999999999999999', 1)", "return struct.unpack('!9999999999i', 'abcdefgh')",
                             "return struct.unpack('i33', string.rep('x', 40))"}) {
    INFO(script);
    const std::string reply = rig.run(script);
    CHECK((reply.find("integral size overflow") != std::string::npos || reply.find("larger than limit of 32") != std::string::npos));
  }
  for (const char* script :
       {"return struct.unpack('c2147483647', 'abc')", "return struct.unpack('c3c2147483647', 'abc')", "return struct.unpack('i4', 'abc')",
        "return struct.unpack('i4', 'abcdefgh', 2147483647)", "return struct.unpack('i4', 'abcdefgh', -1)",
        "return struct.unpack('i4', 'abcdefgh', 2^62)", "return struct.unpack('dc0', struct.pack('d', -1) .. 'abc')",
        "return struct.unpack('dc0', struct.pack('d', 2^64) .. 'abc')", "return struct.unpack('dc0', struct.pack('d', 0/0) .. 'abc')",
        "return struct.unpack('!16xxi16', string.rep('x', 20))", "return struct.unpack('xxxxc2147483647xxxx', 'abcd')"}) {
    INFO(script);
    CHECK(rig.run(script).find("data string too short") != std::string::npos);
  }
  CHECK(rig.run("return struct.pack('c2147483647', 'x')").find("string too short") != std::string::npos);
  CHECK(rig.run("return struct.size(string.rep('c2147483647', 1000))") == ":2147483647000\r\n");
  CHECK(rig.run("return {pcall(struct.pack, '!1073741824i8i8', 1, 2)}").starts_with("*2\r\n:1\r\n"));
  CHECK(rig.run("return struct.pack('!1073741824xi32', 1)").starts_with("$64\r\n"));
  CHECK(rig.run("return {pcall(struct.pack, string.rep('x', 3e6))}") == "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
}

TEST_CASE("patterns at the edges of their texts") {
  Rig rig;
  for (const char* pattern : {"%",    "[",      "[^",   "[%",   "[a-",     "[a-%",   "[]",       "[^]",   "[]]",   "%b",    "%bx",  "%f",
                              "%f[",  "(",      ")",    "()",   "%1",      "%0",     "(()",      "^*",    "*",     "+",     "-",    "?",
                              "$",    "$$",     "^$",   "^",    "a-",      ".-$",    "%z",       "[%z]",  "[\\0]", "a\\0b", "%\\0", "(a)%1",
                              "()%1", "(.)%1$", "[a-]", "[-a]", "[a-c-e]", "%f[%z]", "%f[^%z]$", "[]-a]", "[%]]",  "[%a-z]"}) {
    for (const char* subject : {"", "a", "aa", "\\0", "abc\\0def", "]", "-"}) {
      const std::string call = std::string("('") + subject + "', '" + pattern + "'";
      INFO(call);
      for (const char* function : {"find", "match", "gmatch"}) {
        const std::string reply = rig.run(std::string("return {pcall(function() local r = string.") + function + call +
                                          ") if type(r) == 'function' then return r() end return r end)}");
        CHECK(reply.starts_with("*"));
      }
      CHECK(rig.run("return {pcall(string.gsub, '" + std::string(subject) + "', '" + pattern + "', '%0%1')}").starts_with("*"));
    }
  }
}

TEST_CASE("formats at their edges") {
  Rig rig;
  for (const char* format : {"%",  "%5",  "%-",   "%.",  "%.99", "%99",     "%-+ #0",  "%-+ #0d", "%100d",   "%.100d", "%5.5.5d",
                             "%q", "%5q", "%c",   "%s",  "%.0s", "%99.99s", "%99.99f", "%99.99e", "%99.99g", "%a",     "%n",
                             "%p", "%ld", "%hhd", "%*d", "%1$d", "%\\0d",   "%x",      "%o",      "%u"}) {
    for (const char* value : {"0", "-1", "1e308", "-1e308", "0/0", "1/0", "'x'", "'a\\0b'", "string.rep('x', 200)", "2^63", "2^64"}) {
      const std::string script = std::string("return {pcall(string.format, '") + format + "', " + value + ")}";
      INFO(script);
      CHECK(rig.run(script).starts_with("*2\r\n"));
    }
  }
  CHECK(rig.run("return #string.format('%99.99f', 1e308)") == ":409\r\n");
}

TEST_CASE("JSON at its edges") {
  Rig rig;
  const char* texts[] = {"",
                         " ",
                         "\\\"",
                         "\\\"\\\\",
                         "\\\"\\\\u",
                         "\\\"\\\\ud800\\\\u",
                         "\\\"\\\\ud800\\\\udc00",
                         "[",
                         "]",
                         "{",
                         "}",
                         "[[",
                         "[{",
                         "{\\\"a\\\":",
                         "{\\\"a\\\":[",
                         "1e",
                         "1e999",
                         "-",
                         "--1",
                         "0x",
                         "0x1p999",
                         "nan(1)",
                         "+",
                         "infinit",
                         "tru",
                         "\\0",
                         "\\0\\0",
                         "a\\0",
                         "1\\0",
                         "[1,2",
                         "[1,,2]",
                         "{,}",
                         "{1:2}",
                         "[1]\\0]",
                         "\\255",
                         "\\\"\\255\\\""};
  for (const char* text : texts) {
    INFO(text);
    CHECK(rig.run(std::string("return {pcall(cjson.decode, \"") + text + "\")}").starts_with("*"));
  }
}

TEST_CASE("a comparison that contradicts itself ends a sort") {
  Rig rig;
  for (const char* compare : {"true", "false", "a <= b", "math.random() < 0.5", "a ~= b", "nil"}) {
    const std::string script =
        std::string("local t = {} for i = 1, 1000 do t[i] = i % 7 end return {pcall(table.sort, t, function(a, b) return ") + compare +
        " end)}";
    INFO(script);
    CHECK(rig.run(script).starts_with("*"));
  }
  CHECK(rig.run("local t = {3, 2, 1} return {pcall(table.sort, t, function(a, b) for i = 1, 100 do t[i] = nil end return a < b end)}")
            .starts_with("*"));
}

}  // namespace pinfold::script
