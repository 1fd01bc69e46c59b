#pragma once
// JSON, written. Values go straight into a text: there is no tree of them.
//
//   JsonWriter json;
//   json.begin_object().add("keys", 3U).key("names").begin_array().value("a").end_array().end_object();
//   json.text()   {"keys":3,"names":["a"]}

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pinfold {

/// Appends `bytes` as they stand between the quotes of JSON, and at most `most` bytes. Whatever is no printable ASCII is written as \u00XX
/// for each byte, so the bytes can be told from the text again. Returns whether that was all of them.
bool append_json_bytes(std::string& to, std::string_view bytes, std::size_t most);

/// `text` as it can be shown to people: UTF-8, without characters that cannot be seen or that turn the text around them (controls, line
/// separators, zero-width and bidirectional characters), and without the noncharacters. These are written as \u{202e}, and bytes that
/// are no UTF-8 as \xff; a backslash stays as it is. At most about `most` bytes: what is left out is shown as "...". O(most).
std::string presentable(std::string_view text, std::size_t most);

/// Writes one value, which is an object or an array. The caller sees to it that what begins also ends.
class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }

  /// The name of the next value in an object. It must be the server's own: printable ASCII without '"' and '\'.
  JsonWriter& key(std::string_view name);

  /// A text. It must be UTF-8 without control characters, as presentable() makes it.
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  template <std::integral Number>
  JsonWriter& value(Number number) {
    comma();
    text_ += std::to_string(number);
    return *this;
  }
  JsonWriter& value(bool truth);
  /// With so many digits that it can be read back; null if it is not finite.
  JsonWriter& value(double number);

  template <class Value>
  JsonWriter& add(std::string_view name, const Value& what) {
    return key(name).value(what);
  }

  std::string text() && { return std::move(text_); }
  std::size_t size() const { return text_.size(); }

 private:
  void comma();
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);

  std::string text_;
  bool first_ = true;  // of the object or array at hand
};

}  // namespace pinfold
