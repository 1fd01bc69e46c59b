#pragma once
// The entries of one database in one shard: a log that holds their bytes, and an index that finds them by key.
//
// A write appends an entry to the newest segment of a queue, or overwrites the old entry where it lies, if the new one fits
// into the old extent. An entry that was replaced or removed is marked dead. A segment whose entries are all dead is freed at
// once. A segment with some dead entries is freed when eviction or compaction has emptied it: eviction takes the segment that
// the policy picks, compaction one with many dead bytes.
//
// An entry is removed in three steps (docs/glossary.md): remove it from the index, release its references and counts, mark it
// dead.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "pinfold/base/siphash.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/eviction/policy.hpp"
#include "pinfold/store/budget.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/departures.hpp"
#include "pinfold/store/entry.hpp"
#include "pinfold/store/entry_use.hpp"
#include "pinfold/store/growth.hpp"
#include "pinfold/store/index.hpp"
#include "pinfold/store/log.hpp"
#include "pinfold/store/policy_settings.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/size_classes.hpp"
#include "pinfold/store/value.hpp"
#include "pinfold/store/wrong_type.hpp"

namespace pinfold::store {

/// The time and the counters for removals that the store makes by itself (expiry, eviction). The shard owns the counters.
struct Housekeeping {
  UnixMs now;  // entries whose time was up by then are removed as expired; 0: none are, because expiry is suspended
  std::uint64_t& expired;
  std::uint64_t& evicted;
  Departures& departures;
  UnixMs clock;  // the present time, also while `now` is 0: observers are told it
};

/// The result of a step of eviction or compaction.
enum class Reclaimed : std::uint8_t {
  impossible,  // no segment can be emptied
  unfinished,  // the segment is not empty yet
  nothing,     // the segment was emptied, but the entries that were kept occupy as many bytes as before
  something,   // the segment was emptied, and the table occupies less
};

/// Not thread-safe: guarded by the shard's lock. Sizes are in bytes. A look-up or a write by key is O(1) plus the bytes that it
/// copies. Entries and pointers that a function returns are valid until the next write to the shard. If a function lacks
/// memory, its result says so, and nothing has changed. The constructor and purge() throw std::bad_alloc. While a purge is pending,
/// purge_some(), evict() and compact() may throw it too.
class Table {
 public:
  /// `occupied` is the shard's count of bytes in segments and blocks, for all its tables. The table keeps it up to date, but
  /// its destructor does not touch it, because a table may be destroyed without the lock. The table tells `changes` of removals
  /// and purges, as changes in database `db`. All other changes are told elsewhere (changes.hpp). All that is passed by
  /// reference must outlive the table.
  Table(SegmentPool& pool, Memory& memory, const HashKey& hash_key, const PolicySettings& settings, std::atomic<std::uint64_t>& occupied,
        Changes& changes, unsigned db);
  ~Table();
  /// Frees the values outside of the log, the segments and the index, as far as the budget goes. Returns true when nothing is
  /// left. After the first call, only dismantle(), audit() and the destructor may be called. No other thread may reach the
  /// table; no lock is needed.
  bool dismantle(Budget& budget);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  /// From now on the table is that of database `db` (SWAPDB).
  void set_database(unsigned db) { db_ = db; }

  /// The entry under `key`, expired or not. If a pending purge hits the entry, find() applies the purge first.
  std::optional<Entry> find(const Key& key);
  /// A find() that changes nothing. It does not find an entry that a pending purge is still to remove or to make stale.
  std::optional<Entry> glance(const Key& key);

