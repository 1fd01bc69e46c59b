#include "pinfold/config/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <vector>

#include "pinfold/base/http_url.hpp"
#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/config/event_classes.hpp"
#include "pinfold/config/machine.hpp"

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

constexpr unsigned most_threads = 256;

// The unit of this setting's numbers, for errors: " milliseconds", or nothing.
std::string_view unit_of(Type type) {
  switch (type) {
    case Type::percent:
      return " percent";
    case Type::milliseconds:
      return " milliseconds";
    case Type::seconds:
      return " seconds";
    case Type::minutes:
      return " minutes";
    case Type::memory:
      return " bytes";
    default:
      return "";
  }
}

Error check_range(const Setting& setting, std::int64_t number) {
  if (number >= setting.min && number <= setting.max) return std::nullopt;
  return "argument must be between " + std::to_string(setting.min) + " and " + std::to_string(setting.max) + " inclusive" +
         (unit_of(setting.type).empty() ? "" : "," + std::string(unit_of(setting.type)));
}

Error parse_integer(const Setting& setting, std::string_view value, Value& result) {
  if (setting.id == Id::threads && iequals(value, "auto")) {
    result.number = std::min(available_cores(), most_threads);
    return std::nullopt;
  }
  const std::optional<std::int64_t> number = parse_i64(value);
  if (!number) return "argument couldn't be parsed into an integer";
  result.number = *number;
  return check_range(setting, *number);
}

// Examples of durations that the setting takes: "30s, 5m, 1h".
std::string durations_for(const Setting& setting, std::int64_t unit_ms) {
  std::string list;
  for (const std::string_view example : {"50ms", "30s", "5m", "1h", "1d"}) {
    const std::int64_t ms = *parse_duration(example);
    if (ms % unit_ms != 0 || ms / unit_ms < setting.min || ms / unit_ms > setting.max) continue;
    list.append(list.empty() ? "" : ", ").append(example);
  }
  return list;
}

// Reads a time in units of `unit_ms`. A bare number counts such units. `unit` is their name, and `examples` are durations for the error.
Error read_time(std::string_view value, std::int64_t unit_ms, std::string_view unit, const std::string& examples, std::int64_t& result) {
  if (const std::optional<std::int64_t> number = parse_i64(value)) {
    result = *number;
    return std::nullopt;
  }
  const std::optional<std::int64_t> ms = parse_duration(value);
  if (!ms) {
    return "argument couldn't be parsed into an integer or a duration: it takes" + std::string(unit) + ", or " + examples;
  }
  if (*ms % unit_ms != 0) return "argument must be a whole number of" + std::string(unit);
  result = *ms / unit_ms;
  return std::nullopt;
}

Error parse_time(const Setting& setting, std::int64_t unit_ms, std::string_view value, Value& result) {
  if (Error error = read_time(value, unit_ms, unit_of(setting.type), durations_for(setting, unit_ms), result.number)) return error;
  return check_range(setting, result.number);
}

Error parse_percent(const Setting& setting, std::string_view value, Value& result) {
  const std::string_view digits = value.ends_with('%') ? value.substr(0, value.size() - 1) : value;
  const std::optional<std::int64_t> number = parse_i64(digits);
  if (!number) return "argument couldn't be parsed into a percentage, such as 5 or 5%";
  result.number = *number;
  return check_range(setting, *number);
}

std::int64_t share_of_memory(unsigned percent) { return static_cast<std::int64_t>(available_memory() / 100 * percent); }

// Reads the number before a percent sign. Returns nothing if it is below `min`.
std::optional<std::int64_t> parse_percentage(std::string_view value, std::int64_t min) {
  if (value.size() < 2 || value.back() != '%') return std::nullopt;
  const std::optional<std::int64_t> percent = parse_i64(value.substr(0, value.size() - 1));
  if (!percent || *percent < min) return std::nullopt;
  return percent;
}

// A share of another setting's bytes. It is kept as a negative number of percent, as Redis does.
Error parse_share(const Setting& setting, std::int64_t percent, Value& result) {
  if (percent > -setting.min) {
    return "percentage argument must be less or equal to " + std::to_string(-setting.min);
  }
  result.number = -percent;
  return std::nullopt;
}

// Refuses less than 1 MB, in which nothing can be stored. A smaller number without a unit is probably one whose unit was forgotten.
Error check_maxmemory(std::string_view value, std::uint64_t bytes) {
  constexpr std::uint64_t least = 1024 * 1024;
  if (bytes == 0 || bytes >= least) return std::nullopt;
  const std::string error = "argument must be at least 1mb, or 0 for no limit";
  if (!is_digit(value.back())) return error;
  return error + ": " + std::to_string(bytes) + " is a number of bytes (did you mean " + std::to_string(bytes) + "mb?)";
}

