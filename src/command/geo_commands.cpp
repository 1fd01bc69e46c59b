// Places: sorted sets whose scores are geohashes (types/geohash.hpp).
//
// A search goes through the members with scores in a few ranges, and keeps those that lie in the area. Few are gone through at once,
// many by a task, on a snapshot.

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/real_text.hpp"
#include "pinfold/base/sliced_sort.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/many_elements.hpp"
#include "pinfold/command/sorted_set_family.hpp"
#include "pinfold/command/sorted_set_store.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/types/geohash.hpp"
#include "pinfold/types/sorted_set_algebra.hpp"

namespace pinfold::command {
namespace {

using types::Area;
using types::Coordinates;

// --- arguments ---

struct Unit {
  std::string_view name;
  double metres;
};
constexpr std::array<Unit, 4> kUnits = {{{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}}};

// How many metres a unit has. Nothing after an error reply.
std::optional<double> read_unit(Call& call, std::string_view text) {
  for (const Unit& unit : kUnits) {
    if (iequals(text, unit.name)) return unit.metres;
  }
  return call.reply.error("ERR unsupported unit provided. please use M, KM, FT, MI"), std::nullopt;
}

std::optional<Coordinates> read_coordinates(Call& call, std::string_view longitude, std::string_view latitude) {
  const auto first = parse_score(longitude);
  const auto second = first ? parse_score(latitude) : std::nullopt;
  if (!second) return call.reply.error(bad_score), std::nullopt;
  const Coordinates place{*first, *second};
  if (types::is_valid(place)) return place;
  std::array<char, 768> text;  // the digits of two of the largest numbers
  std::snprintf(text.data(), text.size(), "ERR invalid longitude,latitude pair %f,%f", place.longitude, place.latitude);
  return call.reply.error(text.data()), std::nullopt;
}

// --- members ---

Coordinates place_of(const store::ScoredItem& item) { return types::place_of_score(item.score()); }

void reply_place(resp::Reply& reply, const Coordinates& place) {
  reply.array(2);
  for (const double degrees : {place.longitude, place.latitude}) {
    char text[most_real_text];
    const std::string_view shown(text, static_cast<std::size_t>(write_coordinate(text, degrees) - text));
    if (reply.protocol() < 3) {
      reply.bulk(shown);
    } else {
      reply.output().append(",");
      reply.output().append(shown);
      reply.output().append("\r\n");
    }
  }
}

resp::Written reply_distance(resp::Reply& reply, double distance) {
  char text[most_real_text];
  return reply.bulk({text, static_cast<std::size_t>(write_distance(text, distance) - text)});
}

struct GeoAddOptions {
  types::AddRules rules;
  bool count_changed = false;
  std::size_t first = 2;  // the argument behind the options

  std::uint64_t count_of(const types::Added& added) const { return added.added + (count_changed ? added.changed : 0); }
};

GeoAddOptions take_add_options(Args args) {
  GeoAddOptions taken;
  Cursor options(args, 2);
  for (;;) {
    if (options.take("NX")) {
      taken.rules.only_new = true;
    } else if (options.take("XX")) {
      taken.rules.only_existing = true;
    } else if (options.take("CH")) {
      taken.count_changed = true;
    } else {
      break;
    }
  }
  taken.first = options.position();
  return taken;
}

constexpr std::size_t words_of_addition = 3;  // longitude, latitude, member

// Nothing: the error was replied.
std::optional<std::vector<types::Addition>> read_additions(Call& call, std::size_t first, std::size_t count) {
  std::vector<types::Addition> additions(count / words_of_addition);
  for (types::Addition& addition : additions) {
    const auto place = read_coordinates(call, call.args[first], call.args[first + 1]);
    if (!place) return std::nullopt;
    addition.score = static_cast<double>(types::geohash(*place));
    addition.member = call.args[first + 2];
    if (call.large != nullptr) addition.block = call.take_blob(first + 2);
    first += words_of_addition;
  }
  return additions;
}

Outcome reply_count(Call& call, std::uint64_t count) { return call.reply.integer(static_cast<std::int64_t>(count)); }

Outcome add_all(Call& call) {
  const GeoAddOptions options = take_add_options(call.args);
  auto additions = read_additions(call, options.first, call.args.size() - options.first);
  if (!additions) return Outcome::done;
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset);
  types::Added added;
  const store::Stored stored =
      types::add(edit, call.engine.keyspace.memory().heap(), thresholds(call.engine), *additions, options.rules, added);
  return stored ? reply_count(call, options.count_of(added)) : call.refused(stored);
}

bool check_places(Call& call, std::size_t first, std::size_t count) {
  for (std::size_t at = first; at < first + count; at += words_of_addition) {
    if (!read_coordinates(call, call.args[at], call.args[at + 1])) return false;
  }
  return true;
}

store::Stored add_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  const GeoAddOptions options = take_add_options(call.args);
  auto additions = read_additions(call, slice.first, slice.count);
  store::Database db = call.db();
  types::Edit edit(db, call.key(), store::Type::zset, &slice.draft);
  types::Added added;
  const store::Stored stored =
      types::add(edit, call.engine.keyspace.memory().heap(), thresholds(call.engine), *additions, options.rules, added);
  counted = options.count_of(added);
  return stored;
}

