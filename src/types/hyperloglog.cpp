#include "pinfold/types/hyperloglog.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "pinfold/base/work.hpp"

namespace pinfold::types::hyperloglog {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::string_view magic = "HYLL";
constexpr std::size_t encoding_at = 4;
constexpr std::size_t estimate_at = 8;
constexpr char dense_encoding = 0;
constexpr char sparse_encoding = 1;
constexpr std::uint64_t out_of_date = std::uint64_t{1} << 63;

constexpr unsigned index_bits = 14;
constexpr unsigned rank_bits = 64 - index_bits;  // of the hash, from which ranks up to one more follow
constexpr unsigned register_bits = 6;

constexpr std::uint8_t most_sparse_rank = 32;
constexpr std::size_t most_in_short_zeros = 64;
constexpr std::size_t most_in_ranks = 4;

// MurmurHash64A of Austin Appleby, with the seed of Redis.
std::uint64_t murmur(std::string_view text) {
  constexpr std::uint64_t seed = 0xadc83b19;
  constexpr std::uint64_t multiplier = 0xc6a4a7935bd1e995;
  constexpr unsigned shift = 47;
  std::uint64_t hash = seed ^ (text.size() * multiplier);
  const auto word_at = [](std::string_view bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof word));
    return word;
  };
  for (; text.size() >= sizeof(std::uint64_t); text.remove_prefix(sizeof(std::uint64_t))) {
    std::uint64_t word = word_at(text) * multiplier;
    word ^= word >> shift;
    hash = (hash ^ (word * multiplier)) * multiplier;
  }
  if (!text.empty()) hash = (hash ^ word_at(text)) * multiplier;
  hash ^= hash >> shift;
  hash *= multiplier;
  return hash ^ (hash >> shift);
}

// Eight registers of a dense value, which are 6 bytes, as a byte each.
std::uint64_t spread(std::uint64_t packed) {
  packed = (packed & 0x0000000000ffffff) | ((packed & 0x0000ffffff000000) << 8);
  packed = (packed & 0x00000fff00000fff) | ((packed & 0x00fff00000fff000) << 4);
  return (packed & 0x003f003f003f003f) | ((packed & 0x0fc00fc00fc00fc0) << 2);
}

// The reverse.
std::uint64_t pack(std::uint64_t bytes) {
  bytes = (bytes & 0x003f003f003f003f) | ((bytes & 0x3f003f003f003f00) >> 2);
  bytes = (bytes & 0x00000fff00000fff) | ((bytes & 0x0fff00000fff0000) >> 4);
  return (bytes & 0x0000000000ffffff) | ((bytes & 0x00ffffff00000000) >> 8);
}

constexpr std::size_t group_registers = 8;
constexpr std::size_t group_bytes = group_registers * register_bits / 8;

// The two series of the estimator. Both end when the sum does not change any more.
double sigma(double x) {
  if (x == 1.) return std::numeric_limits<double>::infinity();
  double weight = 1;
  double sum = x;
  for (double before = -1; before != sum;) {
    x *= x;
    before = sum;
    sum += x * weight;
    weight += weight;
  }
  return sum;
}

double tau(double x) {
  if (x == 0. || x == 1.) return 0.;
  double weight = 1;
  double sum = 1 - x;
  for (double before = -1; before != sum;) {
    x = std::sqrt(x);
    before = sum;
    weight *= 0.5;
    sum -= (1 - x) * (1 - x) * weight;
  }
  return sum / 3;
}

void mark_out_of_date(char* text) { text[estimate_at + 7] = static_cast<char>(text[estimate_at + 7] | '\x80'); }

// --- runs of the sparse form ---

bool is_long_zeros(char first) { return (first & 0xc0) == 0x40; }
bool is_ranks(char first) { return (first & 0x80) != 0; }

std::size_t write_ranks(char* at, std::uint8_t rank, std::size_t count) {
  *at = static_cast<char>(0x80 | ((rank - 1U) << 2) | (count - 1));
  return 1;
}

std::size_t write_zeros(char* at, std::size_t count) {
  if (count <= most_in_short_zeros) {
    *at = static_cast<char>(count - 1);
    return 1;
  }
  at[0] = static_cast<char>(0x40 | ((count - 1) >> 8));
  at[1] = static_cast<char>(count - 1);
  return 2;
}

