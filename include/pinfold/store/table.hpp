#pragma once
// The entries of one database in one shard: an index and the logs (small, main and pinned queue) that
// hold them.
//
// Writes append to the newest segment of a queue, or overwrite in place where the new entry fits the old one's
// extent. What is overwritten, deleted or expired is marked dead; a segment that is all dead is freed at once, one
// that is partly dead when it reaches the old end of its queue (eviction) or when compaction picks it. Not
// thread-safe: guarded by the shard's lock.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "pinfold/base/hash.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/eviction/policy.hpp"
#include "pinfold/store/budget.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/entry.hpp"
#include "pinfold/store/entry_use.hpp"
#include "pinfold/store/growth.hpp"
#include "pinfold/store/index.hpp"
#include "pinfold/store/log.hpp"
#include "pinfold/store/policy_settings.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::store {

/// What removals on the store's own account (expiry, eviction) report to.
struct Housekeeping {
  UnixMs now;
  std::uint64_t& expired;
  std::uint64_t& evicted;
  UnixMs clock = now;  // `now` is 0 while nothing expires
};

/// What a step of eviction or compaction has come to.
enum class Reclaimed : std::uint8_t {
  impossible,  // there is nothing to be had
  unfinished,  // the segment is not empty yet
  nothing,     // it is, and what stayed takes up as much as it did
  something,
};

class Table {
 public:
  /// `occupied` is kept at the bytes of all tables of the shard; it is not touched on destruction, which may happen
  /// outside of the lock. Removals are told to `changes` as those of database `db`; what Database does, it tells itself.
  Table(SegmentPool& pool, Memory& memory, const HashKey& hash_key, const PolicySettings& settings, std::atomic<std::uint64_t>& occupied,
        Changes& changes, unsigned db);
  ~Table();
  /// Frees what the segments hold, then them and the index, as far as the budget goes; true when nothing is left. Only the
  /// destructor may follow.
  bool dismantle(Budget& budget);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  /// Its entries are those of another database from now on.
  void set_database(unsigned db) { db_ = db; }

  /// The entry under `key`, expired or not. O(1).
  std::optional<Entry> find(const Key& key);
  /// The same, but changes nothing: what a purge is still to remove or to make stale is not found, and stays where it is.
  std::optional<Entry> glance(const Key& key);

  /// Stores a value of inline text or (`blob`, whose reference is taken over in any case) a block. False: no memory,
  /// nothing changed.
  bool put(const Key& key, std::string_view text, Blob blob, const PutOptions& options);
  /// The same with a value of another type, or of another form than a plain string's. False as well if its packed bytes are too many.
  bool put(const Key& key, TypedValue value, const PutOptions& options);
  /// Has `change` alter what the value of an entry that is there keeps outside of the log, which may move. Only where there is a handle,
  /// and it stays of its kind.
  template <class Change>
  void change(const Key& key, Change&& change) {
    change_handle(*find_slot(key).ref, std::forward<Change>(change));
  }
  /// put() of `size` zeros. Returns them, to be written to; null: no memory, nothing changed.
  char* create(const Key& key, std::size_t size, const PutOptions& options);
  /// As Database::resize, of an entry that is there. A value that is a block, and has to grow, gets room for `capacity` bytes.
  char* resize(const Key& key, std::size_t size, std::size_t capacity);
  /// What resize() to `size` with room for `capacity` would take.
  struct Resizing {
    std::size_t cost = 0;    // of memory, 0 if it can be done in place
    std::size_t copied = 0;  // bytes of the value, at most
    bool moves = false;      // to a block of that capacity
  };
  Resizing plan_resizing(const Key& key, std::size_t size, std::size_t capacity);
  /// The value's block; empty if it is none.
  Blob share_block(const Key& key);
  /// Whether the block that was prepared begins with what the value is now.
  bool is_from(const Key& key, const Growth& growth);
  /// As create() and resize(), with a block for the value: it begins with zeros, or with the bytes of the block that it is now.
  char* create_from(const Key& key, Blob block, std::size_t size, const PutOptions& options);
  char* grow_into(const Key& key, Blob block, std::size_t size);
  bool set_expiry(const Key& key, UnixMs at);
  /// Makes a live entry stale from `at` on; one without a deadline can then be used for `stale_ms`. False if there is no
  /// live one, or no memory.
  bool make_stale(const Key& key, UnixMs at, std::uint32_t stale_ms);
  /// Tells `cause`, which happened at `now`. False if there is no entry.
  bool remove(const Key& key, Cause cause = Cause::deleted, UnixMs now = 0);