constexpr ElementsWrite kAdd{store::Type::zset, words_of_addition, 2, most_written_at_once, add_all, check_places, add_some, reply_count};

Outcome geoadd(Call& call) {
  const GeoAddOptions options = take_add_options(call.args);
  const std::size_t words = call.args.size() - options.first;
  if (words == 0 || words % words_of_addition != 0 || (options.rules.only_new && options.rules.only_existing)) return call.syntax_error();
  return write_elements(call, kAdd, options.first);
}

Outcome geodist(Call& call) {
  if (call.args.size() > 5) return call.syntax_error();
  const auto unit = call.args.size() == 5 ? read_unit(call, call.args[4]) : std::optional(1.0);
  if (!unit) return Outcome::done;
  const types::SortedSet set = read_sorted_set(call, call.key());
  const auto first = set.score(call.args[2]);
  const auto second = set.score(call.args[3]);
  if (!first || !second) return call.reply.null();
  return reply_distance(call.reply, types::distance(types::place_of_score(*first), types::place_of_score(*second)) / *unit);
}

void write_geohash(resp::Reply& reply, std::optional<double> score) {
  if (!score) {
    reply.null();
    return;
  }
  const std::array<char, 11> text = types::geohash_text(types::place_of_score(*score));
  reply.bulk({text.data(), text.size()});
}

void write_place(resp::Reply& reply, std::optional<double> score) {
  if (score) {
    reply_place(reply, types::place_of_score(*score));
  } else {
    reply.null_array();
  }
}

Outcome geohash(Call& call) { return reply_scores(call, write_geohash); }
Outcome geopos(Call& call) { return reply_scores(call, write_place); }

// --- searching ---

enum class Order : std::uint8_t { none, nearest_first, farthest_first };

// What is looked for, and how it is shown or stored.
struct Query {
  Area area;
  double unit = 1;  // of distances in the reply, in metres
  Order order = Order::none;
  std::uint64_t count = 0;  // 0: all
  bool any = false;         // the first that are found
  bool with_distance = false;
  bool with_hash = false;
  bool with_place = false;
  bool stores = false;
  bool stores_distances = false;
};

struct Found {
  const char* item;
  double distance;  // in the unit of the query
};

// The work of one search. It reads a set that must stay as it is.
class Search {
 public:
  Search(const types::SortedSet& set, const Query& query) : set_(set), query_(query) {
    for (const types::Cell& cell : types::cells_of(query.area)) {
      const types::Positions positions = set_.between(types::ScoreBound{cell.from, false}, types::ScoreBound{cell.to, true});
      if (positions.size() == 0) continue;
      cells_[cells_count_++] = positions;
      candidates_ += positions.size();
    }
    most_ = query.any ? query.count : UINT64_MAX;
  }

  /// How many members it looks at.
  std::uint64_t cost() const { return candidates_; }
  /// The memory that it takes.
  std::uint64_t memory() const { return most_found() * (2 * sizeof(Found) + (query_.stores ? 2 * sizeof(types::ScoredMember) : 0)); }

  enum class Progress : std::uint8_t { more, done, no_memory };
  /// Works until the time `end_us` of monotonic_us().
  Progress advance(std::int64_t end_us) {
    while (stage_ != Stage::done) {
      if (!(this->*kSteps[static_cast<std::size_t>(stage_)])()) return Progress::no_memory;
      if (stage_ != Stage::done && monotonic_us() >= end_us) return Progress::more;
    }
    return Progress::done;
  }

