// Walks over a whole database: SCAN, KEYS and RANDOMKEY.

#include "pinfold/store/walk.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

void Names::clear() {
  text_.clear();
  bytes_ = 0;
  names_.clear();
}

void Names::add(const Entry& entry) {
  const std::string_view key = entry.key();
  bytes_ += key.size();
  if (void* const block = entry.key_blob()) return names_.push_back({0, 0, Blob::share(block)});
  names_.push_back({text_.size(), key.size(), Blob()});
  text_ += key;
}

// Enters the part of the walk for the group at the walk's place, which ends before the prefix `group_end`.
Walk::Part& Walk::enter(std::uint32_t group_end) {
  if (depth_ == 0) {
    parts_[depth_++] = {group_end, 0};
  } else if (parts_[depth_ - 1].end > group_end) {
    parts_[depth_] = {group_end, parts_[depth_ - 1].tag};
    ++depth_;
  }
  return parts_[depth_ - 1];
}

void Walk::leave() {
  prefix_ = parts_[--depth_].end;
  if (prefix_ == prefixes) next_shard();
}

void Walk::next_shard() {
  ++shard_;
  prefix_ = 0;
  depth_ = 0;
}

namespace {

// What collect() and scan() look at in one hold of a lock at most: entries, and bytes of their names.
constexpr std::size_t most_entries = 512;
constexpr std::size_t most_bytes = 192 * 1024;

// The references of a group in the order of their tags.
class ByTag {
 public:
  static constexpr unsigned tags = 256;

  explicit ByTag(const Index::GroupView& group) : refs_(group.entries.size()) {
    for (const auto& [tag, ref] : group.entries) ++starts_[tag + 1];
    for (unsigned tag = 0; tag < tags; ++tag) starts_[tag + 1] += starts_[tag];
    auto next = starts_;
    for (const auto& [tag, ref] : group.entries) refs_[next[tag]++] = ref;
  }
  std::size_t size() const { return refs_.size(); }
  std::size_t start_of(unsigned tag) const { return starts_[tag]; }
  Ref operator[](std::size_t i) const { return refs_[i]; }
  // Fetches an entry some places ahead, because the entries of a group lie anywhere in the log.
  void prefetch_ahead(const Table& table, std::size_t i) const {
    constexpr std::size_t ahead = 8;
    if (i + ahead < refs_.size()) prefetch(table.entry(refs_[i + ahead]).data());
  }

 private:
  std::array<std::size_t, tags + 1> starts_{};
  std::vector<Ref> refs_;
};

}  // namespace

void Keyspace::collect(unsigned db, Walk& walk, UnixMs now, Locks& held, Names& names) {
  names.clear();
  bool foreign = false;  // whether the group also has entries of other prefixes
  const std::uint32_t begin = walk.prefix_;
  std::uint32_t end = 0;
  {
    Shard& shard = *shards_[walk.shard_];
    std::unique_lock lock(shard.mutex, std::defer_lock);
    if (!held.holds(walk.shard_)) lock.lock();
    Table* const table = shard.tables[db].get();
    if (table == nullptr) return walk.next_shard();
    const Index::GroupView group = table->index().view(begin, 0);
    const std::uint32_t width = 1U << (Index::prefix_bits - group.depth);
    const std::uint32_t group_begin = begin & ~(width - 1);
    Walk::Part& part = walk.enter(group_begin + width);
    end = part.end;
    foreign = group_begin < begin || group_begin + width > end;
    const ByTag entries(group);
    const std::size_t first = entries.start_of(part.tag);
    std::size_t at = first;
    std::size_t looked_at = 0;
    for (; part.tag < ByTag::tags; ++part.tag) {
      const std::size_t next = entries.start_of(part.tag + 1);
      if (at > first && (next - first > most_entries || names.bytes() + looked_at > most_bytes)) break;
      for (; at < next; ++at) {
        entries.prefetch_ahead(*table, at);
        if (table->visible(entries[at], now, looked_at)) names.add(table->entry(entries[at]));
      }
    }
    work::entries(at - first);
    work::bytes(names.copied());
    if (part.tag == ByTag::tags) walk.leave();
  }
  if (!foreign) return;
  names.keep_if([&](std::string_view name) {
    const auto prefix = static_cast<std::uint32_t>(key(name).hash >> (64 - Index::prefix_bits));
    return prefix >= begin && prefix < end;
  });
}

namespace {

// The place of a scan: the shard, the directory prefix, the tag within the group, and the depth of the group when it was last
// seen.
struct Cursor {
  unsigned shard = 0;
  std::uint32_t prefix = 0;
  unsigned tag = 0;
  unsigned depth = 0;

  static constexpr unsigned tag_bits = 8;
  static constexpr unsigned depth_bits = 5;

