#include "pinfold/store/database.hpp"

#include <algorithm>

#include "pinfold/store/shard.hpp"

namespace pinfold::store {

std::optional<Value> Database::find(const Key& key, Access access) {
  Shard& shard = keyspace_->shard(key);
  Table* table = shard.tables[number_].get();
  std::optional<Entry> entry;
  if (table != nullptr) entry = table->find(key);
  if (entry && entry->expired(now_)) {
    ++shard.expired;
    shard.watchers.changed(number_, key.text);
    table->remove(key);
    entry.reset();
  }
  if (access.count) ++(entry ? shard.hits : shard.misses);
  if (!entry) return std::nullopt;
  if (access.touch && touch_) {
    entry->touch();
    if (entry->accessed() != 0) entry->set_accessed(static_cast<std::uint32_t>(now_ / 1000));
  }
  return entry->value();
}

bool Database::put_parts(const Key& key, std::string_view text, Blob blob, const PutOptions& options) {
  // The deadline to keep must not be one that has passed.
  if (options.keep_expiry) find(key, Access::none());
  Shard& shard = keyspace_->shard(key);
  Table* const table = shard.table(number_);
  if (table == nullptr || !table->put(key, text, std::move(blob), options)) return false;
  note_change(key);
  return true;
}

bool Database::put(const Key& key, std::string_view text, const PutOptions& options) {
  return put_parts(key, text, {}, options);
}

bool Database::put(const Key& key, Blob blob, const PutOptions& options) {
  return put_parts(key, {}, std::move(blob), options);
}

bool Database::put(const Key& key, const Value& value, const PutOptions& options) {
  // A copy's value is not part of the request, so nobody has made room for it yet.
  if (!has_room(key.text.size() + (value.blob != nullptr ? 0 : value.text.size()))) return false;
  if (value.blob != nullptr) return put(key, value.share(), options);
  return put(key, value.text, options);
}

bool Database::has_room(std::uint64_t bytes) {
  if (wanted_ == nullptr || keyspace_->has_room(bytes, beyond_)) return true;
  *wanted_ = bytes;
  return false;
}

char* Database::resize(const Key& key, std::size_t size, bool changes) {
  Shard& shard = keyspace_->shard(key);
  Table* const table = shard.table(number_);
  if (table == nullptr) return nullptr;
  // Room to grow, so that appending piece by piece copies each byte a bounded number of times; much of it only where it is
  // to be had anyway.
  constexpr std::size_t modest = BlockHeap::own_mapping / 4;
  std::size_t capacity = size + std::min(size / 4, modest);
  const std::size_t cost = table->cost_of_resizing(key, size, capacity);
  if (cost == 0) {
    capacity = size;
  } else {
    if (!has_room(cost)) return nullptr;
    if (keyspace_->has_room(cost + size / 4)) capacity = size + size / 4;
  }
  char* bytes = table->resize(key, size, capacity);
  if (bytes != nullptr && changes) note_change(key);
  return bytes;
}

void Database::note_change(const Key& key) { keyspace_->shard(key).watchers.changed(number_, key.text); }

bool Database::remove(const Key& key) {
  // Expired entries do not exist: find() takes them away first and counts them as what they are.
  if (!find(key, Access::none())) return false;
  Shard& shard = keyspace_->shard(key);
  shard.tables[number_]->remove(key);
  note_change(key);
  return true;
}

bool Database::set_expiry(const Key& key, UnixMs at) {
  Shard& shard = keyspace_->shard(key);
  Table* table = shard.tables[number_].get();
  if (table == nullptr || !table->set_expiry(key, at)) return false;
  note_change(key);
  return true;
}

}  // namespace pinfold::store
