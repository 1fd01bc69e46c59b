#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "protocol.h"

namespace pinfold::load {
namespace {

constexpr std::string_view kArrayOfFour = "*4";

bool read_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

// One part of the array: a string, an integer or nil.
struct Part {
  enum class Kind { kIncomplete, kText, kNil, kGarbage };
  Kind kind = Kind::kIncomplete;
  std::string_view text{};
  std::size_t used = 0;
};

Part next_part(std::string_view in) {
  const Line line = first_line(in);
  if (!line.complete) return {};
  const std::size_t used = line.text.size() + 2;
  if (line.text == "$-1" || line.text == "_") return {Part::Kind::kNil, {}, used};
  if (line.text.starts_with('+') || line.text.starts_with(':')) {
    return {Part::Kind::kText, line.text.substr(1), used};
  }
  std::uint64_t length = 0;
  if (!line.text.starts_with('$') || !read_number(line.text.substr(1), length)) {
    return {Part::Kind::kGarbage, line.text, 0};
  }
  if (in.size() < used + length + 2) return {};
  return {Part::Kind::kText, in.substr(used, length), used + length + 2};
}

class Cache final : public Protocol {
 public:
  explicit Cache(std::string tag) : tag_(std::move(tag)), plain_(make_resp()) {}

  void get(std::string& out, std::string_view key) const override {
    out += "*2\r\n$9\r\nCACHE.GET\r\n";
    append_bulk(out, key);
  }

  void set(std::string& out, std::string_view key, std::string_view value, Expiry expiry) const override {
    const int words = 3 + (expiry.seconds > 0 ? 2 : 0) + (tag_.empty() ? 0 : 3);
    out += '*';
    out += std::to_string(words);
    out += "\r\n$9\r\nCACHE.SET\r\n";
    append_bulk(out, key);
    append_bulk(out, value);
    if (expiry.seconds > 0) {
      append_bulk(out, expiry.absolute ? "EXAT" : "EX");
      append_bulk(out, std::to_string(expiry.seconds));
    }
    if (!tag_.empty()) {
      out += "$4\r\nTAGS\r\n$1\r\n1\r\n";
      append_bulk(out, tag_);
    }
  }

  void del(std::string& out, std::string_view key) const override { plain_->del(out, key); }

  Reply parse(std::string_view in, Request request, std::string_view key) const override {
    if (request != Request::kGet) return plain_->parse(in, request, key);
    const CacheAnswer answer = parse_cache_answer(in);
    switch (answer.kind) {
      case CacheAnswer::Kind::kIncomplete:
        return {};
      case CacheAnswer::Kind::kGarbage:
        return {Reply::Kind::kGarbage, answer.status, 0};
      case CacheAnswer::Kind::kError:
        return {Reply::Kind::kError, answer.status, answer.used};
      case CacheAnswer::Kind::kAnswer:
        break;
    }
    if (answer.status == "hit") return {Reply::Kind::kValue, answer.value, answer.used};
    if (answer.status == "miss") return {Reply::Kind::kMissing, answer.status, answer.used};
    return {Reply::Kind::kError, answer.status, answer.used};
  }

 private:
  std::string tag_;
  std::unique_ptr<Protocol> plain_;
};

}  // namespace

CacheAnswer parse_cache_answer(std::string_view in) {
  using Kind = CacheAnswer::Kind;
  const Line head = first_line(in);
  if (!head.complete) return {};
  CacheAnswer answer;
  answer.used = head.text.size() + 2;
  if (head.text.starts_with('-')) {
    answer.kind = Kind::kError;
    answer.status = head.text;
    return answer;
  }
  std::array<Part, 4> parts;
  for (Part& part : parts) {
    if (head.text != kArrayOfFour) {
      part.kind = Part::Kind::kGarbage;
    } else {
      part = next_part(in.substr(answer.used));
    }
    if (part.kind == Part::Kind::kIncomplete) return {};
    if (part.kind == Part::Kind::kGarbage) return {Kind::kGarbage, in.substr(0, 64)};
    answer.used += part.used;
  }
  answer.kind = Kind::kAnswer;
  answer.status = parts[0].text;
  answer.has_value = parts[1].kind == Part::Kind::kText;
  answer.value = parts[1].text;
  if (!read_number(parts[2].text, answer.token)) return {Kind::kGarbage, in.substr(0, 64)};
  return answer;
}

std::unique_ptr<Protocol> make_cache(std::string tag) { return std::make_unique<Cache>(std::move(tag)); }

}  // namespace pinfold::load
