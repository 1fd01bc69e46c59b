#pragma once
// Which clients have read which keys: the table of client-side caching (CLIENT TRACKING), and what is to be told of it.
//
// A client that caches values itself is told when one of them may no longer be used. For that, each read of such a client is noted here
// under the lock of the key's shard, as a ticket of the client in the record of the key. The first change of the key takes the record out
// of the table, and the clients whose tickets it has are told once. Names are compared without the database, as in Redis.
//
// Beyond what is told of changes, the table ends records by time: when the deadline of an entry has passed that a client has read, the
// value is stale or gone, whoever notices it next (TrackingTable::tend).
//
// Nothing here is sent. A change puts the record into a list of its shard. Before the lock is released, the list moves to the Outbox of the
// thread, which costs the same however long it is. The thread sends what is in its Outbox when nothing is locked (command/tracking_feed).
//
// A ticket names a client for as long as it tracks. It is a place in a list of all such clients and the generation of that place. So a
// client that leaves takes no record with it: its tickets are dead from then on, and are removed where they are met, and by tend().

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::cache {

/// A client that tracks. 0: nobody.
using Ticket = std::uint32_t;

/// The tickets of all clients that track. Thread-safe, except where a function says otherwise.
class Tickets {
 public:
  Tickets() = default;
  ~Tickets();
  Tickets(const Tickets&) = delete;
  Tickets& operator=(const Tickets&) = delete;

  /// A ticket for a client of this I/O thread. `owner` is what owner() returns for it. 0: there are as many as there may be. Throws
  /// std::bad_alloc.
  Ticket issue(unsigned thread, void* owner);
  /// Makes the ticket dead. Called by the client's thread.
  void retire(Ticket ticket);
  bool alive(Ticket ticket) const { return (word(ticket) & generation_mask) == generation_of(ticket); }
  /// The I/O thread of a ticket that is alive.
  unsigned thread_of(Ticket ticket) const { return word(ticket) >> generation_bits & 0xffU; }
  /// The owner of a ticket that is alive and of this thread, which calls it. Null otherwise.
  void* owner(Ticket ticket, unsigned thread) const {
    const Slot& slot = slot_of(ticket);
    const std::uint32_t now = slot.word.load(std::memory_order_relaxed);
    return (now & generation_mask) == generation_of(ticket) && now >> generation_bits == thread ? slot.owner : nullptr;
  }

 private:
  static constexpr unsigned slot_bits = 22;
  static constexpr unsigned generation_bits = 32 - slot_bits;
  static constexpr std::uint32_t generation_mask = (1U << generation_bits) - 1;
  static constexpr std::uint32_t nobodys = 1U << 31;  // in a word: the slot belongs to no thread, so none looks at its owner
  static constexpr std::size_t slots_of_chunk = 1024;
  static constexpr std::size_t most_chunks = (std::size_t{1} << slot_bits) / slots_of_chunk;

  // A slot belongs to the thread in its word from issue() to retire(): only that thread changes it. `owner` is read by that thread only.
  struct Slot {
    std::atomic<std::uint32_t> word{0};  // the generation, 1 to 1023; and the thread
    std::uint32_t next_free = 0;         // the index of the next free slot; 0: none
    void* owner = nullptr;
  };

  static std::uint32_t generation_of(Ticket ticket) { return ticket >> slot_bits; }
  static std::size_t index_of(Ticket ticket) { return ticket & ((1U << slot_bits) - 1); }
  Slot& slot_at(std::size_t index) const { return chunks_[index / slots_of_chunk].load(std::memory_order_acquire)[index % slots_of_chunk]; }
  Slot& slot_of(Ticket ticket) const { return slot_at(index_of(ticket)); }
  std::uint32_t word(Ticket ticket) const { return slot_of(ticket).word.load(std::memory_order_relaxed); }

  std::mutex mutex_;        // guards the next two, and the list of free slots
  std::size_t used_ = 1;    // slots that were ever issued; slot 0 is none
  std::uint32_t free_ = 0;  // the first free slot
  std::array<std::atomic<Slot*>, most_chunks> chunks_{};
};

/// What is known of one key that clients have read; and the form in which a change is on its way to clients. Allocated with malloc(), with
/// its tickets and its name behind it.
struct TrackedKey {
  static constexpr std::uint32_t no_deadline = UINT32_MAX;

  TrackedKey* next;         // in its bucket, or in the list in which it is on its way
  std::uint32_t hash;       // bits of the key's hash that do not choose the shard
  std::uint32_t name_size;  // bytes
  std::uint32_t count;      // tickets, in ascending order
  std::uint32_t capacity;   // tickets for which there is room
  union {
    std::uint32_t deadline;  // in the table: the earliest of its entries' deadlines (TrackingTable::time_of); no_deadline: none
    Ticket writer;           // on its way: the client whose command has changed the key; 0: another cause, or not known
  };
  // As bits. In the table: those in which clients have read it, whose deadlines are in `deadline`. On its way with `broadcast`: those in
  // which it has changed.
  std::uint16_t databases;
  bool by_command;  // on its way: a command has changed the key, and no deadline, eviction or purge
  bool broadcast;   // on its way: to be told to clients that track prefixes

  Ticket* tickets() { return reinterpret_cast<Ticket*>(this + 1); }
  const Ticket* tickets() const { return reinterpret_cast<const Ticket*>(this + 1); }
  std::string_view name() const { return {reinterpret_cast<const char*>(tickets() + capacity), name_size}; }
  /// About the bytes that such a record takes, with what malloc() adds.
  static std::size_t memory_of(std::size_t name, std::size_t capacity);
  std::size_t memory() const { return memory_of(name_size, capacity); }
};

/// Records on their way, and what is to be told beside them. Not thread-safe.
struct Invalidations {
  TrackedKey* first = nullptr;
  TrackedKey* last = nullptr;
  bool all = false;            // all that clients have cached is to be forgotten
  bool all_broadcast = false;  // the same for clients that track prefixes

  bool empty() const { return first == nullptr && !all && !all_broadcast; }
  void add(TrackedKey* key) {
    key->next = nullptr;
    (last != nullptr ? last->next : first) = key;
    last = key;
  }
  /// Takes over what `other` has. O(1).
  void splice(Invalidations& other) {
    if (other.first != nullptr) {
      (last != nullptr ? last->next : first) = other.first;
      last = other.last;
    }
    all |= other.all;
    all_broadcast |= other.all_broadcast;
    other = {};
  }
};

class TrackingTable;

/// What a thread has yet to tell. While a Current exists, what its thread changes comes to that outbox.
class Outbox {
 public:
  Invalidations pending;
  bool any = false;  // whether `pending` has anything

  /// Takes over what `list` has. O(1).
  void add(Invalidations& list) {
    any = any || !list.empty();
    pending.splice(list);
  }

  class Current {
   public:
    explicit Current(Outbox& outbox) : before_(std::exchange(current_, &outbox)) {}
    ~Current() { current_ = before_; }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    Outbox* const before_;
  };
  /// Null: the thread has none.
  static Outbox* current() { return current_; }

 private:
  static inline constinit thread_local Outbox* current_ = nullptr;
};

/// While one exists, what commands of this thread change counts as changed by the client with this ticket, for NOLOOP.
class Writer {
 public:
  explicit Writer(Ticket ticket) : before_(std::exchange(current_, ticket)) {}
  ~Writer() { current_ = before_; }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  static Ticket current() { return current_; }

 private:
  static inline constinit thread_local Ticket current_ = 0;
  const Ticket before_;
};

/// The keys of one shard that clients have read. Not thread-safe: guarded by the shard's lock.
///
/// A hash table that grows and shrinks by one bucket at a time (linear hashing, Litwin 1980), so no hold of the lock ever moves more than
/// the records of one bucket. The buckets lie in segments of 64. Each segment knows the earliest deadline of its records, so that those
/// that are due are found without a look at the others.
class TrackedKeys final : public store::Observer {
 public:
  TrackedKeys(TrackingTable& table, unsigned shard);
  ~TrackedKeys() override;

  /// Notes that a client has read the key in this database. The entry must be as the client has read it. Returns false if that cannot be
  /// noted, for want of memory: then the client must not keep what it has read. O(1) and O(log clients of the key); once for each key and
  /// client O(clients of the key).
  bool note(Ticket ticket, const store::Key& key, unsigned db);

  std::size_t keys() const { return keys_; }
  void changed(const store::Change& change) noexcept override;
  void settle() override;

 private:
  friend class TrackingTable;
  static constexpr std::size_t buckets_of_segment = 64;
  static constexpr std::size_t window = 128;  // tickets of one record that are looked at in one hold of the lock
  struct Segment {
    std::array<TrackedKey*, buckets_of_segment> heads{};
    std::uint32_t due = TrackedKey::no_deadline;  // no record has an earlier deadline
  };
  /// All records; an object, so that a flush can put it aside as a whole.
  struct Directory {
    std::vector<std::unique_ptr<Segment>> segments;
    std::size_t buckets = 0;
    std::size_t low = 0;  // the greatest power of two that is not above `buckets`
    Directory* next = nullptr;

    std::size_t place(std::uint32_t hash) const {
      const std::size_t wide = hash & (low * 2 - 1);
      return wide < buckets ? wide : hash & (low - 1);
    }
    Segment& segment(std::size_t bucket) { return *segments[bucket / buckets_of_segment]; }
    TrackedKey*& head(std::size_t bucket) { return segment(bucket).heads[bucket % buckets_of_segment]; }
    std::size_t memory() const { return segments.capacity() * sizeof(void*) + segments.size() * (sizeof(Segment) + 16); }
  };

  TrackedKey** find(const store::Key& key);
  TrackedKey* take_out(TrackedKey** at);
  bool add(Ticket ticket, const store::Key& key, unsigned db);
  bool add_ticket(TrackedKey** at, Ticket ticket);
  void note_deadline(TrackedKey& key, const store::Key& of, unsigned db);
  void grow();
  void shrink();
  void evict_one(const TrackedKey* spared);
  void put_out(TrackedKey* key, bool by_command);
  bool add_to_last_broadcast(const store::Change& change, bool by_command);
  void broadcast(const store::Change& change, bool by_command);
  void put_aside();
  void drop_dead(TrackedKey& key, std::size_t from);
  // For TrackingTable::tend(). Each looks at about `most` records or segments, and returns whether it has come to the end.
  bool end_due(std::uint32_t now, std::size_t most);
  bool remove_dead(std::size_t most);
  void count_segment_memory(std::size_t before);

  TrackingTable& table_;
  store::Changes::Subscription subscription_;
  std::unique_ptr<Directory> directory_;  // null: no record
  Directory* aside_ = nullptr;            // put aside by flushes; tend() frees them
  std::size_t keys_ = 0;
  std::size_t items_ = 0;   // tickets
  std::size_t hand_ = 0;    // the bucket at which evict_one() goes on
  std::size_t tended_ = 0;  // the bucket at which remove_dead() goes on
  std::size_t due_at_ = 0;  // the segment at which end_due() goes on
  bool shrunk_ = false;     // records have moved to lower buckets since remove_dead() began
  std::size_t round_ = 0;   // of remove_dead(): 0 looks at records with few tickets, another one at the window before it of the others
  std::size_t widest_ = 0;  // the most tickets of a record that the present round has met
  Invalidations out_;
};

/// The tables of all shards. Thread-safe, except where a function says which locks it needs.
class TrackingTable {
 public:
  /// Subscribes to the changes of each shard, so it must be made before requests come. The keyspace must outlive it.
  explicit TrackingTable(store::Keyspace& keyspace);
  ~TrackingTable();
  TrackingTable(const TrackingTable&) = delete;
  TrackingTable& operator=(const TrackingTable&) = delete;

  /// tracking-table-max-keys; 0: as many as there is memory for. May change at run time.
  std::atomic<std::uint64_t> max_keys{1'000'000};
  /// No more clients are noted for one key, because the lock is held while their tickets are moved.
  static constexpr std::size_t most_of_key = 20'000;

  Tickets tickets;

  /// The keys of the key's shard, which must be locked while they are used.
  TrackedKeys& of(const store::Key& key) { return *shards_[keyspace_.shard_of(key)]; }

  /// Called when a client begins to track, before its first read, and when it ends. `held` must have all shards or none; with none,
  /// begin() locks one after the other if nobody tracked before.
  void begin(unsigned thread, store::Keyspace::Locks& held);
  void end(unsigned thread);
  /// Called when a client of this thread begins to track by prefixes, and when it ends.
  void begin_broadcast(unsigned thread) { count(broadcasters_of_[thread], broadcasters_, 1); }
  void end_broadcast(unsigned thread) { count(broadcasters_of_[thread], broadcasters_, -1); }
  /// Called when the ticket of a client has died: the background looks for what it has left.
  void note_dead() { dead_.store(true, std::memory_order_relaxed); }
  /// Whether clients of this I/O thread track, or track by prefixes.
  bool tracks(unsigned thread) const { return clients_of_[thread].load(std::memory_order_relaxed) > 0; }
  bool broadcasts(unsigned thread) const { return broadcasters_of_[thread].load(std::memory_order_relaxed) > 0; }

  /// Has the client told that it must not keep what it has read of this key: its read could not be noted. Without memory, all clients are
  /// told to forget everything.
  void tell(Ticket ticket, std::string_view name);
  /// Frees records that were told.
  void free(TrackedKey* first);
  /// Everything that clients have cached is to be forgotten: what reads find has changed as a whole. Any locks may be held.
  void invalidate_all();
  /// What threads without an Outbox have to tell.
  Invalidations take_orphans();
  /// Puts back what was taken.
  void give_back(Invalidations& list);
  bool has_orphans() const { return has_orphans_.load(std::memory_order_relaxed); }

  /// Ends records whose deadlines have passed, removes dead tickets, frees what flushes have put aside, and makes the table as small as
  /// max_keys says. Locks one shard at a time, for about 512 records. Called by the background worker ten times a second or so.
  void tend(UnixMs now);

  struct Figures {
    std::uint64_t clients = 0;
    std::uint64_t keys = 0;
    std::uint64_t items = 0;  // tickets in all records
    std::uint64_t evicted = 0;
    std::uint64_t aged = 0;
    std::uint64_t refused = 0;
  };
  Figures figures() const;
  /// Sets the last three to 0 (CONFIG RESETSTAT).
  void reset_counters();
  /// Bytes of records may come to so much: an eighth of maxmemory, or 1 GB without it.
  std::uint64_t share() const;

 private:
  friend class TrackedKeys;
  static constexpr unsigned most_threads = 256;

  void count(std::atomic<std::int32_t>& of_thread, std::atomic<std::int64_t>& all, int n) {
    of_thread.fetch_add(n);
    all.fetch_add(n);
  }
  // Deadlines are kept in so many milliseconds since base_, rounded up.
  static constexpr std::int64_t deadline_unit_ms = 64;
  std::uint32_t time_of(UnixMs deadline) const;
  std::uint32_t now_of(UnixMs now) const;
  bool has_room(std::size_t bytes) const;
  void add_memory(std::int64_t bytes) { keyspace_.memory().add(store::Use::tracking, bytes); }
  void hand_over(Invalidations& list);
  TrackedKey* allocate(const store::Key& key, std::size_t capacity);
  void forget_all();
  bool free_some(TrackedKeys& shard, std::size_t most);

  store::Keyspace& keyspace_;
  std::vector<std::unique_ptr<TrackedKeys>> shards_;
  const UnixMs base_;
  std::atomic<std::int64_t> clients_{0};
  std::atomic<std::int64_t> broadcasters_{0};
  std::array<std::atomic<std::int32_t>, most_threads> clients_of_{};
  std::array<std::atomic<std::int32_t>, most_threads> broadcasters_of_{};
  std::atomic<std::uint64_t> epoch_{1};      // grows when the shards are to listen no more
  std::atomic<std::uint64_t> listening_{0};  // the epoch in which every shard listens
  std::atomic<std::int64_t> keys_{0};
  std::atomic<std::int64_t> items_{0};
  std::atomic<std::uint64_t> evicted_{0};
  std::atomic<std::uint64_t> aged_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<bool> dead_{false};
  std::atomic<bool> aside_{false};  // a shard has a Directory put aside
  bool removing_dead_ = false;      // only the background worker uses it
  std::atomic<bool> has_orphans_{false};
  std::mutex orphans_mutex_;
  Invalidations orphans_;
};

}  // namespace pinfold::cache
