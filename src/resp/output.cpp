#include "pinfold/resp/output.hpp"

#include <algorithm>
#include <new>

namespace pinfold::resp {

void Output::append(Blob blob, std::size_t skip) {
  const std::size_t bytes = blob.size() - skip;
  if (bytes == 0) return;
  constexpr std::size_t short_rest = 64 * 1024;
  if (skip > 0 && bytes <= std::min(short_rest, blob.size() / 8)) return append(blob.view().substr(skip));
  if (bytes > cap_ || size() > cap_ - bytes) return overflow();
  blob_bytes_ += bytes;
  held_bytes_ += blob.size();
  blobs_.push_back({size_, std::move(blob), skip});
}

std::size_t Output::abandoned_bytes() const {
  std::size_t bytes = 0;
  for (const Cut& cut : blobs_) bytes += cut.blob.stored() ? 0 : cut.blob.size();
  return bytes;
}

void Output::truncate(std::size_t mark) {
  if (overflowed_) return;  // there is nothing left to cut
  size_ = mark;
  while (!blobs_.empty() && blobs_.back().at > mark) {
    blob_bytes_ -= blobs_.back().bytes().size();
    held_bytes_ -= blobs_.back().blob.size();
    blobs_.pop_back();
  }
}

void Output::clear(std::size_t keep) {
  size_ = 0;
  blob_bytes_ = held_bytes_ = 0;
  blobs_.clear();
  overflowed_ = false;
  if (capacity_ > keep) {
    text_.reset();
    capacity_ = 0;
  }
}

std::size_t Output::gather(std::size_t skip, Run* runs, std::size_t limit) const {
  std::size_t count = 0;
  std::size_t position = 0;  // in the whole stream
  const auto add = [&](std::string_view bytes, const Blob* blob) {
    const std::size_t hidden = std::min(bytes.size(), skip > position ? skip - position : 0);
    position += bytes.size();
    bytes.remove_prefix(hidden);
    if (!bytes.empty() && count < limit) runs[count++] = {bytes, blob};
  };
  std::size_t text = 0;
  for (const Cut& cut : blobs_) {
    add({text_.get() + text, cut.at - text}, nullptr);
    add(cut.bytes(), &cut.blob);
    text = cut.at;
    if (count == limit) return count;
  }
  add({text_.get() + text, size_ - text}, nullptr);
  return count;
}

void Output::move_from(Output& other, std::size_t skip) {
  constexpr std::size_t batch = 16;
  Run runs[batch];
  for (std::size_t at = skip; at < other.size();) {
    const std::size_t count = other.gather(at, runs, batch);
    for (std::size_t i = 0; i < count; ++i) {
      at += runs[i].bytes.size();
      if (const Blob* blob = runs[i].blob) {
        append(*blob, static_cast<std::size_t>(runs[i].bytes.data() - blob->view().data()));
      } else {
        append(runs[i].bytes);
      }
    }
  }
  other.clear(other.capacity_);
}

void Output::overflow() {
  overflowed_ = true;
  size_ = 0;
  blob_bytes_ = held_bytes_ = 0;
  blobs_.clear();
}

void Output::grow(std::size_t size) {
  if (size > text_cap_ || size_ > text_cap_ - size || size > cap_ || this->size() > cap_ - size) overflow();
  if (capacity_ - size_ >= size) return;
  // Large blocks grow by less: the kernel moves their pages, nothing is copied.
  constexpr std::size_t large = 1 << 20;
  const std::size_t more = capacity_ < large ? capacity_ : capacity_ / 4;
  const std::size_t capacity = std::max({size_ + size, capacity_ + more, std::size_t{512}});
  void* bigger = std::realloc(text_.get(), capacity);
  if (bigger == nullptr) throw std::bad_alloc();
  [[maybe_unused]] const char* const before = text_.release();
  text_.reset(static_cast<char*>(bigger));
  capacity_ = capacity;
}

}  // namespace pinfold::resp