  /// Stores a plain string: the bytes of `blob` if it is set, otherwise `text`. Takes over the reference of `blob`, also if it
  /// returns false. False: no memory, and nothing has changed.
  bool put(const Key& key, std::string_view text, Blob blob, const PutOptions& options);
  /// Stores a value that is no plain string. False: no memory, or more packed bytes than TypedValue::most_packed; nothing has
  /// changed.
  bool put(const Key& key, TypedValue value, const PutOptions& options);
  /// Puts packed bytes in the place of those that the entry of the key has, which must be a packed value of another type than a string.
  /// The deadline stays, and so does the place. Returns false, with nothing changed, if the entry has to be written anew, and if there is
  /// no live entry.
  bool replace_packed(const Key& key, ValueKind kind, std::string_view bytes, UnixMs now);
  /// Where the entry of the key lies; 0 if there is none. Valid until the table is changed.
  Ref find_ref(const Key& key) {
    const Index::Slot slot = find_slot(key);
    return slot ? *slot.ref : 0;
  }
  /// Calls `change` with the value of an entry, if it lies outside of the log; otherwise returns false. `change` may alter the value. It
  /// may put another one of the same kind in its place, but not in that of a Collection to which nothing else refers
  /// (Collection::unique). Throws WrongType if the value is of another type.
  template <class Change>
  bool change(Ref ref, Type type, Change&& change) {
    const Entry e = entry(ref);
    if (!e.typed() || e.kind().type() != type) throw WrongType();
    if (!e.has_value_outside()) return false;
    if (const Handle handle = e.handle(); is_unshared_collection(handle)) {
      change_handle(ref, handle, std::forward<Change>(change));
    } else {
      change_handle(ref, std::forward<Change>(change));
    }
    return true;
  }
  /// Stores `size` zeros. Returns the bytes, for the caller to write to. Null: no memory, and nothing has changed.
  char* create(const Key& key, std::size_t size, const PutOptions& options);
  /// Does what Database::resize() promises, for an entry that exists and is a plain string. If the value has to grow in a
  /// block, the block gets room for `capacity` bytes, or for `size` if the value was empty.
  char* resize(const Key& key, std::size_t size, std::size_t capacity);
  /// What resize() with the same arguments would take.
  struct Resizing {
    std::size_t cost = 0;    // bytes of memory; 0 if the value needs none
    std::size_t copied = 0;  // the most bytes of the value that would be copied
    bool moves = false;      // whether the value would move to a new block
  };
  Resizing plan_resizing(const Key& key, std::size_t size, std::size_t capacity);
  /// A reference to the block of the value; empty if the value has none. The entry must exist.
  Blob share_block(const Key& key);
  /// Whether the value still lies where it lay when the block of `growth` was prepared: in the block `source`, or inline if
  /// there is no `source`. An inline value may have changed. The entry must exist.
  bool is_from(const Key& key, const Growth& growth);
  /// Does what create() does, with a prepared block of zeros as the value.
  char* create_from(const Key& key, Blob block, std::size_t size, const PutOptions& options);
  /// Does what resize() does, with a prepared block as the new value. The block begins with the bytes of the old block; an
  /// inline value is copied into it here.
  char* grow_into(const Key& key, Blob block, std::size_t size);
  /// Sets the deadline of an entry; 0 clears it. An entry without a stale window gets this one. False if there is no entry, or no memory.
  bool set_expiry(const Key& key, UnixMs at, std::uint32_t stale_ms);
  /// Makes a live entry stale as of `at`. An entry without a deadline is then stale for `stale_ms` milliseconds (its
  /// deadline is set an hour before `at`, and its stale window is an hour longer); an entry with a deadline keeps its gone_at().
  /// False if there is no live entry, or no memory.
  bool make_stale(const Key& key, UnixMs at, std::uint32_t stale_ms);
  /// Removes the entry and tells observers `cause`, as of `now`. False if there is no entry.
  bool remove(const Key& key, Cause cause = Cause::deleted, UnixMs now = 0);

  /// Whether one more purge may be pending in this table.
  bool can_purge(const Purge& purge) { return purges_ == nullptr || purges_->has_room_for(purge); }
  /// Adds a purge. It is in force for every look-up at once; the sweep (purge_some()) applies it to the other entries. Throws
  /// std::bad_alloc; then the purge is not in force in this table.
  void purge(const std::shared_ptr<Purge>& purge, const TagMarks& tags);
  /// Sweeps for the pending purges, as far as the budget goes. Returns false when no purge is pending any more.
  bool purge_some(Budget& budget);

  /// Overwrites what removed entries have left in the table, as far as the budget goes: dead entries, the unused bytes behind
  /// entries in use and in their blocks, and the unused end of each segment. Returns false when all segments have been seen. A
  /// new number in `pass` begins a new pass.
  bool erase_some(std::uint64_t pass, Budget& budget);

