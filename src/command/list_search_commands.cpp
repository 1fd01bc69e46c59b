// The commands that look for an element in a list: LPOS, LREM and LINSERT.
//
// A short list is searched with its shard locked. A long one is searched as it was at one moment (Collection::pin), by a task with nothing
// locked. LREM and LINSERT then act if nobody has written the list meanwhile, and otherwise search once more (prepared_write.hpp).

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/list_family.hpp"
#include "pinfold/command/prepared_write.hpp"

namespace pinfold::command {
namespace {

using store::Collection;
using store::Stored;
using types::End;
using types::List;
using types::ListEdit;
using types::ListSearch;

using Positions = std::vector<std::uint64_t>;

// So many elements may be removed with the list locked: each is looked at when it is found, when its place is looked up, and when it goes.
constexpr std::uint64_t most_removed = most_locked_items / 3;

// Whether the list may be searched, and what is found removed, while it is locked.
bool is_short(const Call& call, const List& list) {
  return list.packed() || list.size() <= (call.in_transaction ? most_locked_items_of(call) : most_removed);
}

// Searches the whole of a short list.
void search_short(ListSearch& search, const List& list) {
  if (list.packed()) {
    search.search(list.run());
  } else {
    search.search(list.tree(), list.size());
  }
}

// A search of a list as it was at one moment. While this exists, whoever writes the list makes another Collection of it. So a list that
// still is the same Collection has not been written.
class SnapshotSearch {
 public:
  SnapshotSearch(Call& call, const List& list, std::string_view text, const ListSearch::Options& options)
      : text_(text), search_(text_, options), memory_(call.engine, call.session.shared) {
    begin(call, list);
  }

  void begin(Call& call, const List& list) {
    collection_ = &list.collection();
    pin_ = collection_->pin(call.engine.keyspace.memory().leftovers());
    search_.reset();
  }
  bool is_of(const List& list) const { return !list.packed() && &list.collection() == collection_; }

  enum class Progress : std::uint8_t { more, done, no_memory };
  Progress go_on(std::int64_t end_us) {
    constexpr std::uint64_t at_once = 2048;
    while (!search_.search(collection_->items, at_once)) {
      if (!account()) return Progress::no_memory;
      if (monotonic_us() >= end_us) return Progress::more;
    }
    return account() ? Progress::done : Progress::no_memory;
  }

  const Collection& collection() const { return *collection_; }
  const Positions& found() const { return search_.found(); }

 private:
  // What was found is in the account.
  bool account() {
    const std::uint64_t bytes = found().capacity() * sizeof(Positions::value_type);
    return bytes <= memory_.held() || memory_.ask(bytes - memory_.held());
  }

