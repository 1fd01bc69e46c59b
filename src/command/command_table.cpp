#include "pinfold/command/command_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

// A command's name in lower case, padded with zeros to whole words, so that hashing and comparing it are a
// few instructions without a loop over bytes. Longer names cannot be a command.
constexpr std::size_t kWords = 4;
constexpr std::size_t kLongestName = kWords * sizeof(std::uint64_t);

struct Name {
  std::uint64_t hash = 0;
  std::size_t size = 0;
  std::array<std::uint64_t, kWords> words{};

  bool operator==(const Name& other) const {
    if (hash != other.hash || size != other.size) return false;
    std::uint64_t differences = 0;
    for (std::size_t i = 0; i < kWords; ++i) differences |= words[i] ^ other.words[i];
    return differences == 0;
  }
};

// Lowers the ASCII letters among eight bytes at once: adding to the low seven bits of each byte carries into
// its top bit exactly from 'A' on, or from past 'Z' on.
constexpr std::uint64_t lower_word(std::uint64_t word) {
  constexpr std::uint64_t each = 0x0101010101010101;
  constexpr std::uint64_t top = each * 0x80;
  const std::uint64_t low = word & ~top;
  const std::uint64_t from_a = low + each * (0x80 - 'A');
  const std::uint64_t past_z = low + each * (0x7f - 'Z');
  const std::uint64_t letters = from_a & ~past_z & ~word & top;
  return word | (letters >> 2);
}

template <typename Integer>
std::uint64_t load(const char* from) {
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// The `size` < 8 bytes at `from`, in the low bytes of a word. Two loads that overlap, not a copy of `size`
// bytes: reading a word that was just written byte by byte would wait for the writes.
std::uint64_t load_part(const char* from, std::size_t size) {
  static_assert(std::endian::native == std::endian::little);
  if (size >= 4) return load<std::uint32_t>(from) | load<std::uint32_t>(from + size - 4) << (8 * (size - 4));
  if (size >= 2) return load<std::uint16_t>(from) | load<std::uint16_t>(from + size - 2) << (8 * (size - 2));
  return load<std::uint8_t>(from);
}

// A text of 1 to 8 bytes.
std::uint64_t word_of(std::string_view text) {
  return text.size() == sizeof(std::uint64_t) ? load<std::uint64_t>(text.data()) : load_part(text.data(), text.size());
}

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 32);
}

// `text` must fit.
Name lower_name(std::string_view text) {
  Name name;
  name.size = text.size();
  std::uint64_t hash = text.size();
  std::size_t at = 0;
  std::size_t used = 0;
  for (; at + 8 <= text.size(); at += 8) {
    const std::uint64_t word = lower_word(load<std::uint64_t>(text.data() + at));
    name.words[used++] = word;
    hash = mix(hash, word);
  }
  if (at < text.size()) {
    const std::uint64_t word = lower_word(load_part(text.data() + at, text.size() - at));
    name.words[used] = word;
    hash = mix(hash, word);
  }
  name.hash = hash;
  return name;
}

bool is_subcommand(const Row& row) { return row.name.find('|') != std::string_view::npos; }

struct Slot {
  Name name;
  const Row* row = nullptr;
  bool container = false;   // has subcommands
  bool subcommand = false;  // only found behind its container
};

class Table {
 public:
  Table() {
    for (const auto family : {string_commands,
                              conditional_string_commands,
                              lcs_commands,
                              bitmap_commands,
                              hash_commands,
                              list_commands,
                              list_search_commands,
                              blocking_list_commands,
                              set_commands,
                              set_algebra_commands,
                              sorted_set_commands,
                              blocking_sorted_set_commands,
                              sorted_set_range_commands,
                              sorted_set_algebra_commands,
                              geo_commands,
                              hyperloglog_commands,
                              sort_commands,
                              key_commands,
                              scan_commands,
                              expiration_commands,
                              command_commands,
                              connection_commands,
                              client_commands,
                              transaction_commands,
                              config_commands,
                              server_commands,
                              info_commands,
                              memory_commands,
                              debug_commands,
                              cache_commands,
                              cache_purge_commands,
                              cache_policy_commands,
                              throttle_commands,
                              acl_commands,
                              diagnose_commands,
                              slow_log_commands,
                              latency_commands,
                              monitor_commands,
                              advise_commands,
                              hot_key_commands,
                              pubsub_commands,
                              script_commands,
                              function_commands}) {
      const std::span<const Row> more = family();
      rows_.insert(rows_.end(), more.begin(), more.end());
    }
    slots_.resize(std::bit_ceil(rows_.size() * 4));
    for (Row& row : rows_) {
      row.index = static_cast<std::uint16_t>(&row - rows_.data());
      add(row);
    }
  }

