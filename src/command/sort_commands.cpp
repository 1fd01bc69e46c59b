// SORT and SORT_RO.
//
// The elements are those of one moment: of a snapshot (Collection::pin), or of a copy of a packed value. What follows is a task, with
// nothing locked: values that BY and GET name are read one after the other, each with its own shard locked for a moment, so they are of
// several moments. STORE stores the result if the elements have not changed meanwhile, and otherwise begins again. Inside EXEC and scripts,
// which have locked what is read, the task runs at once.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/gradual_sort.hpp"
#include "pinfold/command/kept_texts.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/keyspace_events.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/store/wrong_type.hpp"
#include "pinfold/types/hash.hpp"
#include "pinfold/types/list.hpp"
#include "pinfold/types/number_set.hpp"

namespace pinfold::command {
namespace {

using store::Element;
using store::Type;

// --- the request ---

// A pattern of BY or GET: "weight_*", "user_*->name". An element takes the place of the first star.
class KeyPattern {
 public:
  explicit KeyPattern(std::string_view text) : is_element_(text == "#") {
    const std::size_t star = text.find('*');
    if (star == std::string_view::npos) return;
    has_star_ = true;
    before_ = text.substr(0, star);
    after_ = text.substr(star + 1);
    const std::size_t arrow = after_.find("->");
    if (arrow == std::string::npos || arrow + 2 == after_.size()) return;
    field_ = after_.substr(arrow + 2);
    after_.resize(arrow);
  }

  bool is_element() const { return is_element_; }
  bool has_star() const { return has_star_; }
  // Of a hash; empty: the value is a string.
  const std::string& field() const { return field_; }
  std::string key(std::string_view element) const { return std::string(before_).append(element).append(after_); }

 private:
  bool is_element_;
  bool has_star_ = false;
  std::string before_;
  std::string after_;
  std::string field_;
};

struct SortRequest {
  std::optional<KeyPattern> by;  // with a star; without one, the elements are not sorted
  bool sorts = true;
  bool alpha = false;
  bool descending = false;
  std::int64_t offset = 0;
  std::int64_t count = -1;  // negative: all
  std::vector<KeyPattern> get;
  std::string key;
  std::optional<std::string> destination;