  const std::string text_;
  ListSearch search_;
  ClientMemory memory_;
  Collection* collection_ = nullptr;
  store::OwnedHandle pin_;
};

// --- LPOS ---

struct PositionsAsked {
  ListSearch::Options search{.most = 1};
  bool several = false;  // COUNT was given
};

std::optional<PositionsAsked> parse_positions(Call& call) {
  PositionsAsked asked;
  const auto fail = [&](std::string_view error) {
    call.reply.error(error);
    return std::nullopt;
  };
  for (Cursor options(call.args, 3); !options.done();) {
    if (options.take_with_value("RANK")) {
      const auto rank = options.take_integer();
      if (!rank) return fail("ERR value is not an integer or out of range");
      if (*rank == 0) {
        return fail(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of "
            "the list");
      }
      if (*rank == INT64_MIN) return fail("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
      asked.search.from = *rank > 0 ? End::left : End::right;
      asked.search.skip = static_cast<std::uint64_t>(*rank > 0 ? *rank : -*rank) - 1;
    } else if (options.take_with_value("COUNT")) {
      const auto count = options.take_integer();
      if (!count || *count < 0) return fail("ERR COUNT can't be negative");
      asked.search.most = static_cast<std::uint64_t>(*count);
      asked.several = true;
    } else if (options.take_with_value("MAXLEN")) {
      const auto most = options.take_integer();
      if (!most || *most < 0) return fail("ERR MAXLEN can't be negative");
      asked.search.compared = static_cast<std::uint64_t>(*most);
    } else {
      return fail("ERR syntax error");
    }
  }
  return asked;
}

Outcome reply_positions(Call& call, const Positions& found, bool several) {
  if (!several) return found.empty() ? call.reply.null() : call.reply.integer(static_cast<std::int64_t>(found[0]));
  call.reply.array(found.size());
  for (const std::uint64_t position : found) call.reply.integer(static_cast<std::int64_t>(position));
  return Outcome::done;
}

class PositionsTask final : public Task {
 public:
  PositionsTask(Call& call, const List& list, const PositionsAsked& asked)
      : search_(call, list, call.args[2], asked.search), several_(asked.several) {}

  Outcome step(Call& call) override {
    const auto progress = search_.go_on(monotonic_us() + step_us);
    if (progress == SnapshotSearch::Progress::more) return Outcome::waits;
    if (progress == SnapshotSearch::Progress::no_memory) return call.reply.error(beyond_clients_memory);
    accounted = false;
    return reply_positions(call, search_.found(), several_);
  }

 private:
  SnapshotSearch search_;
  const bool several_;
};

Outcome lpos(Call& call) {
  const auto asked = parse_positions(call);
  if (!asked) return Outcome::done;
  store::Database db = call.db();
  const auto list = List::find(db, call.key());
  if (!list) return reply_positions(call, {}, asked->several);
  const std::uint64_t compared = asked->search.compared;
  const std::uint64_t items = compared == 0 ? list->size() : std::min(compared, list->size());
  if (!list->packed() && items > most_locked_items_of(call)) {
    if (refuse_many_inside_exec(call, items)) return Outcome::done;
    return call.begin(std::make_unique<PositionsTask>(call, *list, *asked));
  }
  ListSearch search(call.args[2], asked->search);
  search_short(search, *list);
  return reply_positions(call, search.found(), asked->several);
}

// --- LREM and LINSERT ---

// What such a command does with the elements that were found. The list is as it was when they were, and the positions ascend.
using Act = Outcome (*)(Call& call, ListEdit& list, const Positions& found);

Outcome search_and_act(Call& call, const List& list, std::string_view text, const ListSearch::Options& options, Act act) {
  ListSearch search(text, options);
  search_short(search, list);
  Positions found = search.found();
  std::ranges::sort(found);
  store::Database db = call.db();
  ListEdit edit = edit_list(call, db, call.key());
  return act(call, edit, found);
}

// The same for a long list. If very many elements are to be removed, that is done in a copy of the list, with nothing locked.
class SearchAndAct final : public PreparedWrite {
 public:
  SearchAndAct(Call& call, const List& list, std::size_t text, const ListSearch::Options& options, Act act)
      : PreparedWrite(call, 0), text_(text), options_(options), act_(act), search_(call, list, call.args[text], options) {}

 private:
  using Searched = SnapshotSearch::Progress;

  Progress prepare(Call& call, std::int64_t end_us) override {
    const Searched searched = search_.go_on(end_us);
    if (searched == Searched::more) return Progress::more;
    if (searched == Searched::no_memory) {
      call.reply.error(beyond_clients_memory);
      return Progress::failed;
    }
    if (!left_) left_ = search_.found().size();
    return search_.found().size() <= most_removed ? Progress::ready : remove_from_copy(call, end_us);
  }

  Progress remove_from_copy(Call& call, std::int64_t end_us) {
    if (*left_ == 0) return Progress::ready;
    if (!copy_) {
      copy_ = store::OwnedHandle(store::Handle(store::Type::list, search_.collection().clone()));
      copy_.free_in(call.engine.keyspace.memory().leftovers());
    }
    while (copy_ && *left_ > 0) {
      constexpr std::uint64_t room_for_some = 512 * 1024;
      if (!call.engine.keyspace.make_room(room_for_some) || !remove_some()) break;
      if (*left_ > 0 && monotonic_us() >= end_us) return Progress::more;
    }
    if (*left_ == 0) return Progress::ready;
    call.out_of_memory();
    return Progress::failed;
  }

  // From the last one to the first, so that the positions stay right.
  bool remove_some() {
    const Positions& found = search_.found();
    const bool ascend = options_.from == End::left;
    store::Tree& tree = Collection::of(copy_.get()).items;
    for (unsigned some = 64; some > 0 && *left_ > 0; --some, --*left_) {
      if (!tree.erase(tree.at(found[ascend ? *left_ - 1 : found.size() - *left_]))) return false;
    }
    return true;
  }

  Tried write(Call& call, bool /*last*/) override {
    store::Database db = call.db();
    const auto list = List::find(db, call.key(), store::Access::write());
    if (list && !search_.is_of(*list) && !search_.found().empty()) return begin_again(call, *list);
    ListEdit edit = edit_list(call, db, call.key());
    if (!list) return act_(call, edit, {});
    if (copy_) return replace(call, edit);
    Positions found = search_.found();
    std::ranges::sort(found);
    return act_(call, edit, found);
  }

  Tried begin_again(Call& call, const List& list) {
    copy_ = {};
    left_.reset();
    if (is_short(call, list)) return search_and_act(call, list, argument(text_), options_, act_);
    search_.begin(call, list);
    return std::nullopt;
  }

  // The copy takes the place of the list.
  Outcome replace(Call& call, ListEdit& list) {
    const bool emptied = Collection::of(copy_.get()).size() == 0;
    const Stored stored = emptied ? list.keep({}) : list.replace(static_cast<Collection*>(copy_.detach().raw()));
    return stored ? call.reply.integer(static_cast<std::int64_t>(search_.found().size())) : call.refused(stored);
  }

  const std::size_t text_;  // the index of the argument that is looked for
  const ListSearch::Options options_;
  const Act act_;
  SnapshotSearch search_;
  store::OwnedHandle copy_;          // of the list, from which the last of those that were found have been removed
  std::optional<std::size_t> left_;  // how many are still to be removed, once all have been found
};

// `text`: the index of the argument to look for. `missing`: what is replied if there is no such list.
Outcome search_and_write(Call& call, std::size_t text, const ListSearch::Options& options, Act act) {
  store::Database db = call.db();
  const auto list = List::find(db, call.key(), store::Access::write());
  if (!list) return call.reply.integer(0);
  if (is_short(call, *list)) return search_and_act(call, *list, call.args[text], options, act);
  if (refuse_many_inside_exec(call, list->size())) return Outcome::done;
  return call.begin(std::make_unique<SearchAndAct>(call, *list, text, options, act));
}

Outcome remove_found(Call& call, ListEdit& list, const Positions& found) {
  if (found.empty()) return call.reply.integer(0);
  const Stored stored = list.remove(found);
  return stored ? call.reply.integer(static_cast<std::int64_t>(found.size())) : call.refused(stored);
}

Outcome lrem(Call& call) {
  const auto count = parse_i64(call.args[2]);
  if (!count) return call.not_an_integer();
  if (*count == INT64_MIN) {
    return call.reply.error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
  }
  const ListSearch::Options options{.from = *count < 0 ? End::right : End::left,
                                    .most = static_cast<std::uint64_t>(*count < 0 ? -*count : *count)};
  return search_and_write(call, 3, options, remove_found);
}

Outcome insert_at(Call& call, ListEdit& list, const Positions& found) {
  constexpr std::size_t element = 4;
  if (!list.exists()) return call.reply.integer(0);
  if (found.empty()) return call.reply.integer(-1);
  const std::uint64_t size = list.size();
  const bool after = iequals(call.args[2], "AFTER");
  const Stored stored = list.insert(found[0] + (after ? 1 : 0), call.args[element], call.take_blob(element));
  return stored ? call.reply.integer(static_cast<std::int64_t>(size + 1)) : call.refused(stored);
}

Outcome linsert(Call& call) {
  if (!iequals(call.args[2], "BEFORE") && !iequals(call.args[2], "AFTER")) return call.syntax_error();
  return search_and_write(call, 3, {.most = 1}, insert_at);
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "linsert", .handler = linsert, .arity = 5,
     .flags = kWrite | kDenyOom | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::linsert},
     .group = "list", .since = "2.2.0",
     .complexity = "O(N) for N elements before the one that is looked for.",
     .summary = "Adds an element before or behind another element of a list.",
     .syntax = "key <BEFORE | AFTER> pivot element"},
    {.name = "lpos", .handler = lpos, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "list", .since = "6.0.6",
     .complexity = "O(N) for N elements that are compared.",
     .summary = "Tells where an element stands in a list.",
     .syntax = "key element [RANK rank] [COUNT num-matches] [MAXLEN len]"},
    {.name = "lrem", .handler = lrem, .arity = 4,
     .flags = kWrite | kBeyondNamed, .categories = kList,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::lrem},
     .group = "list", .since = "1.0.0",
     .complexity = "O(N + M * log N) for a list of N elements, of which M are removed.",
     .summary = "Removes elements that are equal to a text from a list.",
     .syntax = "key count element"},
};
// clang-format on

}  // namespace

std::span<const Row> list_search_commands() { return kRows; }

}  // namespace pinfold::command
