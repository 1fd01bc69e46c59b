// Recounts from the data what the store counts as it goes. Tests compare both, for every figure of memory.

#include <array>
#include <cstdint>
#include <map>
#include <set>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/shard.hpp"
#include "pinfold/store/table.hpp"

namespace pinfold::store {

Index::Audit Index::audit() const {
  Audit result;
  std::uint64_t bytes = 0;
  std::uint64_t chapters = 0;
  const auto add = [&](const void* block, std::size_t size) {
    if (!result.blocks.emplace(block, size).second) result.consistent = false;
    bytes += size;
  };
  const bool whole = directory_.audit([&](const void* block, std::size_t size) {
    add(block, size);
    chapters += size;
  });
  result.directory = directory_.memory() - chapters;
  std::uint64_t at = dismantle_at_;
  for (bool more = !no_groups_; more; more = at != 0) {
    const Group group = group_of(at);
    if (group.buckets() == nullptr || !directory_.holds(at, group.depth(), group.packed())) return {.consistent = false};
    result.entries += population(group);
    add(group.buckets(), block_of(group.count()));
    at += span_of(group.depth());
  }
  if (!whole || bytes + result.directory != memory()) result.consistent = false;
  return result;
}

// Adds one segment to the sums, and the blocks of its entries to those of its queue.
bool Table::audit_segment(std::uint32_t id, Audit& sums, Log::Queue& queue) {
  const Segment& segment = log_.segment(id);
  std::uint64_t in_use = 0;
  std::uint64_t dead = 0;
  bool good = segment.used <= segment_size;
  for (std::uint32_t at = 0; at < segment.used;) {
    const Entry e(segment.base + at);
    const Ref ref = Log::ref(id, at);
    at += static_cast<std::uint32_t>(e.extent());
    if (e.dead()) {
      dead += e.extent();
      continue;
    }
    ++sums.entries_in_use;
    in_use += e.extent();
    if (e.expires_at() != 0) {
      ++sums.with_deadline;
      if (e.gone_at() < earliest_of(id)) good = false;
    }
    e.for_each_handle([&](Handle handle) {
      Audit::Block& block = sums.blocks[handle.raw()];
      const ValueType::Recount recount = handle.recount([](const void*, std::size_t) {});
      block = {handle, handle.memory(), block.entries + 1, recount.stores, recount.references};
      ++sums.block_references;
      queue.blob_bytes += block.bytes;
    });
    if (const Handle value = e.handle()) ++sums.outside_sizes[SizeClasses::outside_class(value.memory())];
    if (dismantling_) continue;
    // Not find_slot(), which would remove the entry if a purge is still to do so.
    const Index::Slot slot = index_.find(hash_of(ref), [&](Ref other) { return entry(other).key() == e.key(); });
    if (!slot || *slot.ref != ref) good = false;
  }
  sums.bytes_in_use += in_use;
  sums.dead_bytes += dead;
  ++sums.segments;
  ++queue.segments;
  return good && in_use + dead == segment.used && dead == segment.dead;
}

Table::Audit Table::audit() {
  Audit result;
  std::array<Log::Queue, eviction::queue_count> queues;
  for (std::uint32_t id = 1; id < log_.end(); ++id) {
    if (log_.segment(id).base == nullptr) continue;
    if (!audit_segment(id, result, queues[log_.segment(id).queue])) result.consistent = false;
  }
  Index::Audit index = index_.audit();
  result.directory = index.directory;
  result.index_blocks = std::move(index.blocks);
  result.ghost_bytes = policy_.memory();
  if (dismantling_) return result;
  for (unsigned q = 0; q < queues.size(); ++q) {
    const Log::Queue& counted = log_.queues()[q];
    if (queues[q].segments != counted.segments || queues[q].blob_bytes != counted.blob_bytes) result.consistent = false;
  }
  if (!log_.audit_queues() || !index.consistent || index.entries != size_ || result.entries_in_use != size_ ||
      result.with_deadline != expires_ || result.dead_bytes != log_.dead_bytes() ||
      result.bytes_in_use + result.dead_bytes != log_.used_bytes() || result.block_references != log_.blobs() ||
      result.ghost_bytes != ghost_bytes_ || result.outside_sizes != outside_sizes_) {
    result.consistent = false;
  }
  return result;
}

namespace {

// The bytes that the heap counts for these blocks. Small blocks share pages.
std::uint64_t pages_of(const std::map<const void*, std::size_t>& blocks) {
  std::set<std::uintptr_t> pages;
  std::uint64_t own = 0;
  for (const auto& [raw, bytes] : blocks) {
    const auto at = reinterpret_cast<std::uintptr_t>(raw);
    if (bytes >= BlockHeap::own_mapping) {
      own += bytes;
    } else {
      for (auto page = at / BlockHeap::page; page <= (at + bytes - 1) / BlockHeap::page; ++page) pages.insert(page);
    }
  }
  return own + pages.size() * BlockHeap::page;
}

}  // namespace

KeyspaceAudit Keyspace::audit() {
  using Block = Table::Audit::Block;
  Locks locks(*this);
  locks.acquire_all();
  const std::lock_guard lock(to_free_mutex_);
  KeyspaceAudit result;
  std::map<void*, Block> blocks;  // of all tables, because entries of several tables may refer to one block
  std::map<const void*, std::size_t> index_blocks;
  const auto add = [&](Table& table) {
    Table::Audit part = table.audit();
    result.segments += part.segments * segment_size;
    result.index += part.directory;
    index_blocks.merge(part.index_blocks);
    result.ghosts += part.ghost_bytes;
    result.consistent &= part.consistent;
    for (const auto& [raw, block] : part.blocks) {
      const std::size_t before = blocks[raw].entries;
      blocks[raw] = block;
      blocks[raw].entries += before;
    }
  };
  for (const auto& shard : shards_) {
    std::uint64_t occupied = 0;
    for (const auto& table : shard->tables) {
      if (!table) continue;
      add(*table);
      occupied += table->occupied();
    }
    if (occupied != shard->occupied.load()) result.consistent = false;
  }
  for (const RemovedTable& removed : tables_to_free_) add(*removed.table);
  std::map<const void*, std::size_t> block_sizes;
  const auto show = [&](const void* block, std::size_t bytes) { block_sizes[block] = bytes; };
  memory_.leftovers().for_each([&](Handle handle) { handle.recount(show); });
  for (const auto& [raw, block] : blocks) {
    std::size_t bytes = 0;
    block.handle.recount([&](const void* at, std::size_t size) {
      show(at, size);
      bytes += size;
    });
    if (bytes != block.bytes) result.consistent = false;
    if (block.stores != block.entries || block.references < block.entries) result.consistent = false;
    result.readers += block.references - block.entries;
  }
  result.blobs = pages_of(block_sizes);
  result.index += pages_of(index_blocks);
  return result;
}

}  // namespace pinfold::store
