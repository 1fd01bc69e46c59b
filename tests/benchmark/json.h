#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pinfold::load {

// Builds one JSON object on one line. Text is escaped to ASCII, so that whatever a server replied can be
// quoted.
class JsonObject {
 public:
  JsonObject& add(std::string_view name, std::string_view text);
  JsonObject& add(std::string_view name, const char* text) { return add(name, std::string_view(text)); }
  JsonObject& add(std::string_view name, std::uint64_t number);
  JsonObject& add(std::string_view name, double number);
  JsonObject& add(std::string_view name, bool value);
  JsonObject& add(std::string_view name, const JsonObject& object);

  std::string line() const { return "{" + members_ + "}"; }

 private:
  void name(std::string_view name);
  std::string members_;
};

}  // namespace pinfold::load
