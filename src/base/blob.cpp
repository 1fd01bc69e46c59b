#include "pinfold/base/blob.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "pinfold/base/work.hpp"

namespace pinfold {

Blob Blob::allocate(BlockHeap& heap, std::size_t size, std::size_t capacity) {
  Blob blob;
  if (capacity > std::numeric_limits<std::ptrdiff_t>::max() - BlockHeap::own_mapping) return blob;
  const std::size_t block = BlockHeap::rounded(sizeof(Rep) + capacity);
  char* raw = heap.allocate(block);
  if (raw == nullptr) return blob;
  blob.rep_ = new (raw) Rep{&heap, {1}, block, size, size};
  heap.note_loose(static_cast<std::int64_t>(block));
  return blob;
}

Blob Blob::zeroed(BlockHeap& heap, std::size_t size) {
  Blob blob = allocate(heap, 0, size);
  if (blob) blob.resize(size);
  return blob;
}

Blob Blob::copy_of(BlockHeap& heap, std::string_view bytes) {
  Blob blob = allocate(heap, bytes.size(), bytes.size());
  if (blob) std::memcpy(blob.data(), bytes.data(), bytes.size());
  work::bytes(bytes.size());
  return blob;
}

bool Blob::reserve(std::size_t capacity) {
  if (capacity <= this->capacity()) return true;
  const std::size_t block = BlockHeap::rounded(sizeof(Rep) + capacity);
  char* moved = rep_->heap->grow(reinterpret_cast<char*>(rep_), rep_->block, block);
  if (moved == nullptr) return false;
  rep_ = reinterpret_cast<Rep*>(moved);
  if (!stored()) rep_->heap->note_loose(static_cast<std::int64_t>(block - rep_->block));
  // A small block is copied as a whole, with what older values left in it, so all of that counts as written. A mapping grows by zeros.
  if (rep_->block < BlockHeap::own_mapping) rep_->written = rep_->block - sizeof(Rep);
  rep_->block = block;
  return true;
}

bool Blob::resize(std::size_t size) {
  if (!reserve(size)) return false;
  const std::size_t before = rep_->size;
  const bool fresh = rep_->block >= BlockHeap::own_mapping;
  const std::size_t dirty = fresh ? std::min(size, rep_->written) : size;
  if (dirty > before) {
    std::memset(rep_->bytes() + before, 0, dirty - before);
    work::bytes(dirty - before);
  }
  set_size(size);
  return true;
}

void Blob::note_stored(void* raw, int sign) {
  Rep& rep = *static_cast<Rep*>(raw);
  const int before = rep.stores.fetch_add(sign, std::memory_order_relaxed);
  const auto bytes = static_cast<std::int64_t>(rep.block);
  if (before == 0) rep.heap->note_loose(-bytes);
  if (before + sign == 0) rep.heap->note_loose(bytes);
}

void Blob::note_in_tree(void* raw, int sign) {
  const Rep& rep = *static_cast<const Rep*>(raw);
  rep.heap->note_trees(static_cast<std::int64_t>(rep.block) * sign);
  note_stored(raw, sign);
}

void Blob::set_size(std::size_t size) {
  rep_->size = size;
  rep_->written = std::max(rep_->written, size);
}

std::size_t Blob::wipe_slack(std::size_t done, std::size_t most) const {
  // In a mapping, only the bytes that were ever written to: the rest has no pages yet.
  const std::size_t end = rep_->block < BlockHeap::own_mapping ? capacity() : rep_->written;
  const std::size_t slack = end - std::min(end, rep_->size);
  const std::size_t left = slack - std::min(slack, done);
  const std::size_t wiped = std::min(left, most);
  if (wiped == 0) return 0;
  rep_->heap->wipe(rep_->bytes() + rep_->size + left - wiped, wiped);
  work::bytes(wiped);
  return wiped;
}

void Blob::release() {
  if (rep_ == nullptr) return;
  if (rep_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  BlockHeap& heap = *rep_->heap;
  const std::size_t block = rep_->block;
  const bool wipe = rep_->wipe.load(std::memory_order_relaxed);
  if (!stored()) heap.note_loose(-static_cast<std::int64_t>(block));
  rep_->~Rep();
  heap.free(reinterpret_cast<char*>(rep_), block, wipe);
}

}  // namespace pinfold
