#pragma once
// The classes of keyspace events, as notify-keyspace-events names them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pinfold::config {

/// A set of classes: a bit for each letter of event_letters.
using EventClasses = std::uint32_t;

/// `K` and `E` say to which channels events go. The last one is Pinfold's own.
inline constexpr std::string_view event_letters = "g$lshzxetdnKEmp";
/// Those that `A` stands for.
inline constexpr std::string_view all_events = "g$lshzxetd";

constexpr EventClasses event_class(char letter) { return EventClasses{1} << event_letters.find(letter); }

/// Nothing if a letter names no class.
std::optional<EventClasses> parse_event_classes(std::string_view letters);
/// The letters, in the order of Redis.
std::string show_event_classes(EventClasses classes);

}  // namespace pinfold::config