  bool reads_other_keys() const {
    return by || std::ranges::any_of(get, [](const KeyPattern& pattern) { return pattern.has_star(); });
  }
  // Which of `size` elements are replied.
  types::ListRange range(std::uint64_t size) const {
    const auto end = static_cast<std::int64_t>(size);
    const std::int64_t from = std::clamp<std::int64_t>(offset, 0, end);
    const std::int64_t to = count < 0 ? end : from + std::min(count, end - from);
    return {static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to)};
  }
};

// The index of the last word STORE among the options; 0 if there is none.
std::size_t find_store(Args args) {
  std::size_t found = 0;
  for (Cursor options(args, 2); !options.done();) {
    const std::size_t at = options.position();
    const std::string_view word = options.take();
    if (iequals(word, "STORE") && !options.done()) found = at;
    std::size_t operands = iequals(word, "LIMIT") ? 2 : 0;
    if (iequals(word, "BY") || iequals(word, "GET") || iequals(word, "STORE")) operands = 1;
    for (; operands > 0 && !options.done(); --operands) options.take();
  }
  return found;
}

// For each element a name is made of it and looked up, inside EXEC and scripts with everything locked.
constexpr std::size_t most_pattern = 1024;  // bytes

// The options. Nothing: the error was replied.
std::optional<SortRequest> parse_sort(Call& call, bool may_store) {
  SortRequest request;
  request.key = call.args[1];
  const auto denied = [&](std::string_view option) {
    call.reply.error("ERR " + std::string(option) + " option of SORT denied due to insufficient ACL permissions.");
    return std::nullopt;
  };
  const auto too_long = [&](std::string_view option) {
    call.reply.error("ERR a pattern of " + std::string(option) + " has at most " + std::to_string(most_pattern) + " bytes");
    return std::nullopt;
  };
  const bool reads_all = may_read_all_keys(call);
  for (Cursor options(call.args, 2); !options.done();) {
    if (options.take("ASC")) {
      request.descending = false;
    } else if (options.take("DESC")) {
      request.descending = true;
    } else if (options.take("ALPHA")) {
      request.alpha = true;
    } else if (options.left() >= 3 && options.take("LIMIT")) {
      const auto offset = options.take_integer();
      const auto count = options.take_integer();
      if (!offset || !count) {
        call.not_an_integer();
        return std::nullopt;
      }
      request.offset = *offset;
      request.count = *count;
    } else if (may_store && options.take_with_value("STORE")) {
      request.destination = options.take();
    } else if (options.take_with_value("BY")) {
      const std::string_view text = options.take();
      if (text.size() > most_pattern) return too_long("BY");
      KeyPattern pattern(text);
      request.sorts = pattern.has_star();
      if (request.sorts && !reads_all) return denied("BY");
      request.by = request.sorts ? std::optional(std::move(pattern)) : std::nullopt;
    } else if (options.take_with_value("GET")) {
      const std::string_view text = options.take();
      if (text.size() > most_pattern) return too_long("GET");
      request.get.emplace_back(text);
      if (!request.get.back().is_element() && !reads_all) return denied("GET");
    } else {
      call.syntax_error();
      return std::nullopt;
    }
  }
  return request;
}

// --- the elements ---

// The elements of a list, set or sorted set as they were at one moment.
class SortSource {
 public:
  // No elements.
  SortSource() = default;
  // Throws WrongType.
  SortSource(Call& call, const store::Value& value) : type_(value.kind.type()), form_(store::form_of(value.kind)) {
    const bool sortable = type_ == Type::list || type_ == Type::set || type_ == Type::zset;
    if (value.is_string() || !sortable) throw store::WrongType();
    if (value.handle()) {
      collection_ = &store::Collection::of(value.handle());
      pin_ = collection_->pin(call.engine.keyspace.memory().leftovers());
      size_ = collection_->size();
      return;
    }
    packed_ = value.text;
    size_ = form_ == store::Form::packed_numbers ? types::NumberSet(packed_).size() : types::Run(kind(), packed_).count();
    if (form_ == store::Form::packed_numbers) spell_numbers();
  }

  Type type() const { return type_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t memory() const { return packed_.size() + numbers_.size(); }
  const store::OwnedHandle& pin() const { return pin_; }

  // Whether the value is still the one of which this was made.
  bool is(const std::optional<store::Value>& value) const {
    if (!value) return size_ == 0;
    if (value->is_string() || value->kind.type() != type_ || size_ == 0) return false;
    if (value->handle() || collection_ != nullptr) return value->handle() && value->handle().raw() == collection_;
    return value->text == packed_;
  }

  // Calls `visit(const char* element)` for up to `count` elements from a position on.
  template <class Visit>
  void visit(std::uint64_t from, std::uint64_t count, Visit&& visit) const {
    const std::size_t before = type_ == Type::zset ? sizeof(double) : 0;  // the score
    const auto each = [&](const char* item) {
      visit(item + before);
      return true;
    };
    if (collection_ != nullptr) {
      store::Tree::Path path = collection_->items.at(from);
      collection_->items.visit(path, count, each);
      return;
    }
    const types::Run run(kind(), numbers_.empty() ? std::string_view(packed_) : std::string_view(numbers_));
    const char* item = count > 0 ? run.at(from) : nullptr;
    for (; count > 0; --count, item = run.next(item)) each(item);
    work::entries(count);
  }

 private:
  store::TreeKind kind() const {
    if (type_ == Type::zset) return store::TreeKind::scored;
    return type_ == Type::set ? store::TreeKind::set : store::TreeKind::list;
  }

  // Makes elements of plain numbers, in a run.
  void spell_numbers() {
    const types::NumberSet numbers(packed_);
    numbers_.assign(types::Run::header, '\0');
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers_.append(store::PackedElement(numbers.at(i)).packed());
  }

  Type type_ = Type::list;
  store::Form form_ = store::Form::packed_small;
  std::uint64_t size_ = 0;
  std::string packed_;
  std::string numbers_;
  store::Collection* collection_ = nullptr;
  store::OwnedHandle pin_;
};

// An element, and what it is sorted by: a score, or a text, or the element. There may be millions.
struct SortItem {
  const char* element = nullptr;
  union {
    double score;
    const char* text = nullptr;  // in KeptTexts; null: there is none, which is less than any
  };
};

int compare_elements(const char* a, const char* b) {
  Element::Digits of_a;
  Element::Digits of_b;
  return Element(a).text(of_a).compare(Element(b).text(of_b));
}

class Before {
 public:
  enum class By : std::uint8_t { score, element, text };
  Before(By by, bool descending) : by_(by), descending_(descending) {}

