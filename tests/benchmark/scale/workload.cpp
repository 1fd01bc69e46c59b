#include "workload.h"

#include <cmath>
#include <random>

namespace pinfold::scale {

namespace {

constexpr std::string_view get_head = "*2\r\n$3\r\nGET\r\n$16\r\n";
constexpr std::string_view set_head = "*3\r\n$3\r\nSET\r\n$16\r\n";
constexpr std::size_t get_reply = 6 + value_bytes + 2;  // "$100\r\n", the value, "\r\n"
constexpr std::size_t set_reply = 5;                    // "+OK\r\n"
constexpr std::size_t drawn_requests = 1 << 18;

const std::string set_tail = "\r\n$100\r\n" + std::string(value_bytes, 'v') + "\r\n";

void append_key(std::string& to, std::uint32_t key) {
  char text[] = "key:000000000000";
  for (char* digit = text + 15; key != 0; key /= 10) *digit-- = static_cast<char>('0' + key % 10);
  to.append(text, 16);
}

// Ranks of a Zipf distribution with exponent 0.99, by inverting its distribution's integral: exact enough for a load, and
// needs no table of a million sums.
class Zipf {
 public:
  explicit Zipf(std::uint32_t count) : top_(integral(count + 0.5)), bottom_(integral(0.5)) {}

  std::uint32_t operator()(std::mt19937_64& random) const {
    const double drawn = bottom_ + std::uniform_real_distribution<>(0, 1)(random) * (top_ - bottom_);
    return static_cast<std::uint32_t>(std::lround(std::pow(drawn * rest, 1 / rest))) - 1;
  }

 private:
  static constexpr double rest = 1 - 0.99;
  static double integral(double rank) { return std::pow(rank, rest) / rest; }

  const double top_;
  const double bottom_;
};

}  // namespace

const char* name_of(Keys keys) {
  switch (keys) {
    case Keys::kUniform:
      return "uniform";
    case Keys::kZipf:
      return "zipf 0.99";
    case Keys::kOne:
      return "one key";
  }
  return "";
}

std::string set_request(std::uint32_t key) {
  std::string request(set_head);
  append_key(request, key);
  return request + set_tail;
}

Requests::Requests(const Workload& workload, std::uint32_t keys, std::uint64_t seed) : workload_(workload) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::uint32_t> any(0, keys - 1);
  const Zipf zipf(keys);
  std::uniform_int_distribution<unsigned> percent(0, 99);
  drawn_.reserve(drawn_requests);
  while (drawn_.size() < drawn_requests) {
    std::uint32_t key = 0;
    if (workload.keys == Keys::kUniform) key = any(random);
    if (workload.keys == Keys::kZipf) key = std::min(zipf(random), keys - 1);
    drawn_.push_back(key * 2 + (percent(random) < workload.writes ? 1 : 0));
  }
}

Requests::Batch Requests::next() {
  buffer_.clear();
  std::size_t reply_bytes = 0;
  for (unsigned i = 0; i < workload_.batch; ++i) {
    const std::uint32_t drawn = drawn_[at_++ % drawn_requests];
    const bool write = drawn % 2 != 0;
    buffer_.append(write ? set_head : get_head);
    append_key(buffer_, drawn / 2);
    buffer_.append(write ? std::string_view(set_tail) : "\r\n");
    reply_bytes += write ? set_reply : get_reply;
  }
  return {buffer_, reply_bytes};
}

}  // namespace pinfold::scale
