#include <charconv>
#include <cstdint>

#include "protocol.h"

namespace pinfold::load {
namespace {

constexpr std::size_t kLongestLine = 4096;

Reply garbage(std::string_view in) { return {Reply::Kind::kGarbage, in.substr(0, 64), 0}; }

bool read_length(std::string_view text, std::uint32_t& length) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  return error == std::errc{} && end == text.data() + text.size();
}

// What memcached says to a SET it has no room for; the last is for values that it stores in several chunks.
bool is_refusal(std::string_view line) {
  return line.starts_with("SERVER_ERROR object too large for cache") || line.starts_with("SERVER_ERROR out of memory storing object") ||
         line.starts_with("SERVER_ERROR Out of memory during read");
}

// The data block behind a reply line of `line` bytes, which `ending` must follow.
Reply block(std::string_view in, std::size_t line, std::uint32_t length, std::string_view ending) {
  const std::size_t start = line + 2;
  if (in.size() < start + length + ending.size()) return {};
  if (in.substr(start + length, ending.size()) != ending) return garbage(in.substr(start + length));
  return {Reply::Kind::kValue, in.substr(start, length), start + length + ending.size()};
}

// memcached's doc/protocol.txt, as much of it as a cache-aside client needs. What the text and the meta
// commands share is here: SET in the text form, and the replies to it.
class Memcached : public Protocol {
 public:
  void set(std::string& out, std::string_view key, std::string_view value, Expiry expiry) const override {
    out += "set ";
    out += key;
    out += " 0 ";
    out += std::to_string(expiry.seconds);
    out += ' ';
    out += std::to_string(value.size());
    out += "\r\n";
    out += value;
    out += "\r\n";
  }

  void del(std::string& out, std::string_view key) const override {
    out += "delete ";
    out += key;
    out += "\r\n";
  }

  Reply parse(std::string_view in, Request request, std::string_view key) const final {
    const Line line = first_line(in);
    if (!line.complete) return in.size() > kLongestLine ? garbage(in) : Reply{};
    const std::size_t used = line.text.size() + 2;
    if (request == Request::kGet) {
      const Reply reply = answer(in, line.text, key);
      if (reply.kind != Reply::Kind::kError) return reply;
    } else if (request == Request::kDelete) {
      if (line.text == "DELETED" || line.text == "NOT_FOUND") return {Reply::Kind::kDeleted, line.text, used};
    } else if (line.text == "STORED") {
      return {Reply::Kind::kStored, line.text, used};
    } else if (is_refusal(line.text)) {
      return {Reply::Kind::kRefused, line.text, used};
    }
    for (const std::string_view known : {"ERROR", "NOT_STORED", "CLIENT_ERROR", "SERVER_ERROR", "STORED", "DELETED"}) {
      if (line.text.starts_with(known)) return {Reply::Kind::kError, line.text, used};
    }
    return garbage(in);
  }

 protected:
  // The answer to a GET; kError when the line is not one.
  virtual Reply answer(std::string_view in, std::string_view line, std::string_view key) const = 0;
};

class Text final : public Memcached {
 public:
  void get(std::string& out, std::string_view key) const override {
    out += "get ";
    out += key;
    out += "\r\n";
  }

 protected:
  // VALUE <key> <flags> <bytes>\r\n<data>\r\nEND\r\n, or END\r\n alone.
  Reply answer(std::string_view in, std::string_view line, std::string_view key) const override {
    constexpr std::string_view kHead = "VALUE ";
    if (line == "END") return {Reply::Kind::kMissing, line, line.size() + 2};
    if (!line.starts_with(kHead)) return {Reply::Kind::kError, line, 0};
    const std::string_view rest = line.substr(kHead.size());
    const std::size_t first_space = rest.find(' ');
    const std::size_t last_space = rest.rfind(' ');
    std::uint32_t length = 0;
    if (first_space == last_space || rest.substr(0, first_space) != key || !read_length(rest.substr(last_space + 1), length)) {
      return garbage(in);
    }
    return block(in, line.size(), length, "\r\nEND\r\n");
  }
};

class Meta final : public Memcached {
 public:
  void get(std::string& out, std::string_view key) const override {
    out += "mg ";
    out += key;
    out += " v\r\n";
  }

 protected:
  // VA <bytes>\r\n<data>\r\n, or EN\r\n.
  Reply answer(std::string_view in, std::string_view line, std::string_view) const override {
    if (line == "EN") return {Reply::Kind::kMissing, line, line.size() + 2};
    if (!line.starts_with("VA ")) return {Reply::Kind::kError, line, 0};
    const std::string_view rest = line.substr(3);
    std::uint32_t length = 0;
    if (!read_length(rest.substr(0, rest.find(' ')), length)) return garbage(in);
    return block(in, line.size(), length, "\r\n");
  }
};

}  // namespace

std::unique_ptr<Protocol> make_memcached() { return std::make_unique<Text>(); }

std::unique_ptr<Protocol> make_meta() { return std::make_unique<Meta>(); }

}  // namespace pinfold::load