  bool operator()(const SortItem& a, const SortItem& b) const { return descending_ ? compare(b, a) < 0 : compare(a, b) < 0; }

 private:
  int compare(const SortItem& a, const SortItem& b) const {
    if (by_ == By::score && a.score != b.score) return a.score < b.score ? -1 : 1;
    if (by_ != By::text) return compare_elements(a.element, b.element);
    if (a.text == nullptr || b.text == nullptr) return a.text == b.text ? 0 : (a.text == nullptr ? -1 : 1);
    return KeptTexts::at(a.text).compare(KeptTexts::at(b.text));
  }

  By by_;
  bool descending_;
};

// A number as SORT reads it; nothing if it is none.
std::optional<double> parse_weight(std::string_view text) {
  // As Redis does: white space may stand before it, what is behind a zero byte does not count, and one that a double cannot hold is none.
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const double weight = std::strtod(copy.c_str(), &end);
  return *end != '\0' || errno == ERANGE || std::isnan(weight) ? std::nullopt : std::optional(weight);
}

bool is_in_script(const Call& call) { return call.session.group != nullptr && call.session.group->in_script; }

// --- the work ---

class SortTask final : public Task {
 public:
  SortTask(Call& call, SortRequest request, SortSource source)
      : request_(std::move(request)),
        memory_(call.engine, call.session.shared),
        thresholds_(thresholds(call.engine)),
        // As in Redis: what scripts and STORE make of a set does not depend on how its members lie.
        sorts_members_(!request_.sorts && source.type() == Type::set && (request_.destination || is_in_script(call))),
        source_(std::move(source)) {}

  Outcome step(Call& call) override {
    for (const std::int64_t end = monotonic_us() + step_us;;) {
      const Progress progress = go_on(call, end);
      if (progress == Progress::ended) return Outcome::done;
      if (progress == Progress::more || (!call.in_transaction && monotonic_us() >= end)) return Outcome::waits;
    }
  }

  std::uint64_t pinned() const override { return store::memory_of_pin(source_.pin()); }
  std::uint64_t loose() const override { return store::loose_memory_of_pin(source_.pin()); }

 private:
  enum class Stage : std::uint8_t { collect, weigh, sort, deliver };
  // `stage`: the next stage begins. `ended`: the reply is complete.
  enum class Progress : std::uint8_t { more, stage, ended };

  Progress go_on(Call& call, std::int64_t end_us) {
    switch (stage_) {
      case Stage::collect:
        return collect(call, end_us);
      case Stage::weigh:
        return weigh(call, end_us);
      case Stage::sort:
        return sort(call, end_us);
      case Stage::deliver:
        break;
    }
    return request_.destination ? store(call, end_us) : reply(call, end_us);
  }

  bool sorts() const { return request_.sorts || sorts_members_; }
  Before::By by() const {
    if (!request_.alpha && !sorts_members_) return Before::By::score;
    return request_.by ? Before::By::text : Before::By::element;
  }

  Progress fail(Call& call, std::string_view error) {
    call.reply.error(error);
    return Progress::ended;
  }

  Progress next(Stage stage) {
    stage_ = stage;
    at_ = 0;
    return Progress::stage;
  }

  bool ask(std::uint64_t bytes) { return memory_.ask(bytes); }

