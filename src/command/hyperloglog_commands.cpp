// HyperLogLog: how many different elements there are, about, in 12 KB. A string in the format of Redis.

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_names.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/gradual_room.hpp"
#include "pinfold/types/hyperloglog.hpp"

namespace pinfold::command {
namespace {

namespace hyperloglog = types::hyperloglog;

constexpr std::string_view corrupt = "INVALIDOBJ Corrupted HLL object detected";

std::size_t sparse_max(const Call& call) {
  return static_cast<std::size_t>(call.engine.settings.integer(config::Id::hll_sparse_max_bytes));
}

// Replies with an error if a value is a string, but no HyperLogLog.
bool refuse_other(Call& call, const std::optional<store::Value>& value) {
  if (!value || hyperloglog::is_one(value->text)) return false;
  call.reply.error("WRONGTYPE Key is not a valid HyperLogLog string value.");
  return true;
}

// Stores what a command has made of the HyperLogLog under a key. One in the sparse form is likely to grow further, and gets some room.
store::Stored put(store::Database& db, const store::Key& key, std::string_view text, std::size_t before) {
  if (before != 0 && !hyperloglog::is_dense(text)) {
    const store::Writing value = db.resize(key, text.size());
    if (value) std::memcpy(value.data(), text.data(), text.size());
    return value ? store::Stored::done : value.stored();
  }
  if (text.size() > before) {
    if (const store::Stored room = db.has_room(text.size() - before); !room) return room;
  }
  return db.put(key, text, {.keep_expiry = true, .encoding = store::Encoding::raw});
}

// PFADD to a value in the dense form: it is changed where it lies, and only if an element raises a register.
Outcome add_to_dense(Call& call, store::Database& db, std::string_view text) {
  const Args elements = call.args.subspan(2);
  const auto raises = [&](std::string_view element) {
    const hyperloglog::Element one = hyperloglog::element_of(element);
    return hyperloglog::dense_register(text, one.index) < one.rank;
  };
  const auto first = std::ranges::find_if(elements, raises);
  if (first == elements.end()) return call.reply.integer(0);
  const store::Writing value = db.resize(call.key(), text.size());
  if (!value) return call.refused(value.stored());
  const std::string_view now(value.data(), text.size());
  for (auto element = first; element != elements.end(); ++element) {
    const hyperloglog::Element one = hyperloglog::element_of(*element);
    if (hyperloglog::dense_register(now, one.index) < one.rank) hyperloglog::raise_dense(value.data(), one);
  }
  return call.reply.integer(1);
}

// Adds elements to the value in the buffer.
hyperloglog::Buffer::Raised add_all(hyperloglog::Buffer& buffer, Args elements, std::size_t most) {
  using Raised = hyperloglog::Buffer::Raised;
  constexpr std::size_t few = 16;  // from here on it takes less to go through all registers once than through the runs for each
  Raised raised = Raised::no;
  if (elements.size() <= few) {
    for (const std::string_view element : elements) {
      const Raised one = buffer.raise(hyperloglog::element_of(element), most);
      if (one == Raised::corrupt) return one;
      if (one == Raised::yes) raised = one;
    }
    return raised;
  }
  hyperloglog::Registers& registers = hyperloglog::Registers::scratch();
  if (!registers.merge(buffer.bytes())) return Raised::corrupt;
  for (const std::string_view element : elements) {
    if (registers.raise(hyperloglog::element_of(element))) raised = Raised::yes;
  }
  if (raised == Raised::yes) buffer.encode(registers, false, most);
  return raised;
}

Outcome pfadd(Call& call) {
  store::Database db = call.db();
  const auto old = db.peek(call.key());
  if (refuse_other(call, old)) return Outcome::done;
  if (old && hyperloglog::is_dense(old->text)) return add_to_dense(call, db, old->text);
  hyperloglog::Buffer& buffer = hyperloglog::Buffer::scratch();
  if (old && old->text.size() > hyperloglog::most_bytes) return call.reply.error(corrupt);
  if (old) buffer.assign(old->text);
  const auto raised = add_all(buffer, call.args.subspan(2), sparse_max(call));
  if (raised == hyperloglog::Buffer::Raised::corrupt) return call.reply.error(corrupt);
  if (old && raised == hyperloglog::Buffer::Raised::no) return call.reply.integer(0);
  const store::Stored stored = put(db, call.key(), buffer.bytes(), old ? old->text.size() : 0);
  return stored ? call.reply.integer(1) : call.refused(stored);
}

// The highest ranks of several HyperLogLogs.
struct Union {
  hyperloglog::Registers& registers;
  bool dense = false;  // whether one of them is in the dense form
};

// Replies with an error and returns false if the value is none.
bool add_to(Union& all, Call& call, const std::optional<store::Value>& value) {
  if (!value) return true;
  if (refuse_other(call, value)) return false;
  all.dense = all.dense || hyperloglog::is_dense(value->text);
  if (all.registers.merge(value->text)) return true;
  call.reply.error(corrupt);
  return false;
}

// What is read of a value.
std::size_t bytes_of(const std::optional<store::Value>& value) { return value ? std::min(value->text.size(), hyperloglog::most_bytes) : 0; }

// Replies with the number of elements of all keys.
Outcome finish_count(Call& call, const Union& all) { return call.reply.integer(static_cast<std::int64_t>(all.registers.estimate())); }

// Stores the elements of all keys under the first of them.
Outcome finish_merge(Call& call, const store::Key& target, const Union& all) {
  hyperloglog::Buffer& buffer = hyperloglog::Buffer::scratch();
  buffer.encode(all.registers, all.dense, sparse_max(call));
  store::Database db = call.db();
  const auto old = db.peek(target);
  const store::Stored stored = put(db, target, buffer.bytes(), old ? old->text.size() : 0);
  return stored ? call.reply.ok() : call.refused(stored);
}

// PFCOUNT and PFMERGE of many: the keys are merged some at a time, each as it is at that moment. What is merged has the elements that were
// there when the command began, but for those of keys that have gone meanwhile.
class MergeTask : public Task {
 public:
  MergeTask(const Call& call, bool stores) : stores_(stores), memory_(call.engine, call.session.shared), room_(call.engine.keyspace) {}
  // The first `counted` keys have been read before, for the statistics. False: there is no memory for the names.
  bool keep_names(const Call& call, std::size_t counted) {
    counted_ = counted;
    return memory_.ask(sizeof registers_) && names_.keep(call, memory_);
  }

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    while (at_ < names_.size()) {
      if (monotonic_us() >= end) return Outcome::waits;
      if (!merge_some(call)) return Outcome::done;
    }
    return stores_ ? store(call, end) : finish_count(call, all_);
  }