  /// Takes effect for every look-up at once; purge_some() finds the rest. False: too many are waiting for that.
  bool can_purge(const Purge& purge) { return purges_ == nullptr || purges_->has_room_for(purge); }
  void purge(const std::shared_ptr<Purge>& purge, const TagMarks& tags);
  /// Goes through the segments that a purge may be for. False when all has been seen.
  bool purge_some(Budget& budget);

  /// Overwrites what is left of entries that are gone: dead ones, what lies behind live ones and their blocks, the rest of each
  /// segment. `pass` tells one time from the next. False when all has been seen.
  bool erase_some(std::uint64_t pass, Budget& budget);

  std::uint64_t size() const { return size_; }
  std::uint64_t expires() const { return expires_; }
  EntryUse use_of(std::uint8_t slot) const { return uses_ != nullptr ? (*uses_)[slot] : EntryUse{}; }
  EntryUse negatives() const { return negatives_; }
  /// Before it is dropped: its entries no longer count for policies.
  void leave_policies();
  /// Bytes of segments and blocks.
  std::uint64_t occupied() const { return log_.occupied(); }
  const Index& index() const { return index_; }
  /// Starts fetching the entry that most likely has this hash.
  void prefetch_entry(std::uint64_t hash);
  /// Whether the entry, met without looking up its key, is there for plain commands.
  /// Adds the bytes that were looked at for purges to `looked_at`.
  bool visible(Ref ref, UnixMs now, std::size_t& looked_at) const {
    return entry(ref).live(now) && (purges_ == nullptr || purge_of(ref, looked_at) == nullptr);
  }
  Entry entry(Ref ref) const { return log_.entry(ref); }

  /// Evicts from the segment that must give way by the policy, entry by entry from its old end: as far as the budget goes, or,
  /// where large values hang on the segment, until `wanted` bytes have come back. The next call goes on there. `pressure` as
  /// eviction::Reading's; with `patient`, it does not count while there are entries that are to go before others.
  Reclaimed evict(const Housekeeping& keeping, std::uint64_t wanted, unsigned pressure, bool patient, Budget& budget);
  /// Gets ready to evict soon, a little each time: without it the first evictions wait for pages. False when it is.
  bool prepare_eviction();
  /// Looks for segments that owe expired entries and removes them. Goes through all segments in as many calls as it takes;
  /// false at the end of such a round.
  bool expire_some(const Housekeeping& keeping, Budget& budget);
  /// Rewrites the live entries of the emptiest segment if dead bytes have piled up.
  Reclaimed compact(const Housekeeping& keeping, Budget& budget);

  /// Gives memory of the index back if it has become much too large for what is in it; bounded, and as expire_some.
  bool shrink_index();

  /// What the entry under `key` occupies, its share of the index included.
  std::uint64_t memory_of(const Entry& entry) const;