  static Cursor decode(std::uint64_t text) {
    Cursor c;
    c.depth = text & ((1U << depth_bits) - 1);
    text >>= depth_bits;
    c.tag = text & ((1U << tag_bits) - 1);
    text >>= tag_bits;
    c.prefix = static_cast<std::uint32_t>(text & ((1U << Index::prefix_bits) - 1));
    c.shard = static_cast<unsigned>(std::min<std::uint64_t>(text >> Index::prefix_bits, max_shards));
    return c;
  }
  std::uint64_t encode() const {
    std::uint64_t text = shard;
    text = text << Index::prefix_bits | prefix;
    text = text << tag_bits | tag;
    return text << depth_bits | depth;
  }
  void next_shard() { *this = {shard + 1, 0, 0, 0}; }
  void next_group(unsigned group_depth) {
    const std::uint32_t width = 1U << (Index::prefix_bits - group_depth);
    prefix = (prefix & ~(width - 1)) + width;
    tag = depth = 0;
    if (prefix >> Index::prefix_bits != 0) next_shard();
  }
};

}  // namespace

std::uint64_t Keyspace::scan(unsigned db, std::uint64_t cursor, std::uint64_t& left, UnixMs now, Locks& held, Names& names,
                             std::optional<Type> only) {
  constexpr std::uint64_t most = 256;
  constexpr std::size_t most_removed = 64;
  names.clear();
  Cursor at = Cursor::decode(cursor);
  if (at.shard >= shard_count()) return 0;
  Shard& shard = *shards_[at.shard];
  const WakeLater later;
  std::unique_lock lock(shard.mutex, std::defer_lock);
  if (!held.holds(at.shard)) lock.lock();
  Table* const table = shard.tables[db].get();
  if (table == nullptr) {
    at.next_shard();
    return at.shard >= shard_count() ? 0 : at.encode();
  }
  const Index::GroupView group = table->index().view(at.prefix, 0);
  if (group.depth < at.depth) {
    // Groups have been merged, or the table is a new one, so this group is wider than the one to which the cursor belongs. It
    // is seen from its start, because the scan may have seen no entries of the neighbour.
    at.prefix &= ~((1U << (Index::prefix_bits - group.depth)) - 1);
    at.tag = 0;
  }
  const ByTag entries(group);
  Names expired;
  const std::size_t first = entries.start_of(at.tag);
  std::size_t seen = first;
  std::size_t looked_at = 0;
  // Entries with equal tags are visited together, because a cursor cannot stand between them.
  for (; at.tag < ByTag::tags && seen - first < std::min(left, most) && names.bytes() + looked_at <= most_bytes; ++at.tag) {
    for (; seen < entries.start_of(at.tag + 1); ++seen) {
      entries.prefetch_ahead(*table, seen);
      const Entry entry = table->entry(entries[seen]);
      if (table->visible(entries[seen], now, looked_at)) {
        if (!only || entry.kind().type() == *only) names.add(entry);
      } else if (entry.expired(now) && entry.key_blob() == nullptr && expired.size() < most_removed) {
        expired.add(entry);
      }
    }
  }
  left -= std::min<std::uint64_t>(left, seen - first);
  work::entries(seen - first);
  work::bytes(names.copied());
  if (at.tag == ByTag::tags) {
    at.next_group(group.depth);
  } else {
    at.depth = group.depth;
  }
  remove_expired(db, expired, now);
  if (lock) shard.changes.settle();
  return at.shard >= shard_count() ? 0 : at.encode();
}

std::uint64_t Keyspace::random_cursor() const {
  Cursor at;
  at.shard = static_cast<unsigned>(random_below(shard_count()));
  at.prefix = static_cast<std::uint32_t>(random_below(std::uint64_t{1} << Index::prefix_bits));
  return at.encode();
}

// Removes the keys with these names that have expired. Their shard is locked.
void Keyspace::remove_expired(unsigned db, const Names& names, UnixMs now) {
  Database database(*this, db, now);
  for (std::size_t i = 0; i < names.size(); ++i) database.find(key(names[i]), Access::none());
}

bool Keyspace::random_key(unsigned db, UnixMs now, Locks& held, Names& found) {
  constexpr unsigned tries = 500;
  found.clear();
  if (size(db, held) == 0) return false;
  Names expired;
  // A random shard is taken, whatever its size. Shards are about equal in size, and empty ones are passed over.
  for (unsigned i = 0; i < tries && found.size() == 0; ++i) {
    const auto index = static_cast<unsigned>(random_below(shard_count()));
    Shard& shard = *shards_[index];
    const WakeLater later;
    std::unique_lock lock(shard.mutex, std::defer_lock);
    if (!held.holds(index)) lock.lock();
    Table* const table = shard.tables[db].get();
    if (table == nullptr || table->size() == 0) continue;
    const Ref ref = table->index().sample(random_u64());
    if (ref == 0) continue;
    const Entry entry = table->entry(ref);
    std::size_t looked_at = 0;
    if (table->visible(ref, now, looked_at)) {
      found.add(entry);
      work::bytes(found.copied());
    } else if (entry.expired(now) && entry.key_blob() == nullptr) {
      expired.clear();
      expired.add(entry);
      work::bytes(expired.copied());
      remove_expired(db, expired, now);
    }
    if (lock) shard.changes.settle();
  }
  return found.size() > 0;
}

}  // namespace pinfold::store