  /// Entries, expired and negative ones included.
  std::uint64_t size() const { return size_; }
  /// Entries with a deadline.
  std::uint64_t expires() const { return expires_; }
  /// What the entries with this policy slot occupy.
  EntryUse use_of(std::uint8_t slot) const { return uses_ != nullptr ? (*uses_)[slot] : EntryUse{}; }
  /// What the negative entries occupy.
  EntryUse negatives() const { return negatives_; }
  /// The entries whose values lie outside of the log, by SizeClasses::outside_class(). Exact.
  const std::array<std::uint64_t, SizeClasses::outside>& outside_sizes() const { return outside_sizes_; }
  /// Takes the entries out of the counts of policies and negative entries. Must be called when the table is taken out of its
  /// shard.
  void leave_policies();
  /// Bytes of segments, and of blocks to which entries refer.
  std::uint64_t occupied() const { return log_.occupied(); }
  const Index& index() const { return index_; }
  /// Starts fetching into the processor's cache the entry that most likely has this hash.
  void prefetch_entry(std::uint64_t hash);
  /// Whether plain commands find this entry: it is live, and no pending purge hits it. For an entry that was met in the index
  /// or in a segment, not looked up by key. Adds the bytes that were compared for purges to `looked_at`.
  bool visible(Ref ref, UnixMs now, std::size_t& looked_at) const {
    return entry(ref).live(now) && (purges_ == nullptr || purge_of(ref, looked_at) == nullptr);
  }
  Entry entry(Ref ref) const { return log_.entry(ref); }

  /// Evicts entries from the segment that the policy picks, from its oldest entry on, as far as the budget goes. If entries of
  /// the segment refer to blocks, it also stops when `wanted` bytes, or 1 MB, have been freed. The next call goes on in the same segment.
  /// `pressure` is that of eviction::Reading. With `patient` the pressure counts as 0 while the priority or quota of
  /// some policy says that its entries are evicted first (Table::Order).
  Reclaimed evict(const Housekeeping& keeping, std::uint64_t wanted, unsigned pressure, bool patient, Budget& budget);
  /// Prepares a bounded part of the memory that eviction will need, so that the first evictions need not wait for pages.
  /// Returns false when all is prepared.
  bool prepare_eviction();
  /// Removes expired entries from segments whose earliest deadline has passed, as far as the budget goes. Several calls make
  /// one round through all segments; returns false at the end of a round.
  bool expire_some(const Housekeeping& keeping, Budget& budget);
  /// Moves the entries in use out of a segment with many dead bytes, if the table has many dead bytes, as far as the budget
  /// goes.
  Reclaimed compact(const Housekeeping& keeping, Budget& budget);

  /// Frees memory of the index if the index is much too large for its entries. One call does a bounded piece; returns false
  /// when there is nothing more to do.
  bool shrink_index();

  /// Whether the table is empty, and nothing has been written to it since the last call, which found it empty too. A table that
  /// requests fill and empty again and again is not idle: to remove it each time would cost a segment for each key.
  bool idle();

  /// The sum of memory_of() for all entries.
  std::uint64_t entry_bytes() const;
  /// Bytes that the entry occupies in the log and in blocks, and on average in the index.
  std::uint64_t memory_of(const Entry& entry) const;

  /// The result of a recount: what audit() has found.
  struct Audit {
    std::uint64_t entries_in_use = 0;
    std::uint64_t bytes_in_use = 0;
    std::uint64_t dead_bytes = 0;
    std::uint64_t with_deadline = 0;
    std::uint64_t segments = 0;
    std::uint64_t directory = 0;  // bytes
    std::map<const void*, std::size_t> index_blocks;
    std::uint64_t ghost_bytes = 0;
    std::uint64_t block_references = 0;
    struct Block {
      Handle handle;
      std::size_t bytes = 0;
      std::size_t entries = 0;     // entries that refer to the block, as counted in the log
      std::size_t stores = 0;      // the same, as the block itself counts them
      std::size_t references = 0;  // references of entries and of readers
    };
    std::map<void*, Block> blocks;
    std::array<std::uint64_t, SizeClasses::outside> outside_sizes{};
    bool consistent = true;  // whether counters, queues, index and log agree
  };
  /// Recounts everything from the log itself. Of a table that is being dismantled it counts what is left. O(entries); for
  /// tests.
  Audit audit();

