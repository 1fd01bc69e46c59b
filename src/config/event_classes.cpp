#include "pinfold/config/event_classes.hpp"

namespace pinfold::config {
namespace {

constexpr EventClasses all() {
  EventClasses classes = 0;
  for (const char letter : all_events) classes |= event_class(letter);
  return classes;
}

}  // namespace

std::optional<EventClasses> parse_event_classes(std::string_view letters) {
  EventClasses classes = 0;
  for (const char letter : letters) {
    if (letter != 'A' && event_letters.find(letter) == std::string_view::npos) return std::nullopt;
    classes |= letter == 'A' ? all() : event_class(letter);
  }
  return classes;
}

std::string show_event_classes(EventClasses classes) {
  std::string letters;
  if ((classes & all()) == all()) {
    letters.push_back('A');
    classes &= ~all();
  }
  for (const char letter : event_letters) {
    if ((classes & event_class(letter)) != 0) letters += letter;
  }
  return letters;
}

}  // namespace pinfold::config