  // Without sorting only those elements are collected that are asked for, of a sorted set from its end if that comes first.
  Progress collect(Call& call, std::int64_t end_us) {
    const bool reversed = !sorts() && request_.descending && source_.type() == Type::zset;
    types::ListRange range = sorts() ? types::ListRange{0, source_.size()} : request_.range(source_.size());
    if (reversed) range = {source_.size() - range.to, source_.size() - range.from};
    if (at_ == 0) {
      items_.clear();
      const std::uint64_t times = sorts() ? 2 : 1;  // GradualSort
      if (!ask(source_.memory() + range.size() * times * sizeof(SortItem))) return fail(call, beyond_clients_memory);
      items_.reserve(range.size());
    }
    while (at_ < range.size()) {
      constexpr std::uint64_t at_once = 1024;
      const std::uint64_t some = std::min(at_once, range.size() - at_);
      const std::uint64_t from = reversed ? range.to - at_ - some : range.from + at_;
      source_.visit(from, some, [&](const char* element) { items_.emplace_back().element = element; });
      if (reversed) std::reverse(items_.end() - static_cast<std::ptrdiff_t>(some), items_.end());
      at_ += some;
      if (at_ < range.size() && monotonic_us() >= end_us) return Progress::more;
    }
    chosen_ = {0, items_.size()};
    return next(sorts() ? Stage::weigh : Stage::deliver);
  }

  // Finds out what each element is sorted by.
  Progress weigh(Call& call, std::int64_t end_us) {
    if (by() == Before::By::element) return next(Stage::sort);
    for (; at_ < items_.size(); ++at_) {
      constexpr std::size_t without_look_at_clock = 32;
      if (at_ % without_look_at_clock == 0 && at_ > 0 && monotonic_us() >= end_us) return Progress::more;
      SortItem& item = items_[at_];
      if (by() == Before::By::score) item.score = 0;
      Element::Digits digits;
      const std::string_view element = Element(item.element).text(digits);
      bool valid = true;
      if (!request_.by) {
        valid = set_weight(item, element);
      } else {
        look_up(call, *request_.by, element, [&](std::string_view text, const Blob& /*block*/) { valid = set_weight(item, text); });
      }
      if (valid) continue;
      return fail(call, by() == Before::By::text ? beyond_clients_memory : "ERR One or more scores can't be converted into double");
    }
    return next(Stage::sort);
  }

  bool set_weight(SortItem& item, std::string_view text) {
    if (by() == Before::By::text) {
      item.text = texts_.add(text, memory_);
      return item.text != nullptr;
    }
    const auto weight = parse_weight(text);
    item.score = weight.value_or(0);
    return weight.has_value();
  }

  Progress sort(Call& /*call*/, std::int64_t end_us) {
    if (!sort_) sort_.emplace(items_, Before(by(), request_.descending));
    if (!sort_->go_on(end_us)) return Progress::more;
    sort_.reset();
    chosen_ = request_.range(items_.size());
    return next(Stage::deliver);
  }

  // Calls `show(text, block)` with the value that a pattern names for an element, if there is one. With a block, the text lies in it.
  template <class Show>
  void look_up(Call& call, const KeyPattern& pattern, std::string_view element, Show&& show) {
    if (!pattern.has_star()) return;
    const std::string name = pattern.key(element);
    const std::array keys = {call.engine.keyspace.key(name)};
    if (!call.in_transaction) call.held.acquire_after_waiters(keys);
    store::Database db = call.db();
    if (const auto value = db.find(keys[0], store::Access::read().of_any_type())) show_value(*value, pattern, show);
    if (!call.in_transaction) call.held.release();
  }

  template <class Show>
  static void show_value(const store::Value& value, const KeyPattern& pattern, Show&& show) {
    if (pattern.field().empty()) {
      if (value.is_string()) show(value.text, value.is_block() ? value.share() : Blob());
      return;
    }
    if (value.is_string() || value.kind.type() != Type::hash) return;
    const char* const item = types::Hash(value).find(store::PackedElement(pattern.field()));
    if (item == nullptr) return;
    const Element found = types::value_of(item);
    Element::Digits digits;
    show(found.text(digits), found.is_block() ? found.share() : Blob());
  }

