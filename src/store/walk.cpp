// Walks over a whole database: SCAN, KEYS and RANDOMKEY.

#include "pinfold/store/walk.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard.hpp"

namespace pinfold::store {

void Names::clear() {
  text_.clear();
  names_.clear();
}

void Names::add(const Entry& entry) {
  if (void* const block = entry.key_blob()) return names_.push_back({0, 0, Blob::share(block)});
  const std::string_view key = entry.key();
  names_.push_back({text_.size(), key.size(), Blob()});
  text_ += key;
}

// The part that lies in the group which covers the walk's place and ends with the prefix `group_end`.
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

 private:
  std::array<std::size_t, tags + 1> starts_{};
  std::vector<Ref> refs_;
};

}  // namespace

void Keyspace::collect(unsigned db, Walk& walk, UnixMs now, Locks& held, Names& names) {
  constexpr std::size_t most_entries = 512;
  constexpr std::size_t most_bytes = 192 * 1024;
  constexpr std::size_t ahead = 8;
  names.clear();
  bool foreign = false;  // the group holds entries of other prefixes too
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
    for (; part.tag < ByTag::tags; ++part.tag) {
      const std::size_t next = entries.start_of(part.tag + 1);
      if (at > first && (next - first > most_entries || names.bytes() > most_bytes)) break;
      for (; at < next; ++at) {
        if (at + ahead < entries.size()) prefetch(table->entry(entries[at + ahead]).data());
        if (table->visible(entries[at], now)) names.add(table->entry(entries[at]));
      }
    }
    work::entries(at - first);
    work::bytes(names.bytes());
    if (part.tag == ByTag::tags) walk.leave();
  }
  if (!foreign) return;
  names.keep_if([&](std::string_view name) {
    const auto prefix = static_cast<std::uint32_t>(key(name).hash >> (64 - Index::prefix_bits));
    return prefix >= begin && prefix < end;
  });
}

}  // namespace pinfold::store