  std::span<const Row* const> pointers() const { return pointers_; }
  // Subcommands stand behind their container, up to the next row without a '|'.
  std::span<const Row* const> subcommands(const Row& row) const {
    const std::size_t first = row.index + 1U;
    std::size_t end = first;
    if (is_subcommand(row)) return {};
    while (end < rows_.size() && is_subcommand(rows_[end])) ++end;
    return pointers().subspan(first, end - first);
  }

  const Slot* find(std::string_view text) const {
    if (text.size() - 1 < sizeof(std::uint64_t)) [[likely]]
      return find_short(text);
    if (text.size() > kLongestName) return nullptr;
    const Slot& slot = slots_[place(lower_name(text))];
    return slot.row != nullptr ? &slot : nullptr;
  }

 private:
  // A name of one word, as most are: with the size known, its hash is another for each.
  const Slot* find_short(std::string_view text) const {
    const std::uint64_t hash = mix(text.size(), lower_word(word_of(text)));
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = hash & mask; slots_[at].row != nullptr; at = (at + 1) & mask) {
      const Name& name = slots_[at].name;
      if (name.hash == hash && name.size == text.size()) return &slots_[at];
    }
    return nullptr;
  }

  // Where `name` is, or the empty slot where it would be.
  std::size_t place(const Name& name) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = name.hash & mask;
    while (slots_[at].row != nullptr && !(slots_[at].name == name)) at = (at + 1) & mask;
    return at;
  }

  void add(const Row& row) {
    assert(row.name.size() <= kLongestName);
    const Name name = lower_name(row.name);
    Slot& slot = slots_[place(name)];
    assert(slot.row == nullptr && "a command is listed twice");
    slot.name = name;
    slot.row = &row;
    if (is_subcommand(row)) {
      slot.subcommand = true;
      Slot& container = slots_[place(lower_name(row.name.substr(0, row.name.find('|'))))];
      assert(container.row != nullptr && "a container stands before its subcommands");
      container.container = true;
    }
    pointers_.push_back(&row);
  }

  std::vector<Row> rows_;  // copies
  std::vector<const Row*> pointers_;
  std::vector<Slot> slots_;
};

const Table& table() {
  static const Table instance;
  return instance;
}

const Row* find_subcommand(const Row& container, std::string_view name) {
  std::array<char, kLongestName> full;
  const std::size_t size = container.name.size() + 1 + name.size();
  if (name.empty() || size > full.size()) return nullptr;
  std::memcpy(full.data(), container.name.data(), container.name.size());
  full[container.name.size()] = '|';
  std::memcpy(full.data() + container.name.size() + 1, name.data(), name.size());
  const Slot* slot = table().find({full.data(), size});
  return slot != nullptr ? slot->row : nullptr;
}

// The keys at first, first + step ... up to and including last.
struct KeyRange {
  std::int64_t first;
  std::int64_t last;
  std::int64_t step;

  bool has(std::int64_t at) const { return at >= first && at <= last && (at - first) % step == 0; }
  static constexpr KeyRange empty() { return {1, 0, 1}; }
};

// Where the keys of a spec with keys are; nothing if not all of them exist.
inline std::optional<KeyRange> range_of(const KeySpec& spec, Args args) {
  const auto size = static_cast<std::int64_t>(args.size());
  if (spec.kind == KeySpec::Kind::word) {
    const auto word = static_cast<std::int64_t>(spec.find(args));
    return word == 0 ? KeyRange::empty() : KeyRange{word + 1, word + 1, 1};
  }
  KeyRange range = {spec.first, spec.last < 0 ? size + spec.last : spec.last, spec.step};
  if (spec.kind != KeySpec::Kind::range) {
    auto count_at = std::int64_t{spec.first};
    if (spec.kind == KeySpec::Kind::option) {
      const std::size_t word = spec.find(args);
      if (word == 0) return KeyRange::empty();
      count_at = static_cast<std::int64_t>(word) + 1;
    }
    if (count_at >= size) return std::nullopt;
    const std::optional<std::int64_t> count = parse_i64(args[static_cast<std::size_t>(count_at)]);
    if (!count || *count < spec.least || *count > size) return std::nullopt;  // before multiplying, which could overflow
    range.first = count_at + 1;
    if (*count == 0) return KeyRange{range.first, count_at, range.step};
    range.last = range.first + (*count - 1) * spec.step;
  }
  // What the arity allows to be missing: the sources of PFMERGE.
  if (spec.kind == KeySpec::Kind::range && range.first == size && range.last == size - 1) return KeyRange::empty();
  if (range.first < 1 || range.last < range.first || range.last >= size) return std::nullopt;
  return range;
}