 private:
  Index::Slot find_slot(const Key& key);
  Index::Slot apply_purges(const Key& key, Index::Slot slot);
  Index::Slot apply_purge(const Key& key, Index::Slot slot, Purge& purge, Budget& budget);
  Purge* purge_of(Ref ref, std::size_t& looked_at) const;
  std::size_t cost_to_sweep(Ref ref) const;
  void purge_entry(Ref ref, std::uint64_t hash, Purge& purge, Budget& budget);
  bool stale_entry(const Key& key, Index::Slot slot, UnixMs at, std::uint32_t stale_ms);
  void note_purged(const Entry& entry, Purge& purge) const;
  bool sweep_entry(Ref ref, Budget& budget);
  bool sweep_segment(std::uint32_t id, std::uint32_t& at, Budget& budget);
  bool erase_segment(std::uint32_t id, Budget& budget);
  bool wipe_values(const Entry& entry, std::uint64_t& at, Budget& budget) const;
  void wipe_stored(Ref ref);
  void erase_again(std::uint32_t id);
  void account_purges();
  bool provide_uses();
  void count_use(const Entry& entry, int sign);
  void count_growth(const Entry& entry, std::int64_t bytes);
  // In which order entries are to be evicted, because of the priorities of their policies.
  struct Order {
    bool some_first = false;  // whether some entries are to be evicted before others
    bool protects = true;     // whether protected entries are kept; they are not if they occupy more than half of the limit
  };
  Order eviction_order() const;
  bool outlasts(const Entry& entry) const;
  Priority priority_of(const Entry& entry, const Order& order) const;
  void note_departure(const Entry& entry, Priority priority, const Housekeeping& keeping) const;
  std::uint64_t hash_of(Ref ref) const {
    const Entry e = entry(ref);
    if (e.keeps_hash()) return e.kept_hash();
    work::bytes(e.key().size());
    return siphash13(hash_key_, e.key());
  }

  void follow_policy();
  void fit_policy();
  void account_ghosts();
  std::uint32_t access_to_keep() const;
  bool store_entry(const Key& key, Index::Slot slot, EntryParts&& parts, std::size_t extent);
  template <class Fill>
  bool put_filled(const Key& key, const PutOptions& options, Fill&& fill);
  bool fill_parts(EntryParts& parts, const Key& key, std::string_view text, Blob& blob);
  bool fill_key(EntryParts& parts, const Key& key);
  bool rewrite(const Key& key, Index::Slot slot, UnixMs expires_at, std::string_view extra);
  char* value_bytes(const Key& key);
  char* resize_blob(const Key& key, Index::Slot slot, std::size_t size, std::size_t capacity);
  void uncount(Ref ref);
  void release(Ref ref);
  void release(Ref ref, Budget& budget);
  void account_blobs(Segment& segment, const Entry& entry, int sign);
  void release_handles(const Entry& entry);
  void release_handles(const Entry& entry, Budget& budget);
  template <class Change>
  void change_handle(Ref ref, Change&& change);
  static bool is_unshared_collection(Handle handle);
  template <class Change>
  void change_handle(Ref ref, Handle handle, Change&& change);
  void account_growth(Ref ref, std::uint64_t before, std::uint64_t now);
  void remove(Ref ref, std::uint64_t hash, Cause cause, const Housekeeping& keeping, Budget& budget);

  struct Emptying : Log::Place {
    std::int64_t change = 0;  // by how many bytes occupied() has changed since the emptying of this segment began
    UnixMs cutoff = 0;        // eviction::Reading::cutoff for the entries read last, if the segment was picked for its deadlines
    // During an erasure: the offset of the entry whose value is being wiped before it moves, and how far that has come.
    std::uint32_t wiping = 0;
    std::uint64_t inside = 0;
  };
  struct Expiring : Log::Place {
    UnixMs before = no_deadline;    // Segment::earliest when expire_some() came to this segment
    UnixMs earliest = no_deadline;  // the earliest gone_at() of the entries that were met and have stayed
  };
  struct Resident {
    Ref ref;
    std::uint64_t hash;
  };
  struct Batch;
  static constexpr std::uint64_t no_bound = UINT64_MAX;
  void begin(Emptying& place, std::uint32_t id);
  Reclaimed note_emptied(Emptying& place, std::uint64_t before, bool done);
  void collect(const Log::Place& place, Batch& batch, Budget& budget) const;
  template <class Keep>
  bool empty_some(Emptying& place, const Housekeeping& keeping, std::uint64_t wanted, UnixMs* cutoff, Budget& budget, Keep&& keep);
  template <class Keep>
  void empty_entry(const Resident& resident, const Housekeeping& keeping, Budget& budget, Keep&& keep);
  bool choose_segment(eviction::Victim victim, unsigned& pressure, Emptying*& place);
  bool wipe_before_move(Emptying& place, Ref ref, Budget& budget) const;
  std::uint64_t returned_by(const Entry& entry) const;
  template <class Visit>
  void walk(std::uint32_t id, Visit&& visit);
  bool audit_segment(std::uint32_t id, Audit& sums, Log::Queue& queue);
  std::uint32_t emptiest_segment();
  std::uint32_t random_segment(std::optional<eviction::Queue> only = {}) const;
  std::uint32_t soonest_segment() const;
  bool evictable(std::uint32_t id) const;
  void expire_segment(const Housekeeping& keeping, Budget& budget);
  UnixMs earliest_of(std::uint32_t id) const {
    const UnixMs earliest = log_.segment(id).earliest;
    return log_.valid(expiring_) && expiring_.id == id ? std::min(earliest, expiring_.before) : earliest;
  }

