#pragma once
// The sections of INFO: how collected figures are shown as text. Shared by info_command.cpp (which of them) and info_sections.cpp.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "pinfold/base/numbers.hpp"
#include "pinfold/command/figures.hpp"

namespace pinfold::command {

/// Appends "name:value" lines to a text, which must outlive it.
class InfoText {
 public:
  explicit InfoText(std::string& to) : to_(&to) {}

  void title(std::string_view name) { to_->append("# ").append(name).append("\r\n"); }

  void line(std::string_view name, std::string_view value) { to_->append(name).append(":").append(value).append("\r\n"); }
  /// A line for each figure; two for bytes that people read as well.
  template <class Of>
  void lines(const Of& values, std::span<const Figure<Of>> figures) {
    for (const Figure<Of>& figure : figures) {
      line(figure.name, shown(values, figure));
      if (figure.unit == Unit::bytes_for_people) line(std::string(figure.name) + "_human", for_people(values, figure));
    }
  }
  /// One line with all of them: "cmdstat_get:calls=1,usec=2".
  template <class Of>
  void row(std::string_view name, const Of& values, std::span<const Figure<Of>> figures) {
    std::string text;
    for (const Figure<Of>& figure : figures) {
      if (!text.empty()) text += ',';
      text.append(figure.name).append("=").append(shown(values, figure));
    }
    line(name, text);
  }

 private:
  template <class Of>
  static std::string shown(const Of& values, const Figure<Of>& figure) {
    return std::visit(
        [&](auto value) {
          if constexpr (std::is_same_v<decltype(value), std::string_view>) {
            return std::string(value);
          } else {
            return shown(figure.unit, values.*value);
          }
        },
        figure.value);
  }
  template <class Of>
  static std::string for_people(const Of& values, const Figure<Of>& figure) {
    const auto* const bytes = std::get_if<std::uint64_t Of::*>(&figure.value);
    return bytes != nullptr ? human_size(values.**bytes) : shown(values, figure);
  }

  static std::string shown(Unit, const std::string& text) { return text; }
  static std::string shown(Unit, std::uint64_t number) { return std::to_string(number); }
  static std::string shown(Unit, std::int64_t number) { return std::to_string(number); }
  /// With so many digits after the point as suit the unit.
  static std::string shown(Unit unit, double number);

  std::string* to_;
};

struct InfoSection {
  Section section;
  std::string_view name;   // as in "INFO name"
  std::string_view title;  // as in "# Title"
  bool by_default;         // part of INFO without arguments
  void (*write)(const Figures&, InfoText&);
};

/// In the order in which they are shown.
std::span<const InfoSection> info_sections();

}  // namespace pinfold::command