// One run of this rank, for as many registers as one run may have. Returns its bytes.
std::size_t write_run(char* at, std::uint8_t rank, std::size_t count) {
  return rank == 0 ? write_zeros(at, count) : write_ranks(at, rank, count);
}

// The runs of one byte at the start of eight bytes: those before the first run of two bytes. Reads all of them at once.
class ShortRuns {
 public:
  explicit ShortRuns(const char* at) {
    constexpr std::uint64_t each = 0x0101010101010101;
    constexpr std::uint64_t highest = each * 0x80;
    std::uint64_t runs = 0;
    std::memcpy(&runs, at, sizeof runs);
    const std::uint64_t long_zeros = ~runs & (runs << 1) & highest;
    const std::uint64_t of_ranks = ((runs & highest) >> 7) * 0x3c;  // these bits are the rank
    std::uint64_t counts = (runs & each * 0x3f & ~of_ranks) + each;
    if (long_zeros != 0) {
      bytes_ = static_cast<unsigned>(std::countr_zero(long_zeros)) / 8;
      counts &= (std::uint64_t{1} << bytes_ * 8) - 1;
    }
    constexpr std::uint64_t even = 0x00ff00ff00ff00ff;
    registers_ = ((counts & even) + (counts >> 8 & even)) * 0x0001000100010001 >> 48;
  }
  unsigned bytes() const { return bytes_; }
  std::size_t registers() const { return registers_; }

 private:
  unsigned bytes_ = sizeof(std::uint64_t);
  std::size_t registers_;
};

struct Decoded {
  std::size_t bytes = 0;  // 0: it is cut off
  std::size_t count = 0;
  std::uint8_t rank = 0;
};

Decoded decode(std::string_view runs) {
  if (runs.empty()) return {};
  const auto first = static_cast<std::uint8_t>(runs[0]);
  if (is_ranks(runs[0])) return {1, (first & 0x03U) + 1U, static_cast<std::uint8_t>(((first >> 2) & 0x1fU) + 1)};
  if (!is_long_zeros(runs[0])) return {1, first + 1U, 0};
  if (runs.size() < 2) return {};
  return {2, (((first & 0x3fU) << 8) | static_cast<std::uint8_t>(runs[1])) + 1U, 0};
}

}  // namespace

bool is_one(std::string_view text) {
  if (text.size() < header_bytes || !text.starts_with(magic)) return false;
  const char encoding = text[encoding_at];
  return encoding == sparse_encoding || (encoding == dense_encoding && text.size() == dense_bytes);
}

bool is_dense(std::string_view text) { return text[encoding_at] == dense_encoding; }

std::optional<std::uint64_t> stored_estimate(std::string_view text) {
  std::uint64_t estimate = 0;
  std::memcpy(&estimate, text.data() + estimate_at, sizeof estimate);
  if ((estimate & out_of_date) != 0) return std::nullopt;
  return estimate;
}

void store_estimate(char* text, std::uint64_t estimate) { std::memcpy(text + estimate_at, &estimate, sizeof estimate); }

Element element_of(std::string_view text) {
  work::bytes(text.size());
  const std::uint64_t hash = murmur(text);
  const std::uint64_t rest = (hash >> index_bits) | (std::uint64_t{1} << rank_bits);
  return {static_cast<std::uint32_t>(hash & (register_count - 1)), static_cast<std::uint8_t>(std::countr_zero(rest) + 1)};
}

std::uint8_t dense_register(std::string_view text, std::size_t index) {
  const std::size_t bit = index * register_bits;
  const std::size_t at = header_bytes + bit / 8;
  unsigned word = static_cast<std::uint8_t>(text[at]);
  if (at + 1 < text.size()) word |= static_cast<unsigned>(static_cast<std::uint8_t>(text[at + 1])) << 8;
  return static_cast<std::uint8_t>((word >> bit % 8) & ((1U << register_bits) - 1));
}

void raise_dense(char* text, Element element) {
  const std::size_t bit = element.index * register_bits;
  const unsigned shift = bit % 8;
  char* const at = text + header_bytes + bit / 8;
  const bool two = shift > 8 - register_bits;  // whether the register lies in two bytes
  unsigned word = static_cast<std::uint8_t>(at[0]);
  if (two) word |= static_cast<unsigned>(static_cast<std::uint8_t>(at[1])) << 8;
  word = (word & ~(((1U << register_bits) - 1) << shift)) | (unsigned{element.rank} << shift);
  at[0] = static_cast<char>(word);
  if (two) at[1] = static_cast<char>(word >> 8);
  mark_out_of_date(text);
}