  struct Audit {
    std::uint64_t live_entries = 0;
    std::uint64_t live_bytes = 0;
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
      std::size_t entries = 0;     // that hold it
      std::size_t stores = 0;      // how many of them the block itself knows of
      std::size_t references = 0;  // by those and by readers
    };
    std::map<void*, Block> blocks;
    bool consistent = true;  // counters, queues, index and log agree
  };
  /// Recounts everything from the log itself; of a table that is being dismantled, what is left of it. O(entries); for
  /// tests.
  Audit audit();

 private:
  Index::Slot find_slot(const Key& key);
  Index::Slot settle_purges(const Key& key, Index::Slot slot);
  Index::Slot apply_purge(const Key& key, Index::Slot slot, Purge& purge);
  Purge* purge_of(Ref ref, std::size_t& looked_at) const;
  std::size_t cost_to_sweep(Ref ref) const;
  void purge_entry(Ref ref, std::uint64_t hash, Purge& purge);
  bool stale_entry(const Key& key, Index::Slot slot, UnixMs at, std::uint32_t stale_ms);
  void note_purged(const Entry& entry, Purge& purge) const;
  bool sweep_entry(Ref ref, Budget& budget);
  bool sweep_segment(std::uint32_t id, std::uint32_t& at, Budget& budget);
  bool erase_segment(std::uint32_t id, Budget& budget);
  bool erase_behind(Entry entry, Budget& budget);
  void account_purges();
  bool provide_uses();
  void count_use(const Entry& entry, int sign);
  /// What the standings of policies come to at the moment.
  struct Order {
    bool some_first = false;  // there are entries that go before others
    bool protects = true;     // protected ones are not too many to be kept
  };
  Order eviction_order() const;
  Standing standing_of(const Entry& entry, const Order& order) const;
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
  void release(Ref ref);
  void account_blobs(Segment& segment, const Entry& entry, int sign);
  void release_handles(const Entry& entry);
  template <class Change>
  void change_handle(Ref ref, Change&& change);
  void remove(Ref ref, std::uint64_t hash, Cause cause, const Housekeeping& keeping);

  struct Emptying : Log::Place {
    std::int64_t change = 0;  // of occupied() so far
    UnixMs cutoff = 0;        // of the entries read last, if the segment was picked for its deadlines (eviction::Reading)
  };
  struct Expiring : Log::Place {
    UnixMs before = no_deadline;    // what Segment::earliest was
    UnixMs earliest = no_deadline;  // of the entries passed
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
  bool empty_some(Log::Place& place, const Housekeeping& keeping, std::uint64_t wanted, UnixMs* cutoff, Budget& budget, Keep&& keep);
  template <class Keep>
  void empty_entry(const Resident& resident, const Housekeeping& keeping, Budget& budget, Keep&& keep);
  bool choose_segment(eviction::Victim victim, unsigned& pressure, Emptying*& place);
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
  bool dismantling_ = false;
  std::array<Emptying, eviction::queue_count> evicting_;  // by queue
  Emptying compacting_;
  Expiring expiring_;
  std::uint32_t sweep_at_ = 1;                       // the next segment that expire_some or dismantle looks at
  std::uint32_t dismantled_ = 0;                     // how far dismantle has come in it
  std::unique_ptr<std::array<EntryUse, 256>> uses_;  // by policy slot; only once there was one
  EntryUse negatives_;
  std::unique_ptr<Purges> purges_;  // only while there are any
  std::uint64_t purges_bytes_ = 0;  // as accounted
  struct Erasing {
    std::uint64_t pass = 0;
    std::uint32_t at = 1;      // the next segment to look at
    std::uint32_t end = 1;     // those from here on were opened during the pass
    std::uint32_t offset = 0;  // where to go on in it, if it is still the one with this sequence
    std::uint64_t sequence = 0;
    std::uint64_t inside = 0;  // how far what the value of the entry there keeps outside of the log has been seen
  };
  Erasing erasing_;
};

template <class Change>
void Table::change_handle(Ref ref, Change&& change) {
  Entry e = entry(ref);
  Segment& segment = log_.segment_of(ref);
  account_blobs(segment, e, -1);
  // Also where `change` throws: the entry must not keep what is gone.
  struct PutBack {
    ~PutBack() {
      entry.set_handle(handle.detach());
      table.account_blobs(segment, entry, 1);
    }
    Table& table;
    Segment& segment;
    Entry entry;
    OwnedHandle handle;
  } back{*this, segment, e, OwnedHandle(e.handle())};
  change(back.handle);
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
