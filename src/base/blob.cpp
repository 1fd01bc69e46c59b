#include "pinfold/base/blob.hpp"

#include <malloc.h>

#include <cstdlib>
#include <limits>
#include <new>

namespace pinfold {

Blob Blob::allocate(std::size_t size, std::size_t capacity) {
  Blob blob;
  if (capacity > std::numeric_limits<std::size_t>::max() - sizeof(Rep)) return blob;
  void* raw = std::malloc(sizeof(Rep) + capacity);
  if (raw == nullptr) return blob;
  blob.rep_ = new (raw) Rep{{1}, size, capacity};
  return blob;
}

std::size_t Blob::memory() const { return malloc_usable_size(rep_) + sizeof(std::size_t); }

void Blob::release() {
  if (rep_ == nullptr) return;
  if (rep_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  rep_->~Rep();
  std::free(rep_);
}

}  // namespace pinfold