  // Calls `show(text, block)` for each text of the result that an element stands for, and `none()` for one that there is not. `ready()` is
  // called before each of these, with nothing locked; when it returns false, this is the end. Returns what it has returned last.
  template <class Ready, class Show, class None>
  bool show_item(Call& call, const SortItem& item, Ready&& ready, Show&& show, None&& none) {
    const Element element(item.element);
    Element::Digits digits;
    const std::string_view text = element.text(digits);
    const auto show_element = [&] { show(text, element.is_block() ? element.share() : Blob()); };
    if (request_.get.empty()) {
      if (!ready()) return false;
      show_element();
    }
    for (const KeyPattern& pattern : request_.get) {
      if (!ready()) return false;
      if (pattern.is_element()) {
        show_element();
        continue;
      }
      bool found = false;
      look_up(call, pattern, text, [&](std::string_view value, const Blob& block) {
        found = true;
        show(value, block);
      });
      if (!found) none();
    }
    return true;
  }

  // What the result consists of.
  std::uint64_t results() const { return chosen_.size(); }
  const SortItem& result(std::uint64_t at) const { return items_[chosen_.from + at]; }
  std::uint64_t texts_for_item() const { return std::max<std::size_t>(request_.get.size(), 1); }

  Progress reply(Call& call, std::int64_t end_us) {
    resp::Reply& reply = call.reply;
    if (!std::exchange(replying, true)) reply.array(results() * texts_for_item());
    const std::size_t end = reply.output().size() + reply_piece;
    for (; at_ < results(); ++at_) {
      if (!call.in_transaction && at_ > 0 && (reply.output().size() >= end || monotonic_us() >= end_us)) return Progress::more;
      show_item(
          call, result(at_), [] { return true; },
          [&](std::string_view text, const Blob& block) {
            if (block) {
              reply.bulk(block);
            } else {
              reply.bulk(text);
            }
          },
          [&] { reply.null(); });
    }
    return Progress::ended;
  }

  Progress store(Call& call, std::int64_t end_us) {
    if (!draft_) draft_ = std::make_unique<types::ListDraft>(call.engine.keyspace.memory(), thresholds_);
    for (; at_ < results(); ++at_) {
      constexpr std::size_t at_once = 64;
      constexpr std::uint64_t beside_text = 64;
      if (at_ % at_once == 0 && at_ > 0 && monotonic_us() >= end_us) return Progress::more;
      bool added = true;
      const auto append = [&](std::string_view text, const Blob& block) {
        room_ -= std::min<std::uint64_t>(room_, beside_text + (block ? 0 : text.size()));
        added = added && draft_->append(text, block);
      };
      const auto ready = [&] { return added && has_room(call); };
      if (!show_item(call, result(at_), ready, append, [&] { append({}, {}); }) || !added) return out_of_memory(call);
    }
    return put(call);
  }

  // For one more text. A longer one lies in a block.
  bool has_room(Call& call) {
    constexpr std::uint64_t longest = 32 * 1024;
    constexpr std::uint64_t for_some = 128 * 1024;
    if (room_ >= longest) return true;
    room_ = for_some;
    if (call.in_transaction) return static_cast<bool>(call.db().has_room(for_some));
    return call.engine.keyspace.make_room(for_some);
  }

  Progress out_of_memory(Call& call) {
    call.out_of_memory();
    return Progress::ended;
  }

  // Stores the result, unless the elements have changed meanwhile: then all begins again.
  Progress put(Call& call) {
    store::Keyspace& keyspace = call.engine.keyspace;
    const store::Key keys[] = {keyspace.key(request_.key), keyspace.key(*request_.destination)};
    if (!call.in_transaction) call.held.acquire(keys);
    call.read_clock();
    store::Database db = call.db();
    const auto value = db.find(keys[0], store::Access::write().of_any_type());
    // To make room for the result may have evicted the elements. That must not remove what is stored under the destination.
    if (!value && source_.size() > 0) return fail(call, "ERR the elements were removed or evicted while they were sorted, try again");
    if (!source_.is(value)) return begin_again(call, value);
    const std::uint64_t size = draft_->size();
    if (size == 0) {
      db.remove(keys[1]);
    } else if (const store::Stored stored = draft_->put(db, keys[1]); !stored) {
      if (call.refused(stored).needs_room()) return out_of_memory(call);
      return Progress::ended;
    }
    call.reply.integer(static_cast<std::int64_t>(size));
    return Progress::ended;
  }