  Memory& memory_;
  const HashKey& hash_key_;
  const PolicySettings& settings_;
  Changes& changes_;
  unsigned db_;
  Index index_;
  eviction::Policy policy_;
  std::uint64_t ghost_bytes_ = 0;
  Log log_;
  std::uint64_t size_ = 0;
  std::uint64_t expires_ = 0;
  std::optional<std::uint64_t> empty_at_;  // the log's sequence at the last call of idle(), if the table was empty
  bool dismantling_ = false;
  std::array<Emptying, eviction::queue_count> evicting_;  // for each queue the segment that eviction empties
  Emptying compacting_;
  Expiring expiring_;
  std::uint32_t sweep_at_ = 1;                       // the id of the segment that expire_some() or dismantle() looks at next
  std::uint32_t dismantled_ = 0;                     // the offset at which dismantle() goes on in that segment
  std::unique_ptr<std::array<EntryUse, 256>> uses_;  // by policy slot; null until the first entry with a policy is written
  EntryUse negatives_;
  std::array<std::uint64_t, SizeClasses::outside> outside_sizes_{};
  std::unique_ptr<Purges> purges_;  // null while no purge is pending
  std::uint64_t purges_bytes_ = 0;  // bytes of *purges_ that have been added to Memory
  // How far erase_some() has come.
  struct Erasing {
    std::uint64_t pass = 0;
    std::uint32_t at = 1;        // the id of the segment to look at next
    std::uint32_t end = 1;       // segments with this id or a higher one were opened during the pass, and need no look
    std::uint32_t offset = 0;    // where to go on in the segment, if it still has the sequence number below
    std::uint64_t sequence = 0;  // of the segment
    // Where to go on in the value outside of the log that the entry at `offset` refers to (ValueType::wipe_slack).
    std::uint64_t inside = 0;
  };
  Erasing erasing_;
};

template <class Change>
void Table::change_handle(Ref ref, Change&& change) {
  Entry e = entry(ref);
  Segment& segment = log_.segment_of(ref);
  account_blobs(segment, e, -1);
  // Puts the handle back, also if `change` throws: the entry must not keep a handle that is no longer valid.
  struct PutBack {
    ~PutBack() {
      entry.set_handle(handle.detach());
      table.account_blobs(segment, entry, 1);
      if (table.memory_.erasing() != 0) table.wipe_stored(ref);
    }
    Table& table;
    Segment& segment;
    Ref ref;
    Entry entry;
    OwnedHandle handle;
  } back{*this, segment, ref, e, OwnedHandle(e.handle())};
  back.handle.free_in(memory_.leftovers());  // if `change` puts another value in its place
  change(back.handle);
}

// Does what change_handle() does, in less time, for a collection that nobody else refers to: there is no reason to put another one in its
// place, and it stays in the counts meanwhile.
template <class Change>
void Table::change_handle(Ref ref, Handle handle, Change&& change) {
  struct PutBack {
    ~PutBack() { table.account_growth(ref, before, owned.detach().memory()); }
    Table& table;
    Ref ref;
    OwnedHandle owned;
    std::uint64_t before = owned.get().memory();
  } back{*this, ref, OwnedHandle(handle)};
  change(back.owned);
}

template <class Visit>
void Table::walk(std::uint32_t id, Visit&& visit) {
  const Segment& segment = log_.segment(id);
  for (std::uint32_t at = 0; at < segment.used;) {
    work::entries();
    Entry e(segment.base + at);
    const std::size_t extent = e.extent();
    if (!e.dead()) visit(Log::ref(id, at), e);
    at += static_cast<std::uint32_t>(extent);
  }
}

}  // namespace pinfold::store
