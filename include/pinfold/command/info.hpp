#pragma once
// The sections of INFO. Shared by info.cpp (which of them) and info_sections.cpp (what is in them).

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// Appends "name:value" lines.
class InfoText {
 public:
  explicit InfoText(std::string& to) : to_(&to) {}

  void title(std::string_view name) { to_->append("# ").append(name).append("\r\n"); }
  void field(std::string_view name, std::string_view value) { to_->append(name).append(":").append(value).append("\r\n"); }
  void field(std::string_view name, std::uint64_t value) { field(name, std::to_string(value)); }
  /// Bytes, and the same for people under name_human.
  void bytes(std::string_view name, std::uint64_t value);
  /// With so many digits after the point.
  void real(std::string_view name, double value, int digits, std::string_view unit = "");

 private:
  std::string* to_;
};

struct InfoSection {
  std::string_view name;   // as in "INFO name"
  std::string_view title;  // as in "# Title"
  bool by_default;         // part of INFO without arguments
  void (*write)(Call&, InfoText&);
};

/// In the order in which they are shown.
std::span<const InfoSection> info_sections();

}  // namespace pinfold::command
