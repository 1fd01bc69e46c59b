#include <charconv>
#include <cstdint>

#include "protocol.h"

namespace pinfold::load {
namespace {

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

class Resp final : public Protocol {
 public:
  void get(std::string& out, std::string_view key) const override {
    out += "*2\r\n$3\r\nGET\r\n";
    append_bulk(out, key);
  }

  void set(std::string& out, std::string_view key, std::string_view value, Expiry expiry) const override {
    out += expiry.seconds > 0 ? "*5\r\n$3\r\nSET\r\n" : "*3\r\n$3\r\nSET\r\n";
    append_bulk(out, key);
    append_bulk(out, value);
    if (expiry.seconds > 0) {
      append_bulk(out, expiry.absolute ? "EXAT" : "EX");
      append_bulk(out, std::to_string(expiry.seconds));
    }
  }

  void del(std::string& out, std::string_view key) const override {
    out += "*2\r\n$3\r\nDEL\r\n";
    append_bulk(out, key);
  }

  Reply parse(std::string_view in, Request request, std::string_view) const override {
    const Line line = first_line(in);
    if (!line.complete) return in.size() > kLongestLine ? garbage(in) : Reply{};
    if (line.text.empty()) return garbage(in);
    const std::size_t used = line.text.size() + 2;
    switch (line.text.front()) {
      case '$':
        return bulk(in, line.text, request);
      case '_':
        return {request == Request::kGet ? Reply::Kind::kMissing : Reply::Kind::kError, line.text, used};
      case '+': {
        const bool stored = request == Request::kSet && line.text == "+OK";
        return {stored ? Reply::Kind::kStored : Reply::Kind::kError, line.text, used};
      }
      case '-': {
        const bool refused = request == Request::kSet && line.text.starts_with("-OOM ");
        return {refused ? Reply::Kind::kRefused : Reply::Kind::kError, line.text, used};
      }
      case ':': {
        const bool deleted = request == Request::kDelete && (line.text == ":0" || line.text == ":1");
        return {deleted ? Reply::Kind::kDeleted : Reply::Kind::kError, line.text, used};
      }
      default:
        return garbage(in);
    }
  }

 private:
  static constexpr std::size_t kLongestLine = 4096;

  static Reply garbage(std::string_view in) { return {Reply::Kind::kGarbage, in.substr(0, 64), 0}; }

  static Reply bulk(std::string_view in, std::string_view line, Request request) {
    const bool asked = request == Request::kGet;
    if (line == "$-1") return {asked ? Reply::Kind::kMissing : Reply::Kind::kError, line, line.size() + 2};
    std::uint32_t length = 0;
    const auto [end, error] = std::from_chars(line.data() + 1, line.data() + line.size(), length);
    if (error != std::errc{} || end != line.data() + line.size()) return garbage(in);
    const std::size_t start = line.size() + 2;
    if (in.size() < start + length + 2) return {};
    if (in.substr(start + length, 2) != "\r\n") return garbage(in.substr(start + length));
    if (!asked) return {Reply::Kind::kError, line, start + length + 2};
    return {Reply::Kind::kValue, in.substr(start, length), start + length + 2};
  }
};

}  // namespace

void append_bulk(std::string& out, std::string_view text) {
  out += '$';
  append_number(out, text.size());
  out += "\r\n";
  out += text;
  out += "\r\n";
}

std::unique_ptr<Protocol> make_resp() { return std::make_unique<Resp>(); }

}  // namespace pinfold::load