Error parse_bytes(const Setting& setting, std::string_view value, Value& result) {
  constexpr unsigned automatic_share = 75;  // the rest is for the kernel, its socket buffers and the program
  if (setting.id == Id::maxmemory && iequals(value, "auto")) {
    result.number = share_of_memory(automatic_share);
    return std::nullopt;
  }
  if (const auto percent = parse_percentage(value, 1); percent && *percent <= 100 && setting.id == Id::maxmemory) {
    result.number = share_of_memory(static_cast<unsigned>(*percent));
    return std::nullopt;
  }
  const bool may_be_share = setting.min < 0;
  if (const auto percent = parse_percentage(value, 0); percent && may_be_share) {
    return parse_share(setting, *percent, result);
  }
  const std::optional<std::uint64_t> bytes = parse_memory(value);
  if (!bytes) {
    return std::string(may_be_share ? "argument must be a memory or percent value" : "argument must be a memory value") +
           ": a whole number, not negative, with a unit b, kb, mb, gb (k, m, g are powers of 1000), such as 100mb" +
           (may_be_share                  ? ", or a whole percentage, 0% to 100%"
            : setting.id == Id::maxmemory ? ", or a whole percentage, 1% to 100%"
                                          : "");
  }
  result.number = static_cast<std::int64_t>(*bytes);
  return setting.id == Id::maxmemory ? check_maxmemory(value, *bytes) : check_range(setting, result.number);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t size = std::min(text.find(separator), text.size());
    if (size > 0) parts.push_back(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  return parts;
}

Error parse_choice(const Setting& setting, std::string_view value, Value& result) {
  const std::vector<std::string_view> choices = split(setting.choices, '|');
  std::string list;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (iequals(value, choices[i])) {
      result.number = static_cast<std::int64_t>(i);
      return std::nullopt;
    }
    list.append(i == 0 ? "" : ", ").append(choices[i]);
  }
  return "argument(s) must be one of the following: " + list;
}

Error parse_flag(const Setting& setting, std::string_view value, Value& result) {
  if (!iequals(value, "yes") && !iequals(value, "no")) return "argument must be 'yes' or 'no'";
  result.number = iequals(value, "yes") ? 1 : 0;
  if (setting.id == Id::appendonly && result.number != 0) {
    return "there is no append-only file: argument must be 'no'";
  }
  return std::nullopt;
}

// The length of the UTF-8 sequence at the start of `text`, or 0 if it is not valid. Overlong forms and surrogates are not valid,
// because some readers of YAML refuse them.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xf0 ? 4 : (first >= 0xe0 ? 3 : 2);
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool surrogate = first == 0xed && byte(1) > 0x9f;
  const bool too_large = first == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || too_large ? 0 : size;
}

// Whether the text holds no control characters and no line breaks. A line break in a value would begin a new line in the file that
// CONFIG REWRITE writes.
bool fits_in_a_line(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0 || first < 0x20 || first == 0x7f) return false;
    if (first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) return false;  // C1 controls, NEL among them
    if (text.starts_with("\u2028") || text.starts_with("\u2029")) return false;     // further line separators
    text.remove_prefix(size);
  }
  return true;
}

Error parse_mode(std::string_view value, Value& result) {
  unsigned mode = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, mode, 8);
  if (error != std::errc{} || end != last || mode > 0777) {
    return "argument must be an octal number between 0 and 777";
  }
  std::array<char, 4> digits{};
  result.text.assign(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), mode, 8).ptr);
  result.number = mode;
  return std::nullopt;
}

constexpr std::array<std::string_view, 3> classes = {"normal", "slave", "pubsub"};
using Limits = std::array<OutputLimit, classes.size()>;

std::optional<std::size_t> class_index(std::string_view name) {
  if (iequals(name, "replica")) name = "slave";
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (iequals(name, classes[i])) return i;
  }
  return std::nullopt;
}

Error read_limits(std::string_view value, Limits& limits) {
  const std::vector<std::string_view> words = split(value, ' ');
  if (words.size() % 4 != 0) return "Wrong number of arguments in buffer limit configuration.";
  for (std::size_t i = 0; i < words.size(); i += 4) {
    const std::optional<std::size_t> index = class_index(words[i]);
    if (!index) return "Invalid client class specified in buffer limit configuration.";
    const std::optional<std::uint64_t> hard = parse_memory(words[i + 1]);
    const std::optional<std::uint64_t> soft = parse_memory(words[i + 2]);
    std::int64_t seconds = 0;
    const bool timed = !read_time(words[i + 3], 1000, unit_of(Type::seconds), {}, seconds);
    if (!hard || !soft || !timed || seconds < 0 || seconds > std::numeric_limits<std::int32_t>::max()) {
      return "Error in hard, soft or soft_seconds setting in buffer limit configuration. The limits take bytes, or 100kb, 100mb, 1gb; the "
             "time "
             "takes whole seconds, or 30s, 5m, 1h, 1d";
    }
    limits[*index] = {*hard, *soft, seconds};
  }
  return std::nullopt;
}