 private:
  static constexpr std::size_t keys_at_once = 16;  // up to most_locked_bytes

  bool merge_some(Call& call) {
    const std::vector<store::Key> keys = names_.lock(call, at_, keys_at_once);
    store::Database db = call.db();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < keys.size() && bytes < most_locked_bytes; ++i, ++at_) {
      const auto value = at_ < counted_ ? db.peek(keys[i]) : db.read(keys[i]);
      if (!add_to(all_, call, value)) return false;
      bytes += bytes_of(value);
    }
    call.held.release();
    return true;
  }

  // The target is merged when it is written: it keeps what was added to it meanwhile, and nothing of what was removed.
  Outcome store(Call& call, std::int64_t end_us) {
    const auto made = room_.make(hyperloglog::dense_bytes, end_us);
    if (made == store::GradualRoom::Result::none) return call.out_of_memory();
    store::Room room;
    if (made == store::GradualRoom::Result::more || !room_.hand_over(room)) return Outcome::waits;
    const std::vector<store::Key> target = names_.lock(call, 0, 1);
    return add_to(all_, call, call.db().peek(target[0])) ? finish_merge(call, target[0], all_) : Outcome::done;
  }

  const bool stores_;
  ClientMemory memory_;
  KeptNames names_;
  store::GradualRoom room_;
  hyperloglog::Registers registers_;
  Union all_{registers_};
  std::size_t at_ = stores_ ? 1 : 0;
  std::size_t counted_ = 0;
};

// Merges all keys, at once if there are few.
Outcome merge_keys(Call& call, bool stores) {
  // A transaction or script cannot wait for a task. 4 MB are 340 values in the dense form.
  constexpr std::size_t most_inside_exec = std::size_t{4} << 20;
  const std::size_t most = call.in_transaction ? most_inside_exec : most_locked_bytes;
  Union all{hyperloglog::Registers::scratch()};
  store::Database db = call.db();
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < call.keys.size(); ++i) {
    const auto value = db.read(call.keys[i]);
    if (!add_to(all, call, value)) return Outcome::done;
    bytes += bytes_of(value);
    if (bytes <= most) continue;
    if (call.in_transaction) {
      return call.reply.error(("ERR " + shown_name(call)).append(shown_place(call)) + " looks at HyperLogLogs of " +
                              std::to_string(most_inside_exec >> 20) + " MB at most");
    }
    call.held.release();
    auto task = std::make_unique<MergeTask>(call, stores);
    return task->keep_names(call, i + 1) ? call.begin(std::move(task)) : Outcome(call.reply.error(beyond_clients_memory));
  }
  return stores ? finish_merge(call, call.key(), all) : finish_count(call, all);
}