// --- Registers ---

Registers& Registers::scratch() {
  // In the heap: as part of the memory of every thread it would be there for those that never count anything.
  thread_local const auto registers = std::make_unique<Registers>();
  registers->clear();
  return *registers;
}

bool Registers::merge(std::string_view text) {
  const std::string_view packed = text.substr(header_bytes);
  work::bytes(std::min(text.size(), most_bytes));
  if (!is_dense(text)) return merge_sparse(packed);
  merge_dense(packed);
  return true;
}

void Registers::merge_dense(std::string_view packed) {
  std::uint8_t* to = ranks_.data();
  for (const char* from = packed.data(); from != packed.data() + packed.size(); from += group_bytes, to += group_registers) {
    std::uint64_t word = 0;
    std::memcpy(&word, from, group_bytes);
    std::array<std::uint8_t, group_registers> ranks;
    word = spread(word);
    std::memcpy(ranks.data(), &word, sizeof word);
    for (std::size_t i = 0; i < group_registers; ++i) to[i] = std::max(to[i], ranks[i]);
  }
}

bool Registers::merge_sparse(std::string_view runs) {
  std::size_t at = 0;
  while (!runs.empty()) {
    const Decoded run = decode(runs);
    if (run.bytes == 0 || run.count > register_count - at) return false;
    if (run.rank != 0) {
      for (std::size_t i = at; i < at + run.count; ++i) ranks_[i] = std::max(ranks_[i], run.rank);
    }
    at += run.count;
    runs.remove_prefix(run.bytes);
  }
  return at == register_count;
}

std::uint64_t Registers::estimate() const {
  work::bytes(register_count);
  // Four counts of each rank, so that equal ranks in a row do not wait for each other.
  constexpr std::size_t lanes = 4;
  constexpr std::size_t ranks = std::size_t{1} << register_bits;
  std::array<std::array<std::uint32_t, ranks>, lanes> counts{};
  for (std::size_t i = 0; i < register_count; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) ++counts[lane][ranks_[i + lane]];
  }
  const auto with_rank = [&](std::size_t rank) {
    double sum = 0;
    for (const auto& lane : counts) sum += lane[rank];
    return sum;
  };
  constexpr double m = register_count;
  constexpr double alpha = 0.721347520444481703680;  // 1 / (2 ln 2)
  double z = m * tau((m - with_rank(rank_bits + 1)) / m);
  for (std::size_t rank = rank_bits; rank >= 1; --rank) z = (z + with_rank(rank)) * 0.5;
  z += m * sigma(with_rank(0) / m);
  return static_cast<std::uint64_t>(std::llroundl(alpha * m * m / z));
}

// --- Buffer ---

Buffer& Buffer::scratch() {
  thread_local const auto buffer = std::make_unique<Buffer>();
  buffer->begin(false);
  buffer->size_ += write_zeros(buffer->bytes_.data() + buffer->size_, register_count);
  return *buffer;
}

void Buffer::begin(bool dense) {
  std::memset(bytes_.data(), 0, header_bytes);
  std::memcpy(bytes_.data(), magic.data(), magic.size());
  bytes_[encoding_at] = dense ? dense_encoding : sparse_encoding;
  mark_out_of_date(bytes_.data());
  size_ = header_bytes;
}

void Buffer::assign(std::string_view text) {
  std::memcpy(bytes_.data(), text.data(), text.size());
  size_ = text.size();
  work::bytes(size_);
}

Buffer::Raised Buffer::raise(Element element, std::size_t sparse_max) {
  if (!is_dense(bytes())) return raise_sparse(element, std::min(sparse_max, most_sparse));
  if (dense_register(bytes(), element.index) >= element.rank) return Raised::no;
  raise_dense(bytes_.data(), element);
  return Raised::yes;
}

Buffer::Run Buffer::run_at(std::size_t at, std::size_t first) const {
  const Decoded run = decode(bytes().substr(at));
  return {at, run.bytes, first, run.count, run.rank};
}