Error parse_output_limit(std::string_view value, std::string_view current, Value& result) {
  Limits limits{};
  read_limits(current, limits);
  if (Error error = read_limits(value, limits)) return error;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (i > 0) result.text += ' ';
    result.text.append(classes[i]).append(" ").append(std::to_string(limits[i].hard));
    result.text.append(" ").append(std::to_string(limits[i].soft));
    result.text.append(" ").append(std::to_string(limits[i].soft_seconds));
  }
  return std::nullopt;
}

Error parse_percentiles(std::string_view value, Value& result) {
  constexpr std::size_t most = 16;
  const std::vector<std::string_view> words = split(value, ' ');
  if (words.size() > most) return "argument has more than 16 percentiles";
  for (const std::string_view word : words) {
    const auto percent = parse_real(word);
    if (!percent || !(*percent >= 0 && *percent <= 100)) return "argument must be numbers from 0 to 100, with spaces between them";
    if (!result.text.empty()) result.text += ' ';
    result.text += word;
  }
  return std::nullopt;
}

// Only what a header of HTTP can carry: a token that is anything else would be shown by nobody.
Error parse_token(std::string_view value, Value& result) {
  const auto fits = [](char byte) { return byte > ' ' && byte <= '~'; };
  if (!std::ranges::all_of(value, fits)) return "argument must be printable ASCII characters without spaces";
  result.text = value;
  return std::nullopt;
}

Error parse_text(const Setting& setting, std::string_view value, std::string_view current, Value& result) {
  // A password may hold any bytes. CONFIG REWRITE escapes them.
  const bool any_bytes = is_secret(setting.id);
  if (!any_bytes && !fits_in_a_line(value)) return "argument must be UTF-8 text without line breaks or control characters";
  switch (setting.id) {
    case Id::unixsocketperm:
      return parse_mode(value, result);
    case Id::client_output_buffer_limit:
      return parse_output_limit(value, current, result);
    case Id::latency_tracking_info_percentiles:
      return parse_percentiles(value, result);
    case Id::notify_keyspace_events: {
      const std::optional<EventClasses> wanted = parse_event_classes(value);
      if (!wanted) return "Invalid event class character. Use 'Ag$lshzxeKEtmdnp'.";
      result.number = *wanted;
      result.text = show_event_classes(*wanted);
      return std::nullopt;
    }
    case Id::trace_endpoint: {
      std::string error;
      if (!value.empty() && !parse_http_url(value, error)) return error;
      result.text = value;
      return std::nullopt;
    }
    case Id::trace_service_name:
      if (value.empty()) return "argument must not be empty";
      result.text = value;
      return std::nullopt;
    case Id::save:
      if (!value.empty()) return "there are no snapshots: argument must be empty";
      return std::nullopt;
    case Id::admin_token:
      return parse_token(value, result);
    default:
      result.text = value;
      return std::nullopt;
  }
}

// The setting that was probably meant. In a file that may also be the list of policies, or the users.
std::optional<std::string_view> nearest_setting(std::string_view name, bool in_file) {
  if (in_file && iequals(name, "policy")) return "policies";
  std::vector<std::string_view> names;
  for (const Setting& setting : settings_table()) names.push_back(setting.name);
  if (in_file) names.insert(names.end(), {"policies", "users"});
  return nearest_word(name, names);
}

}  // namespace

Error parse_value(const Setting& setting, std::string_view value, std::string_view current, Value& result) {
  switch (setting.type) {
    case Type::text:
      return parse_text(setting, value, current, result);
    case Type::integer:
      return parse_integer(setting, value, result);
    case Type::percent:
      return parse_percent(setting, value, result);
    case Type::milliseconds:
      return parse_time(setting, 1, value, result);
    case Type::seconds:
      return parse_time(setting, 1000, value, result);
    case Type::minutes:
      return parse_time(setting, 60'000, value, result);
    case Type::memory:
      return parse_bytes(setting, value, result);
    case Type::flag:
      return parse_flag(setting, value, result);
    case Type::choice:
      return parse_choice(setting, value, result);
  }
  return std::nullopt;
}

std::string show_number(const Setting& setting, std::int64_t number) {
  if (setting.type == Type::flag) return number != 0 ? "yes" : "no";
  if (setting.type == Type::memory && number < 0) return std::to_string(-number) + "%";
  if (setting.type != Type::choice) return std::to_string(number);
  return std::string(split(setting.choices, '|')[static_cast<std::size_t>(number)]);
}

OutputLimits output_limits(std::string_view canonical) {
  Limits limits{};
  read_limits(canonical, limits);
  return {limits.front(), limits.back()};
}

std::string unknown_setting(std::string_view name, bool in_file) {
  std::string error = "unknown setting '" + std::string(name) + "'";
  if (const auto nearest = nearest_setting(name, in_file)) error.append(" (did you mean '").append(*nearest).append("'?)");
  return error;
}

std::string environment_name(const Setting& setting) {
  std::string name = "PINFOLD_";
  for (const char c : setting.name) name += c == '-' ? '_' : upper(c);
  return name;
}

}  // namespace pinfold::config