// The estimate is kept in the value, as Redis does, which is no change of it: nothing is told of it, and it is left out where it would
// take memory.
Outcome count_one(Call& call) {
  store::Database db = call.db();
  const auto value = db.read(call.key());
  if (!value) return call.reply.integer(0);
  if (refuse_other(call, value)) return Outcome::done;
  if (const auto known = hyperloglog::stored_estimate(value->text)) return call.reply.integer(static_cast<std::int64_t>(*known));
  hyperloglog::Registers& registers = hyperloglog::Registers::scratch();
  if (!registers.merge(value->text)) return call.reply.error(corrupt);
  const std::uint64_t estimate = registers.estimate();
  if (const store::Writing writing = db.resize(call.key(), value->text.size(), false))
    hyperloglog::store_estimate(writing.data(), estimate);
  return call.reply.integer(static_cast<std::int64_t>(estimate));
}

Outcome pfcount(Call& call) { return call.keys.size() == 1 ? count_one(call) : merge_keys(call, false); }

// The target is one of the sources.
Outcome pfmerge(Call& call) { return merge_keys(call, true); }

// --- PFDEBUG, for test suites ---

Outcome debug_encoding(Call& call, std::string_view text) { return call.reply.simple(hyperloglog::is_dense(text) ? "dense" : "sparse"); }

Outcome debug_to_dense(Call& call, std::string_view text) {
  if (hyperloglog::is_dense(text)) return call.reply.integer(0);
  hyperloglog::Registers& registers = hyperloglog::Registers::scratch();
  if (!registers.merge(text)) return call.reply.error(corrupt);
  hyperloglog::Buffer& buffer = hyperloglog::Buffer::scratch();
  buffer.encode(registers, true, 0);
  store::Database db = call.db();
  const store::Stored stored = put(db, call.key(), buffer.bytes(), text.size());
  return stored ? call.reply.integer(1) : call.refused(stored);
}

Outcome debug_registers(Call& call, std::string_view text) {
  hyperloglog::Registers& registers = hyperloglog::Registers::scratch();
  if (!registers.merge(text)) return call.reply.error(corrupt);
  call.reply.array(hyperloglog::register_count);
  for (std::size_t i = 0; i < hyperloglog::register_count; ++i) call.reply.integer(registers[i]);
  return Outcome::done;
}

struct DebugCommand {
  std::string_view name;
  Outcome (*handler)(Call& call, std::string_view text);
};
constexpr std::array kDebugCommands = {
    DebugCommand{"ENCODING", debug_encoding},
    DebugCommand{"GETREG", debug_registers},
    DebugCommand{"TODENSE", debug_to_dense},
};

Outcome pfdebug(Call& call) {
  const auto value = call.db().peek(call.key());
  if (!value) return call.reply.error("ERR The specified key does not exist");
  if (refuse_other(call, value)) return Outcome::done;
  const std::string_view name = call.args[1];
  const auto* const found = std::ranges::find_if(kDebugCommands, [&](const DebugCommand& one) { return iequals(one.name, name); });
  if (found != kDebugCommands.end()) return found->handler(call, value->text);
  return call.reply.error("ERR Unknown PFDEBUG subcommand '" + excerpt(name) + "'");
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "pfadd", .handler = pfadd, .arity = -2,
     .flags = kWrite | kDenyOom | kFast, .categories = kHyperLogLog,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::pfadd},
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(1) for each element; in the sparse form O(N) for N bytes of it.",
     .summary = "Adds elements to a HyperLogLog, which is made if there is none.",
     .syntax = "key [element [element ...]]"},
    {.name = "pfcount", .handler = pfcount, .arity = -2,
     .flags = kReadOnly | kMayReplicate, .categories = kHyperLogLog,
     .keys = {KeySpec::range(KeyUse::count, 1, -1)},
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(1) for one key that has not changed since it was counted, otherwise O(N) for N keys, some 25 us for each.",
     .summary = "Tells how many different elements one or several HyperLogLogs have together, about.",
     .syntax = "key [key ...]"},
    {.name = "pfdebug", .handler = pfdebug, .arity = 3,
     .flags = kWrite | kDenyOom | kAdmin | kProtected, .categories = kHyperLogLog,
     .keys = {KeySpec::one(KeyUse::count, 2)},
     .events = {.written = Event::pfadd},
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(1)",
     .summary = "Shows the form or the registers of a HyperLogLog, or makes it dense, for tests.",
     .syntax = "<ENCODING | GETREG | TODENSE> key"},
    {.name = "pfmerge", .handler = pfmerge, .arity = -2,
     .flags = kWrite | kDenyOom, .categories = kHyperLogLog,
     .keys = {KeySpec::one(KeyUse::merge), KeySpec::range(KeyUse::read, 2, -1)},
     .events = {.written = Event::pfadd},
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(N) for N keys, some 25 us for each.",
     .summary = "Stores a HyperLogLog that has the elements of several, and those that it had.",
     .syntax = "destkey [sourcekey [sourcekey ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> hyperloglog_commands() { return kRows; }

}  // namespace pinfold::command