  Progress begin_again(Call& call, const std::optional<store::Value>& value) {
    constexpr unsigned most_tries = 32;
    if (++tries_ == most_tries) return fail(call, "ERR the value of " + shown_name(call) + " kept changing while it was sorted, try again");
    SortSource source = value ? SortSource(call, *value) : SortSource();
    call.held.release();
    draft_.reset();
    items_.clear();
    texts_.clear();
    memory_.give_back(memory_.held());
    source_ = std::move(source);
    return next(Stage::collect);
  }

  const SortRequest request_;
  ClientMemory memory_;
  const types::Thresholds thresholds_;
  const bool sorts_members_;
  SortSource source_;
  Stage stage_ = Stage::collect;
  std::uint64_t at_ = 0;  // how many elements this stage is done with
  std::vector<SortItem> items_;
  types::ListRange chosen_{};  // of items_: what the result consists of
  KeptTexts texts_;            // to which items refer
  std::optional<GradualSort<SortItem, Before>> sort_;
  std::unique_ptr<types::ListDraft> draft_;
  std::uint64_t room_ = 0;  // for what is added to it
  unsigned tries_ = 0;
};

Outcome sort(Call& call, bool may_store) {
  auto request = parse_sort(call, may_store);
  if (!request) return Outcome::done;
  store::Database db = call.db();
  const auto value = db.find(call.key(), store::Access::read().of_any_type());
  SortSource source = value ? SortSource(call, *value) : SortSource();
  const std::uint64_t size = source.size();
  if (!call.in_transaction) return call.begin(std::make_unique<SortTask>(call, std::move(*request), std::move(source)));
  if (size > most_locked_items_of(call) && refuse_many_inside_exec(call, size)) return Outcome::done;
  SortTask task(call, std::move(*request), std::move(source));
  return call.run_whole(task);
}

Outcome sort_and_store(Call& call) { return sort(call, true); }
Outcome sort_ro(Call& call) { return sort(call, false); }

// Whether it reads keys that follow from elements.
bool reads_other_keys(Args args) {
  for (Cursor options(args, 2); !options.done();) {
    if ((options.take_with_value("BY") || options.take_with_value("GET")) && options.take().find('*') != std::string_view::npos)
      return true;
    if (!options.done()) options.take();
  }
  return false;
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "sort", .handler = sort_and_store, .arity = -2,
     .flags = kWrite | kDenyOom | kMovableKeys | kBeyondNamed, .categories = kSet | kSortedSet | kList | kDangerous,
     .keys = {KeySpec::one(KeyUse::read), KeySpec::behind(KeyUse::write, "STORE", 2, find_store)},
     .whole = reads_other_keys,
     .events = {.written = Event::sortstore},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(N * log N + M) for N elements, of which M are replied.",
     .summary = "Sorts the elements of a list, set or sorted set, and replies or stores them.",
     .syntax = "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]"},
    {.name = "sort_ro", .handler = sort_ro, .arity = -2,
     .flags = kReadOnly | kMovableKeys | kBeyondNamed, .categories = kSet | kSortedSet | kList | kDangerous,
     .keys = {KeySpec::one(KeyUse::read)},
     .whole = reads_other_keys,
     .group = "generic", .since = "7.0.0",
     .complexity = "O(N * log N + M) for N elements, of which M are replied.",
     .summary = "Sorts the elements of a list, set or sorted set, and replies them.",
     .syntax = "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]"},
};
// clang-format on

}  // namespace

std::span<const Row> sort_commands() { return kRows; }

}  // namespace pinfold::command
