#include "pinfold/resp/reply.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/real_text.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold::resp {

namespace {
constexpr std::size_t longest_number = 24;  // type, 20 digits, CRLF
constexpr std::size_t longest_error = 1024;
constexpr std::size_t longest_in_place = 4096;  // a bulk string up to this long is written in one piece with its header
static_assert(longest_in_place + longest_number + 2 <= Output::least_room);

char* crlf(char* to) {
  *to++ = '\r';
  *to++ = '\n';
  return to;
}
}  // namespace

Written Reply::number(char type, std::int64_t value) {
  char* to = out_->reserve(longest_number);
  *to++ = type;
  // Most counts and many integers have one digit.
  if (value >= 0 && value < 10) {
    *to++ = static_cast<char>('0' + value);
  } else {
    to = write_i64(to, value);
  }
  out_->commit(crlf(to));
  return {};
}

Written Reply::simple(std::string_view text) {
  out_->append("+");
  out_->append(text);
  out_->append("\r\n");
  return {};
}

Written Reply::line(char type, std::string_view text) {
  out_->append({&type, 1});
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    out_->append(text.substr(0, end));
    text.remove_prefix(end);
    if (text.empty()) break;
    out_->append(" ");
    text.remove_prefix(1);
  }
  out_->append("\r\n");
  return {};
}

Written Reply::status(std::string_view text) { return line('+', text); }

Written Reply::big_number(std::string_view digits) { return protocol_ >= 3 ? line('(', digits) : bulk(digits); }

Written Reply::verbatim(std::string_view format, std::string_view text) {
  if (protocol_ < 3) return bulk(text);
  std::array<char, 4> head = {' ', ' ', ' ', ':'};
  std::copy_n(format.begin(), std::min(format.size(), head.size() - 1), head.begin());
  work::bytes(text.size());
  number('=', static_cast<std::int64_t>(text.size() + head.size()));
  out_->append({head.data(), head.size()});
  out_->append(text);
  return end_text();
}

Written Reply::error(std::string_view text) {
  text = text.substr(0, longest_error);
  // Redis drops line breaks at the end of an error too.
  text = text.substr(0, text.find_last_not_of("\r\n") + 1);
  ++errors_;
  last_error_code_ = text.substr(0, text.find(' '));
  out_->append("-");
  char* to = out_->reserve(text.size() + 2);
  to = std::transform(text.begin(), text.end(), to, [](char c) { return c == '\r' || c == '\n' ? ' ' : c; });
  out_->commit(crlf(to));
  return {};
}

Written Reply::bulk(std::string_view bytes) {
  work::bytes(bytes.size());
  if (bytes.size() > longest_in_place) {
    number('$', static_cast<std::int64_t>(bytes.size()));
    out_->append(bytes);
    out_->append("\r\n");
    return {};
  }
  char* to = out_->reserve(longest_number + bytes.size() + 2);
  *to++ = '$';
  to = crlf(write_i64(to, static_cast<std::int64_t>(bytes.size())));
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  out_->commit(crlf(to + bytes.size()));
  return {};
}

Written Reply::bulk(Blob blob) {
  const std::size_t size = blob.size();
  return bulk(std::move(blob), 0, size);
}

Written Reply::bulk(Blob blob, std::size_t skip, std::size_t length) {
  number('$', static_cast<std::int64_t>(length));
  out_->append(std::move(blob), skip, length);
  out_->append("\r\n");
  return {};
}

Written Reply::bulk_integer(std::int64_t value) {
  char text[20];
  const char* end = write_i64(text, value);
  return bulk({text, static_cast<std::size_t>(end - text)});
}

Written Reply::map(std::size_t pairs) {
  const bool typed = protocol_ >= 3;
  return number(typed ? '%' : '*', static_cast<std::int64_t>(typed ? pairs : pairs * 2));
}

Written Reply::boolean(bool value) {
  if (protocol_ >= 3) {
    out_->append(value ? "#t\r\n" : "#f\r\n");
  } else {
    integer(value ? 1 : 0);
  }
  return {};
}

Written Reply::real(double value) {
  char text[most_real_text];
  const std::string_view shown(text, static_cast<std::size_t>(write_real(text, value) - text));
  if (protocol_ < 3) return bulk(shown);
  char* to = out_->reserve(most_real_text + 3);
  *to++ = ',';
  std::memcpy(to, shown.data(), shown.size());
  out_->commit(crlf(to + shown.size()));
  return {};
}

Written Reply::verbatim(std::string_view text) {
  if (protocol_ < 3) return bulk(text);
  work::bytes(text.size());
  begin_text(text.size());
  out_->append(text);
  return end_text();
}

Written Reply::begin_text(std::size_t size) {
  if (protocol_ < 3) return number('$', static_cast<std::int64_t>(size));
  number('=', static_cast<std::int64_t>(size + 4));
  out_->append("txt:");
  return {};
}

}  // namespace pinfold::resp