  std::uint64_t size() const { return size_; }
  const Found& found(std::uint64_t number) const { return found_[number]; }
  /// What is to be stored, in the order of a sorted set. Only if the query stores.
  const types::ScoredMember& member(std::uint64_t number) const { return members_[number]; }

 private:
  enum class Stage : std::uint8_t { begin, look, sort, list, sort_list, done };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  template <class T>
  using Array = std::unique_ptr<T[], Free>;
  template <class T>
  static Array<T> allocate(std::uint64_t count) {
    return Array<T>(static_cast<T*>(std::calloc(count + 1, sizeof(T))));
  }
  using FoundBefore = bool (*)(const Found&, const Found&);
  using FoundSort = SlicedSort<Found, FoundBefore>;
  using MemberSort = SlicedSort<types::ScoredMember, decltype(&types::stands_before)>;

  std::uint64_t most_found() const { return std::min(candidates_, most_); }

  // The steps return false if there is no memory.

  bool begin() {
    kept_ = allocate<Found>(most_found());
    found_ = kept_.get();
    stage_ = Stage::look;
    return found_ != nullptr;
  }

  bool look() {
    constexpr std::uint64_t at_once = 256;
    if (cell_ == cells_count_ || size_ == most_) return end_looking();
    types::Positions& positions = cells_[cell_];
    const std::uint64_t count = std::min(at_once, positions.size());
    set_.visit(positions.first, count, [&](const char* item) {
      const auto distance = types::distance_within(query_.area, place_of(store::ScoredItem(item)));
      if (distance) found_[size_++] = {item, *distance / query_.unit};
      return size_ < most_;
    });
    positions.first += count;
    if (positions.size() == 0) ++cell_;
    return true;
  }

  bool end_looking() {
    if (query_.order == Order::none || size_ < 2) {
      cut();
      return true;
    }
    if (size_ > FoundSort::few) {
      spare_ = allocate<Found>(size_);
      if (spare_ == nullptr) return false;
    }
    const FoundBefore before = query_.order == Order::nearest_first
                                   ? FoundBefore([](const Found& a, const Found& b) { return a.distance < b.distance; })
                                   : FoundBefore([](const Found& a, const Found& b) { return a.distance > b.distance; });
    sort_.emplace(found_, size_, spare_.get(), before);
    stage_ = Stage::sort;
    return true;
  }

  bool sort() {
    if (sort_->step()) return true;
    found_ = sort_->items();
    cut();
    return true;
  }

  // Leaves the number that was asked for.
  void cut() {
    if (query_.count != 0) size_ = std::min(size_, query_.count);
    stage_ = query_.stores && size_ > 0 ? Stage::list : Stage::done;
  }

  // Lists what is to be stored.
  bool list() {
    constexpr std::uint64_t at_once = 256;
    if (kept_members_ == nullptr) {
      kept_members_ = allocate<types::ScoredMember>(size_);
      members_ = kept_members_.get();
      if (members_ == nullptr) return false;
    }
    for (std::uint64_t i = 0; i < at_once && listed_ < size_; ++i, ++listed_) {
      const store::ScoredItem item(found_[listed_].item);
      const double score = query_.stores_distances ? found_[listed_].distance : item.score();
      members_[listed_] = {item.member().data(), score, item.member().hash()};
    }
    if (listed_ < size_) return true;
    if (size_ > MemberSort::few) {
      spare_members_ = allocate<types::ScoredMember>(size_);
      if (spare_members_ == nullptr) return false;
    }
    sort_members_.emplace(members_, size_, spare_members_.get(), types::stands_before);
    stage_ = Stage::sort_list;
    return true;
  }

  bool sort_list() {
    if (sort_members_->step()) return true;
    members_ = sort_members_->items();
    stage_ = Stage::done;
    return true;
  }

  // By Stage.
  static constexpr std::array<bool (Search::*)(), 5> kSteps = {&Search::begin, &Search::look, &Search::sort, &Search::list,
                                                               &Search::sort_list};

  const types::SortedSet set_;
  const Query query_;
  std::array<types::Positions, 9> cells_;
  std::size_t cells_count_ = 0;
  std::size_t cell_ = 0;  // that is looked through
  std::uint64_t candidates_ = 0;
  std::uint64_t most_ = UINT64_MAX;  // after so many nothing more is looked for
  Stage stage_ = Stage::begin;
  std::uint64_t size_ = 0;  // of what was found
  Found* found_ = nullptr;
  Array<Found> kept_;
  Array<Found> spare_;
  std::optional<FoundSort> sort_;
  std::uint64_t listed_ = 0;
  types::ScoredMember* members_ = nullptr;
  Array<types::ScoredMember> kept_members_;
  Array<types::ScoredMember> spare_members_;
  std::optional<MemberSort> sort_members_;
};