// The run that has a register; with no bytes if the runs end before. `before`: where the run before it begins, or that run itself if it
// is the first.
Buffer::Run Buffer::run_with(std::size_t index, std::size_t& before) const {
  const std::string_view all = bytes();
  before = header_bytes;
  std::size_t at = header_bytes;
  std::size_t first = 0;
  while (at + sizeof(std::uint64_t) <= all.size()) {
    const ShortRuns runs(all.data() + at);
    if (first + runs.registers() > index) break;
    first += runs.registers();
    if (runs.bytes() != 0) before = at + runs.bytes() - 1;
    at += runs.bytes();
    if (runs.bytes() == sizeof(std::uint64_t)) continue;
    const Run run = run_at(at, first);
    if (run.bytes == 0 || first + run.count > index) break;
    before = at;
    at += run.bytes;
    first += run.count;
  }
  Run run = run_at(at, first);
  while (run.bytes != 0 && run.first + run.count <= index) {
    before = run.at;
    run = run_at(run.at + run.bytes, run.first + run.count);
  }
  work::bytes(run.at);
  return run;
}

// Cuts the run that has the register into what is before it, the register, and what is behind it.
Buffer::Raised Buffer::raise_sparse(Element element, std::size_t sparse_max) {
  if (element.rank > most_sparse_rank) return raise_as_dense(element);
  std::size_t before = 0;
  const Run run = run_with(element.index, before);
  if (run.bytes == 0) return Raised::corrupt;
  if (run.rank >= element.rank) return Raised::no;

  std::array<char, 5> cut;
  std::size_t bytes = 0;
  const std::size_t left = element.index - run.first;
  const std::size_t right = run.count - left - 1;
  if (left != 0) bytes += write_run(cut.data(), run.rank, left);
  bytes += write_ranks(cut.data() + bytes, element.rank, 1);
  if (right != 0) bytes += write_run(cut.data() + bytes, run.rank, right);
  if (bytes > run.bytes && size_ + bytes - run.bytes > sparse_max) return raise_as_dense(element);

  char* const at = bytes_.data() + run.at;
  std::memmove(at + bytes, at + run.bytes, size_ - run.at - run.bytes);
  std::memcpy(at, cut.data(), bytes);
  work::bytes(size_ - run.at);
  size_ = size_ - run.bytes + bytes;
  join_runs(before);
  mark_out_of_date(bytes_.data());
  return Raised::yes;
}

// Joins runs of the same rank, beginning with the run at `at`, as far as a change of one register may have brought such together.
void Buffer::join_runs(std::size_t at) {
  constexpr int most_steps = 5;
  for (int step = 0; step < most_steps && at + 1 < size_; ++step) {
    const Run one = run_at(at, 0);
    if (one.rank == 0) {
      at += std::max<std::size_t>(one.bytes, 1);
      continue;
    }
    const Run next = run_at(at + 1, 0);
    if (next.rank != one.rank || one.count + next.count > most_in_ranks) {
      ++at;
      continue;
    }
    write_ranks(bytes_.data() + at, one.rank, one.count + next.count);
    std::memmove(bytes_.data() + at + 1, bytes_.data() + at + 2, size_ - at - 2);
    --size_;
  }
}

Buffer::Raised Buffer::raise_as_dense(Element element) {
  Registers& registers = Registers::scratch();
  if (!registers.merge(bytes())) return Raised::corrupt;
  if (!registers.raise(element)) return Raised::no;
  encode_dense(registers);
  return Raised::yes;
}

void Buffer::encode(const Registers& registers, bool dense, std::size_t sparse_max) {
  if (dense || !encode_sparse(registers, std::min(sparse_max, most_sparse))) encode_dense(registers);
}

void Buffer::encode_dense(const Registers& registers) {
  begin(true);
  char* to = bytes_.data() + header_bytes;
  for (std::size_t i = 0; i < register_count; i += group_registers, to += group_bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, registers.ranks_.data() + i, sizeof word);
    word = pack(word);
    std::memcpy(to, &word, group_bytes);
  }
  size_ = dense_bytes;
  work::bytes(size_);
}

bool Buffer::encode_sparse(const Registers& registers, std::size_t sparse_max) {
  begin(false);
  const auto& ranks = registers.ranks_;
  for (std::size_t i = 0; i < register_count;) {
    const std::uint8_t rank = ranks[i];
    if (rank > most_sparse_rank) return false;
    const std::size_t most = rank == 0 ? register_count : most_in_ranks;
    std::size_t end = i + 1;
    while (end < register_count && end - i < most && ranks[end] == rank) ++end;
    size_ += write_run(bytes_.data() + size_, rank, end - i);
    if (size_ > sparse_max) return false;
    i = end;
  }
  work::bytes(register_count);
  return true;
}

}  // namespace pinfold::types::hyperloglog