// GET shows the old value, and the conditions on it tell whether it was guessed.
KeyUse set_use(Args args) {
  constexpr std::size_t options = 3;
  constexpr std::string_view looking[] = {"GET", "IFEQ", "IFNE", "IFDEQ", "IFDNE"};
  for (std::size_t i = options; i < args.size(); ++i) {
    const auto same = [&](std::string_view word) { return iequals(args[i], word); };
    if (std::any_of(std::begin(looking), std::end(looking), same)) return KeyUse::modify;
  }
  return KeyUse::write;
}

// Whatever is not known to be harmless counts as a write.
KeyUse bitfield_use(Args args) {
  std::size_t at = 2;
  while (at < args.size()) {
    const std::size_t left = args.size() - at - 1;
    if (iequals(args[at], "GET") && left >= 2) {
      at += 3;
    } else if (iequals(args[at], "OVERFLOW") && left >= 1) {
      at += 2;
    } else {
      return KeyUse::modify;
    }
  }
  return KeyUse::read;
}

}  // namespace

std::span<const Row* const> commands() { return table().pointers(); }

std::span<const Row* const> subcommands(const Row& row) { return table().subcommands(row); }

bool is_container(const Row& row) { return !subcommands(row).empty(); }

const Row* find_command(Args args) {
  if (args.empty()) return nullptr;
  const Slot* slot = table().find(args[0]);
  if (slot == nullptr || slot->subcommand) return nullptr;
  if (!slot->container || args.size() == 1) return slot->row;
  const Row* subcommand = find_subcommand(*slot->row, args[1]);
  return subcommand != nullptr ? subcommand : slot->row;
}

const Row* find_command_by_name(std::string_view name) {
  const Slot* slot = table().find(name);
  return slot != nullptr ? slot->row : nullptr;
}

std::string wrong_arity(const Row& row) { return "ERR wrong number of arguments for '" + std::string(row.name) + "' command"; }

Extraction extract_keys(const KeySpec& spec, Args args, std::vector<std::uint32_t>& positions) {
  if (spec.kind == KeySpec::Kind::none) return Extraction::done;
  const std::optional<KeyRange> range = range_of(spec, args);
  if (!range) return Extraction::malformed;
  for (std::int64_t at = range->first; at <= range->last; at += range->step) positions.push_back(static_cast<std::uint32_t>(at));
  return Extraction::done;
}

KeyUse key_use(const KeySpec& spec, Args args) {
  if (spec.use == KeyUse::set_get) return set_use(args);
  if (spec.use == KeyUse::bitfield) return bitfield_use(args);
  return spec.use;
}

Extraction extract_keys(const Row& row, Args args, std::vector<std::uint32_t>& positions) {
  const std::size_t before = positions.size();
  for (const KeySpec& spec : row.keys) {
    if (extract_keys(spec, args, positions) == Extraction::done) continue;
    positions.resize(before);
    return Extraction::malformed;
  }
  return Extraction::done;
}

Shown shown_never(Args /*args*/, std::size_t /*index*/) { return Shown::secret; }

Shown shown_command_names(Args args, std::size_t index) {
  return index < 2 || find_command_by_name(args[index]) != nullptr ? Shown::plain : Shown::secret;
}

Shown shown_in_request(Args request, std::size_t index) {
  const Row* const row = find_command(request);
  if (row == nullptr || is_container(*row) || row->has_request) return Shown::secret;
  return shown_argument(*row, request, index);
}

Shown shown_argument(const Row& row, Args args, std::size_t index) {
  if (index == 0) return Shown::plain;
  if (row.shown != nullptr) return row.shown(args, index);
  if (row.handler == nullptr) return Shown::secret;  // behind a container: a subcommand that is mistyped may be followed by a password
  Shown shown = Shown::plain;
  for (const KeySpec& spec : row.keys) {
    if (spec.kind == KeySpec::Kind::none) continue;
    const std::optional<KeyRange> range = range_of(spec, args);
    if (!range || !arity_fits(row, args.size())) return Shown::key;  // where the keys are is not known
    if (range->has(static_cast<std::int64_t>(index))) shown = Shown::key;
  }
  return shown;
}

std::string key_error(const Row& row, Args args) {
  std::vector<std::uint32_t> positions;
  for (const KeySpec& spec : row.keys) {
    if (spec.error != nullptr && extract_keys(spec, args, positions) == Extraction::malformed) return spec.error(row, args);
  }
  return wrong_arity(row);
}

}  // namespace pinfold::command