void write_found(resp::Reply& reply, const Query& query, const Found& found) {
  const std::size_t options = (query.with_distance ? 1 : 0) + (query.with_hash ? 1 : 0) + (query.with_place ? 1 : 0);
  const store::ScoredItem item(found.item);
  if (options > 0) reply.array(options + 1);
  reply_element(reply, item.member());
  if (query.with_distance) reply_distance(reply, found.distance);
  if (query.with_hash) reply.integer(static_cast<std::int64_t>(item.score()));
  if (query.with_place) reply_place(reply, place_of(item));
}

// A long search, on a snapshot.
class LongSearch {
 public:
  LongSearch(Call& call, const types::SortedSet& set, const Query& query)
      : kept_(set, call.engine.keyspace.memory()), memory_(call.engine, call.session.shared), search(kept_.set(), query) {}
  // Returns false if clients may not take so much memory.
  bool take_memory() { return memory_.ask(search.memory()); }
  const store::OwnedHandle& pin() const { return kept_.pin(); }

 private:
  const types::SortedSetSnapshot kept_;
  ClientMemory memory_;

 public:
  Search search;
};

class ShowPlaces : public Task {
 public:
  ShowPlaces(Call& call, const types::SortedSet& set, const Query& query) : work_(call, set, query), query_(query) {}
  bool take_memory() { return work_.take_memory(); }

  Outcome step(Call& call) override {
    Search& search = work_.search;
    if (!replying) {
      const Search::Progress progress = search.advance(monotonic_us() + step_us);
      if (progress == Search::Progress::no_memory) return call.out_of_memory();
      if (progress == Search::Progress::more) return Outcome::waits;
      call.reply.array(search.size());
      replying = true;
    }
    const std::size_t end = call.reply.output().size() + reply_piece;
    while (written_ < search.size() && call.reply.output().size() < end) write_found(call.reply, query_, search.found(written_++));
    return written_ < search.size() ? Outcome::waits : Outcome::done;
  }
  std::uint64_t pinned() const override { return store::memory_of_pin(work_.pin()); }
  std::uint64_t loose() const override { return store::loose_memory_of_pin(work_.pin()); }

 private:
  LongSearch work_;
  const Query query_;
  std::uint64_t written_ = 0;
};

class StorePlaces : public StoringTask {
 public:
  StorePlaces(Call& call, const types::SortedSet& set, const Query& query, const store::Key& target)
      : StoringTask(call, target), work_(call, set, query) {}
  bool take_memory() { return work_.take_memory(); }

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    if (!searched_) {
      const Search::Progress progress = work_.search.advance(end);
      if (progress == Search::Progress::no_memory) return call.out_of_memory();
      if (progress == Search::Progress::more) return Outcome::waits;
      searched_ = true;
    }
    return build(call, end);
  }

 private:
  bool next(Member& member) override {
    if (stored_ == work_.search.size()) return false;
    const types::ScoredMember& result = work_.search.member(stored_++);
    member = {result.element, result.score, result.hash};
    return true;
  }

  LongSearch work_;
  bool searched_ = false;
  std::uint64_t stored_ = 0;
};

Outcome store_places(Call& call, const Search& search, const store::Key& target) {
  constexpr std::uint64_t beside_member = 64;
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < search.size(); ++i) bytes += beside_member + store::Element(search.member(i).element).size();
  store::Database db = call.db();
  if (const store::Stored room = db.has_room(bytes); !room) return call.refused(room);
  types::SortedSetBuilder built(call.engine.keyspace.memory(), thresholds(call.engine));
  for (std::uint64_t i = 0; i < search.size(); ++i) {
    const types::ScoredMember& member = search.member(i);
    if (!built.add(store::Element(member.element), member.score, member.hash)) return call.out_of_memory();
  }
  return store_built(call, db, target, built);
}

