#include "json.h"

#include <cmath>
#include <cstdio>

namespace pinfold::load {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      char escape[7];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(byte));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

void JsonObject::name(std::string_view name) {
  if (!members_.empty()) members_ += ", ";
  members_ += quoted(name) + ": ";
}

JsonObject& JsonObject::add(std::string_view key, std::string_view text) {
  name(key);
  members_ += quoted(text);
  return *this;
}

JsonObject& JsonObject::add(std::string_view key, std::uint64_t number) {
  name(key);
  members_ += std::to_string(number);
  return *this;
}

JsonObject& JsonObject::add(std::string_view key, double number) {
  name(key);
  char text[32];
  std::snprintf(text, sizeof text, "%.6f", std::isfinite(number) ? number : 0.0);
  members_ += text;
  return *this;
}

JsonObject& JsonObject::add(std::string_view key, bool value) {
  name(key);
  members_ += value ? "true" : "false";
  return *this;
}

JsonObject& JsonObject::add(std::string_view key, const JsonObject& object) {
  name(key);
  members_ += object.line();
  return *this;
}

}  // namespace pinfold::load
