#pragma once
// A host with a few commands, and a sink that writes the protocol, for tests of scripts.

#include <charconv>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pinfold/script/interpreter.hpp"

namespace pinfold::script {

class FakeHost final : public Host {
 public:
  Reply call(std::span<const std::string_view> arguments, int resp) override {
    calls.emplace_back(arguments.begin(), arguments.end());
    reply_ = reply_to(arguments, resp);
    // In pieces, cut anywhere.
    pieces_.clear();
    for (std::size_t at = 0; at < reply_.size(); at += piece) pieces_.push_back(std::string_view(reply_).substr(at, piece));
    return {pieces_, abandons};
  }
  Permission may_call(std::span<const std::string_view> arguments) override {
    if (arguments[0] == "get") return Permission::granted;
    return arguments[0] == "set" ? Permission::denied : Permission::no_such_command;
  }
  void log(LogLevel level, std::string_view text) override {
    lines.push_back(std::to_string(static_cast<int>(level)) + " " + std::string(text));
  }
  std::string_view stop() override {
    ++polls;
    if (on_stop) on_stop();
    return polls > stop_after ? std::string_view(stop_text) : std::string_view();
  }

  std::map<std::string, std::string> values;
  std::vector<std::vector<std::string>> calls;
  std::vector<std::string> lines;
  std::size_t piece = 7;
  bool abandons = false;
  std::uint64_t polls = 0;
  std::uint64_t stop_after = ~std::uint64_t{0};
  std::string stop_text = "ERR Script killed by user with SCRIPT KILL...";
  std::function<void()> on_stop;
  /// The reply to the command "reply".
  std::string canned;

 private:
  static std::string bulk(std::string_view text) { return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n"; }

  std::string reply_to(std::span<const std::string_view> arguments, int resp) {
    const std::string name(arguments[0]);
    if (name == "reply") return canned;
    if (name == "ping") return "+PONG\r\n";
    if (name != "get" && name != "set" && name != "incr" && name != "del") return "-ERR Unknown Redis command called from script\r\n";
    if (arguments.size() != (name == "set" ? 3 : 2)) return "-ERR Wrong number of args calling Redis command from script\r\n";
    const std::string key(arguments[1]);
    const auto found = values.find(key);
    if (name == "del") return ":" + std::to_string(values.erase(key)) + "\r\n";
    if (name == "set") {
      values[key] = arguments[2];
      return "+OK\r\n";
    }
    if (name == "get") {
      if (found != values.end()) return bulk(found->second);
      return resp == 3 ? "_\r\n" : "$-1\r\n";
    }
    std::int64_t number = 0;
    if (found != values.end()) {
      const std::string& text = found->second;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size()) return "-ERR value is not an integer or out of range\r\n";
    }
    values[key] = std::to_string(++number);
    return ":" + values[key] + "\r\n";
  }

  std::string reply_;
  std::vector<std::string_view> pieces_;
};

/// Writes what it gets as the server does.
class TextSink final : public Sink {
 public:
  explicit TextSink(int protocol = 2) : protocol_(protocol) {}

  bool takes(std::size_t bytes) override { return text.size() + bytes <= room; }
  void null() override { text += protocol_ == 3 ? "_\r\n" : "$-1\r\n"; }
  void integer(std::int64_t value) override { text += ":" + std::to_string(value) + "\r\n"; }
  void bulk(std::string_view bytes) override { text += "$" + std::to_string(bytes.size()) + "\r\n" + std::string(bytes) + "\r\n"; }
  void status(std::string_view line) override { text += "+" + one_line(line) + "\r\n"; }
  void error(std::string_view line, bool counted_before) override {
    text += "-" + one_line(line) + "\r\n";
    last_counted_before = counted_before;
  }
  void array(std::size_t size) override { text += "*" + std::to_string(size) + "\r\n"; }
  void map(std::size_t pairs) override {
    text += protocol_ == 3 ? "%" + std::to_string(pairs) + "\r\n" : "*" + std::to_string(2 * pairs) + "\r\n";
  }
  void set(std::size_t size) override { text += (protocol_ == 3 ? "~" : "*") + std::to_string(size) + "\r\n"; }
  void boolean(bool value) override {
    if (protocol_ == 3) {
      text += value ? "#t\r\n" : "#f\r\n";
    } else {
      integer(value ? 1 : 0);
    }
  }
  void real(double value) override {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.17g", value);
    if (protocol_ == 3) {
      text += std::string(",") + digits + "\r\n";
    } else {
      bulk(digits);
    }
  }
  void big_number(std::string_view digits) override {
    if (protocol_ == 3) {
      text += "(" + one_line(digits) + "\r\n";
    } else {
      bulk(one_line(digits));
    }
  }
  void verbatim(std::string_view format, std::string_view bytes) override {
    if (protocol_ == 2) return bulk(bytes);
    std::string padded(format.substr(0, 3));
    padded.resize(3, ' ');
    text += "=" + std::to_string(bytes.size() + 4) + "\r\n" + padded + ":" + std::string(bytes) + "\r\n";
  }

  std::string text;
  bool last_counted_before = false;  // of the last error
  std::size_t room = std::size_t{1} << 30;

 private:
  static std::string one_line(std::string_view line) {
    std::string result(line);
    for (char& c : result) {
      if (c == '\r' || c == '\n') c = ' ';
    }
    return result;
  }

  int protocol_;
};

/// An interpreter with its host.
struct Rig {
  explicit Rig(Limits limits = {}, Account* account = nullptr) : interpreter(account, limits) {}

  /// Runs a script with these keys and arguments, under the name SHA. Returns the reply, or what went wrong.
  std::string run(std::string_view body, int protocol = 2, std::vector<std::string_view> keys = {"k1", "k2"},
                  std::vector<std::string_view> arguments = {"a1", "a2"}) {
    const Compiled compiled = interpreter.compile(body);
    if (compiled.script == Handle::none) return "-ERR Error compiling script (new function): " + compiled.error + "\r\n";
    TextSink sink(protocol);
    sink.room = room;
    last = interpreter.run(compiled.script, "SHA", keys, arguments, host, sink);
    interpreter.forget(compiled.script);
    counted_before = sink.last_counted_before;
    switch (last.ended) {
      case Ended::stopped:
        return "-" + last.error + "\r\n";
      case Ended::abandoned:
        return "abandoned";
      case Ended::refused_reply:
        return "refused";
      default:
        return sink.text;
    }
  }

  FakeHost host;
  Interpreter interpreter;
  Outcome last;
  bool counted_before = false;  // whether the last error of the last run was
  std::size_t room = std::size_t{1} << 30;
};

}  // namespace pinfold::script