template <class LongTask, class... More>
Outcome begin_long(Call& call, const types::SortedSet& set, const Query& query, std::uint64_t cost, const More&... more) {
  if (refuse_many_inside_exec(call, cost)) return Outcome::done;
  auto task = std::make_unique<LongTask>(call, set, query, more...);
  return task->take_memory() ? call.begin(std::move(task)) : call.reply.error(beyond_clients_memory);
}

// `target`: where the result is stored, if it is.
Outcome run_search(Call& call, const types::SortedSet& set, const Query& query, const store::Key* target) {
  Search search(set, query);
  if (search.cost() > most_locked_items_of(call)) {
    if (target != nullptr) return begin_long<StorePlaces>(call, set, query, search.cost(), *target);
    return begin_long<ShowPlaces>(call, set, query, search.cost());
  }
  if (search.advance(INT64_MAX) == Search::Progress::no_memory) return call.out_of_memory();
  if (target != nullptr) return store_places(call, search, *target);
  call.reply.array(search.size());
  for (std::uint64_t i = 0; i < search.size(); ++i) write_found(call.reply, query, search.found(i));
  return Outcome::done;
}

// --- the arguments of searches ---

// What one of the commands takes.
struct SearchCommand {
  enum class From : std::uint8_t { coordinates, member, options };
  From from{};
  bool may_store = false;      // STORE and STOREDIST name a target
  bool always_stores = false;  // the first key is the target
  std::size_t first = 2;       // the first argument behind the key
};

// Reads the arguments of one search.
class SearchParser {
 public:
  SearchParser(Call& call, const SearchCommand& command, const types::SortedSet& set)
      : call_(call), command_(command), set_(set), cursor_(call.args, command.first) {}

  // Returns false after an error reply.
  bool parse(Query& query) {
    query.stores = command_.always_stores;
    if (!take_fixed(query)) return false;
    while (!cursor_.done()) {
      if (!take_option(query)) return false;
    }
    return check(query);
  }

 private:
  using From = SearchCommand::From;

  bool fail(std::string_view error) { return call_.reply.error(error), false; }

  // The centre and radius that GEORADIUS and GEORADIUSBYMEMBER begin with.
  bool take_fixed(Query& query) {
    if (command_.from == From::options) return true;
    if (command_.from == From::member) {
      const std::string_view member = cursor_.take();
      if (set_.size() == 0) return cursor_.take(), cursor_.take(), true;  // what is wrong with them does not matter
      if (!centre_on(query, member)) return false;
    } else {
      const std::string_view longitude = cursor_.take();
      const auto place = read_coordinates(call_, longitude, cursor_.take());
      if (!place) return false;
      query.area.centre = *place;
    }
    return take_radius(query);
  }

  bool centre_on(Query& query, std::string_view member) {
    const auto score = set_.score(member);
    if (!score) return fail("ERR could not decode requested zset member");
    query.area.centre = types::place_of_score(*score);
    return true;
  }

  bool take_radius(Query& query) {
    const auto radius = parse_score(cursor_.take());
    if (!radius) return fail("ERR need numeric radius");
    if (*radius < 0) return fail("ERR radius cannot be negative");
    const auto unit = read_unit(call_, cursor_.take());
    if (!unit) return false;
    query.unit = *unit;
    query.area.radius = *radius * *unit;
    return true;
  }

  bool take_box(Query& query) {
    const auto width = parse_score(cursor_.take());
    if (!width) return fail("ERR need numeric width");
    const auto height = parse_score(cursor_.take());
    if (!height) return fail("ERR need numeric height");
    if (*width < 0 || *height < 0) return fail("ERR height or width cannot be negative");
    const auto unit = read_unit(call_, cursor_.take());
    if (!unit) return false;
    query.unit = *unit;
    query.area.box = true;
    query.area.width = *width * *unit;
    query.area.height = *height * *unit;
    return true;
  }

  bool take_option(Query& query) {
    if (cursor_.take("WITHDIST")) return query.with_distance = true;
    if (cursor_.take("WITHHASH")) return query.with_hash = true;
    if (cursor_.take("WITHCOORD")) return query.with_place = true;
    if (cursor_.take("ANY")) return query.any = true;
    if (cursor_.take("ASC")) return query.order = Order::nearest_first, true;
    if (cursor_.take("DESC")) return query.order = Order::farthest_first, true;
    if (cursor_.take_with_value("COUNT")) return take_count(query);
    if (command_.may_store && cursor_.take_with_value("STORE"))
      return cursor_.take(), query.stores = true, query.stores_distances = false, true;
    if (command_.may_store && cursor_.take_with_value("STOREDIST")) return cursor_.take(), query.stores = query.stores_distances = true;
    if (command_.always_stores && cursor_.take("STOREDIST")) return query.stores_distances = true;
    if (command_.from == From::options) return take_search_option(query);
    return call_.syntax_error(), false;
  }

