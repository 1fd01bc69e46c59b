#include "pinfold/resp/output.hpp"

#include <algorithm>

namespace pinfold::resp {

void Output::append(Blob blob) {
  if (blob.size() == 0) return;
  if (blob.size() > cap_ || size() > cap_ - blob.size()) return overflow();
  blob_bytes_ += blob.size();
  blobs_.push_back({size_, std::move(blob)});
}

void Output::truncate(std::size_t mark) {
  if (overflowed_) return;  // there is nothing left to cut
  size_ = mark;
  while (!blobs_.empty() && blobs_.back().at > mark) {
    blob_bytes_ -= blobs_.back().blob.size();
    blobs_.pop_back();
  }
}

void Output::clear(std::size_t keep) {
  size_ = 0;
  blob_bytes_ = 0;
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
    add(cut.blob.view(), &cut.blob);
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
      // A blob of which the front was sent already cannot be referred to from its middle: that rest is copied.
      if (runs[i].blob != nullptr && runs[i].bytes.size() == runs[i].blob->size()) {
        append(*runs[i].blob);
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
  blob_bytes_ = 0;
  blobs_.clear();
}

void Output::grow(std::size_t size) {
  if (size > cap_ || this->size() > cap_ - size) overflow();
  if (capacity_ - size_ >= size) return;
  const std::size_t capacity = std::max(size_ + size, std::max<std::size_t>(capacity_ * 2, 512));
  std::unique_ptr<char[]> bigger(new char[capacity]);
  if (size_ > 0) std::memcpy(bigger.get(), text_.get(), size_);
  text_ = std::move(bigger);
  capacity_ = capacity;
}

}  // namespace pinfold::resp
