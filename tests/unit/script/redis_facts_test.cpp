// Scripts get the replies that redis-server 7.0.15 gives them (redis_facts.txt).

#include <fstream>

#include "script/fake_host.hpp"

namespace pinfold::script {

namespace {

/// The bytes of a reply as the file has it.
std::string unescaped(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '|') {
      bytes += "\r\n";
    } else if (text[i] != '\\') {
      bytes += text[i];
    } else if (text[++i] == 'x') {
      bytes += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      bytes += text[i] == 'r' ? '\r' : text[i] == 'n' ? '\n' : text[i];
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("scripts get the replies of Redis") {
  std::ifstream file(std::string(PINFOLD_SOURCE_DIR) + "/tests/unit/script/redis_facts.txt");
  REQUIRE(file);
  Rig rig;
  int protocol = 2;
  int checked = 0;
  std::string script;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# RESP")) protocol = line[6] - '0';
    if (line.starts_with('#')) continue;
    if (!line.starts_with("  ")) {
      script = line;
      continue;
    }
    INFO(script);
    CHECK(rig.run(script, protocol) == unescaped(line.substr(2)));
    ++checked;
  }
  CHECK(checked > 500);
}

}  // namespace pinfold::script