  bool take_count(Query& query) {
    const auto count = cursor_.take_integer();
    if (!count) return call_.not_an_integer(), false;
    if (*count <= 0) return fail("ERR COUNT must be > 0");
    query.count = static_cast<std::uint64_t>(*count);
    return true;
  }

  // Each needs so many words behind it.
  bool take_search_option(Query& query) {
    if (!from_place_ && cursor_.left() > 1 && cursor_.take("FROMMEMBER")) {
      from_member_ = true;
      const std::string_view member = cursor_.take();
      return set_.size() == 0 || centre_on(query, member);
    }
    if (!from_member_ && cursor_.left() > 2 && cursor_.take("FROMLONLAT")) {
      from_place_ = true;
      const std::string_view longitude = cursor_.take();
      const auto place = read_coordinates(call_, longitude, cursor_.take());
      if (place) query.area.centre = *place;
      return place.has_value();
    }
    if (!by_box_ && cursor_.left() > 2 && cursor_.take("BYRADIUS")) return by_radius_ = true, take_radius(query);
    if (!by_radius_ && cursor_.left() > 3 && cursor_.take("BYBOX")) return by_box_ = true, take_box(query);
    return call_.syntax_error(), false;
  }

  bool check(Query& query) {
    const bool searches = command_.from == From::options;
    const std::string name(call_.args[0]);
    if (query.stores && (query.with_distance || query.with_hash || query.with_place)) {
      const std::string who = command_.always_stores ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS";
      return fail("ERR " + who + " is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
    }
    if (searches && !from_member_ && !from_place_) return fail("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + name);
    if (searches && !by_radius_ && !by_box_) return fail("ERR exactly one of BYRADIUS and BYBOX can be specified for " + name);
    if (query.any && query.count == 0) return fail("ERR the ANY argument requires COUNT argument");
    // The nearest ones are meant, and not any.
    if (query.count != 0 && !query.any && query.order == Order::none) query.order = Order::nearest_first;
    return true;
  }

  Call& call_;
  const SearchCommand command_;
  const types::SortedSet set_;
  Cursor cursor_;
  bool from_member_ = false;
  bool from_place_ = false;
  bool by_radius_ = false;
  bool by_box_ = false;
};

Outcome search_places(Call& call, const SearchCommand& command) {
  const store::Key& source = call.key(command.always_stores ? 1 : 0);
  const types::SortedSet set = read_sorted_set(call, source);
  Query query;
  if (!SearchParser(call, command, set).parse(query)) return Outcome::done;
  const store::Key* const target = !query.stores ? nullptr : &call.key(command.always_stores ? 0 : 1);
  if (set.size() > 0) return run_search(call, set, query, target);
  if (target == nullptr) return call.reply.array(0);
  call.db().remove(*target);
  return call.reply.integer(0);
}

using From = SearchCommand::From;

Outcome georadius(Call& call) { return search_places(call, {.from = From::coordinates, .may_store = true}); }
Outcome georadius_ro(Call& call) { return search_places(call, {.from = From::coordinates}); }
Outcome georadiusbymember(Call& call) { return search_places(call, {.from = From::member, .may_store = true}); }
Outcome georadiusbymember_ro(Call& call) { return search_places(call, {.from = From::member}); }
Outcome geosearch(Call& call) { return search_places(call, {.from = From::options}); }
Outcome geosearchstore(Call& call) { return search_places(call, {.from = From::options, .always_stores = true, .first = 3}); }

// Where the last STORE or STOREDIST stands among the options, which begin at `first`; 0: there is none.
std::size_t find_target(Args args, std::size_t first) {
  std::size_t found = 0;
  for (Cursor cursor(args, first); !cursor.done();) {
    const std::size_t at = cursor.position();
    if (cursor.take_with_value("STORE") || cursor.take_with_value("STOREDIST")) {
      found = at;
      cursor.take();
    } else if (cursor.take_with_value("COUNT") || !cursor.done()) {
      cursor.take();
    }
  }
  return found;
}
std::size_t find_target_of_georadius(Args args) { return find_target(args, 6); }
std::size_t find_target_of_georadiusbymember(Args args) { return find_target(args, 5); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "geoadd", .handler = geoadd, .arity = -5,
     .flags = kWrite | kDenyOom, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::update)},
     .events = {.written = Event::zadd},
     .group = "geo", .since = "3.2.0",
     .complexity = "O(log(N)) for each member added, where N is the number of members.",
     .summary = "Adds places to a sorted set, or moves them.",
     .syntax = "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]"},
    {.name = "geodist", .handler = geodist, .arity = -4,
     .flags = kReadOnly, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "geo", .since = "3.2.0",
     .complexity = "O(log(N)) for N members.",
     .summary = "Returns the distance of two places.",
     .syntax = "key member1 member2 [M | KM | FT | MI]"},
    {.name = "geohash", .handler = geohash, .arity = -2,
     .flags = kReadOnly, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "geo", .since = "3.2.0",
     .complexity = "O(M*log(N)) for M members asked for of N.",
     .summary = "Returns the geohashes of places, as texts of eleven characters.",
     .syntax = "key [member [member ...]]"},
    {.name = "geopos", .handler = geopos, .arity = -2,
     .flags = kReadOnly, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "geo", .since = "3.2.0",
     .complexity = "O(M*log(N)) for M members asked for of N.",
     .summary = "Returns the longitudes and latitudes of places.",
     .syntax = "key [member [member ...]]"},
    {.name = "georadius", .handler = georadius, .arity = -6,
     .flags = kWrite | kDenyOom | kMovableKeys | kBeyondNamed, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read), KeySpec::behind(KeyUse::write, "STORE STOREDIST", 6, find_target_of_georadius)},
     .events = {.written = Event::georadiusstore},
     .group = "geo", .since = "3.2.0",
     .complexity = "O(N+M*log(M)) for N places around, and M in the circle.",
     .summary = "Returns or stores the places in a circle around a point.",
     .syntax = "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] "
               "[STORE store-key | STOREDIST storedist-key]"},
    {.name = "georadius_ro", .handler = georadius_ro, .arity = -6,
     .flags = kReadOnly | kBeyondNamed, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "geo", .since = "3.2.10",
     .complexity = "O(N+M*log(M)) for N places around, and M in the circle.",
     .summary = "Returns the places in a circle around a point.",
     .syntax = "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]"},
    {.name = "georadiusbymember", .handler = georadiusbymember, .arity = -5,
     .flags = kWrite | kDenyOom | kMovableKeys | kBeyondNamed, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read), KeySpec::behind(KeyUse::write, "STORE STOREDIST", 5, find_target_of_georadiusbymember)},
     .events = {.written = Event::georadiusstore},
     .group = "geo", .since = "3.2.0",
     .complexity = "O(N+M*log(M)) for N places around, and M in the circle.",
     .summary = "Returns or stores the places in a circle around another one.",
     .syntax = "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] "
               "[STORE store-key | STOREDIST storedist-key]"},
    {.name = "georadiusbymember_ro", .handler = georadiusbymember_ro, .arity = -5,
     .flags = kReadOnly | kBeyondNamed, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "geo", .since = "3.2.10",
     .complexity = "O(N+M*log(M)) for N places around, and M in the circle.",
     .summary = "Returns the places in a circle around another one.",
     .syntax = "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]"},
    {.name = "geosearch", .handler = geosearch, .arity = -7,
     .flags = kReadOnly | kBeyondNamed, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "geo", .since = "6.2.0",
     .complexity = "O(N+M*log(M)) for N places around, and M in the area.",
     .summary = "Returns the places in a circle or rectangle.",
     .syntax = "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height "
               "<M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]"},
    {.name = "geosearchstore", .handler = geosearchstore, .arity = -8,
     .flags = kWrite | kDenyOom | kBeyondNamed, .categories = kGeo,
     .keys = {KeySpec::one(KeyUse::write, 1), KeySpec::one(KeyUse::read, 2)},
     .events = {.written = Event::geosearchstore},
     .group = "geo", .since = "6.2.0",
     .complexity = "O(N+M*log(M)) for N places around, and M in the area.",
     .summary = "Stores the places in a circle or rectangle.",
     .syntax = "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width "
               "height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]"},
};
// clang-format on

}  // namespace

std::span<const Row> geo_commands() { return kRows; }

}  // namespace pinfold::command
