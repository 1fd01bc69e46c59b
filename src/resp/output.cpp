#include "pinfold/resp/output.hpp"

#include <algorithm>
#include <iterator>
#include <new>

#include "pinfold/base/work.hpp"

namespace pinfold::resp {

void Output::append(Blob blob) {
  const std::size_t size = blob.size();
  append(std::move(blob), 0, size);
}

void Output::append(Blob blob, std::size_t skip, std::size_t length) {
  constexpr std::size_t short_part = 64 * 1024;
  if (length == 0) return;
  if (length < blob.size() && length <= std::min(short_part, blob.size() / 8)) return append(blob.view().substr(skip, length));
  if (overflow_ != Overflow::none) return;
  if (length > cap_ || size() > cap_ - length) return give_up(Overflow::cap);
  if (!room_for_cut()) return give_up(Overflow::account);
  add_cut(size_, std::move(blob), skip, length);
}

void Output::add_cut(std::size_t at, Blob blob, std::size_t skip, std::size_t length) {
  const std::size_t held = blob.size();
  cuts_.push_back({at, std::move(blob), skip, length});
  blob_bytes_ += length;
  held_bytes_ += held;
}

bool Output::allowed(std::size_t capacity, std::size_t cuts) const {
  return account_ == nullptr || account_->allows(capacity + cuts * sizeof(Cut));
}

bool Output::room_for_cut() {
  if (cuts_.size() < cuts_.capacity()) return true;
  const std::size_t more = std::max<std::size_t>(cuts_.capacity() * 2, 16);
  // The old and the new vector exist together while the cuts move.
  if (!allowed(capacity_, more + cuts_.capacity())) return false;
  cuts_.reserve(more);
  return true;
}

std::size_t Output::abandoned_bytes() {
  constexpr std::size_t most = 512;
  std::size_t bytes = 0;
  const std::size_t count = std::min(most, cuts_.size() - first_);
  work::entries(count);
  for (std::size_t i = 0; i < count; ++i, ++look_) {
    if (look_ < first_ || look_ >= cuts_.size()) look_ = first_;
    bytes += cuts_[look_].blob.stored() ? 0 : cuts_[look_].blob.size();
  }
  return bytes;
}

void Output::drop_cuts_from(std::size_t mark) {
  while (cuts_.size() > first_ && cuts_.back().at > mark) {
    blob_bytes_ -= cuts_.back().length;
    held_bytes_ -= cuts_.back().blob.size();
    cuts_.pop_back();
  }
}

void Output::truncate(std::size_t mark) {
  if (overflow_ != Overflow::none) {
    if (mark > reply_) return;  // give_up() has taken that part back already
    overflow_ = Overflow::none;
    end_ = capacity_;
  }
  size_ = mark;
  drop_cuts_from(mark);
}

void Output::take_back_reply() {
  truncate(reply_);
  if (capacity_ - size_ > least_room) resize_text(size_ + least_room);
  cuts_.shrink_to_fit();
}

// Drops the present reply. The rest of it is still written: each small write goes to the room after what stays, over the one before.
void Output::give_up(Overflow why) {
  overflow_ = why;
  size_ = reply_;
  drop_cuts_from(reply_);
  if (capacity_ - size_ < least_room) resize_text(size_ + least_room);
  end_ = size_;
}

void Output::clear(std::size_t keep) {
  size_ = text_sent_ = blob_sent_ = blob_bytes_ = held_bytes_ = reply_ = first_ = 0;
  overflow_ = Overflow::none;
  cuts_.clear();
  if (cuts_.capacity() > kept_cuts) std::vector<Cut>().swap(cuts_);
  if (capacity_ > keep) {
    text_.reset();
    capacity_ = 0;
  }
  end_ = capacity_;
}

std::size_t Output::gather(iovec* runs, std::size_t limit) const {
  const auto run = [](const char* bytes, std::size_t size) { return iovec{const_cast<char*>(bytes), size}; };
  std::size_t count = 0;
  std::size_t text = text_sent_;
  std::size_t hidden = blob_sent_;
  for (std::size_t i = first_; i < cuts_.size() && count < limit; ++i) {
    work::entries();
    const Cut& cut = cuts_[i];
    if (cut.at > text) runs[count++] = run(text_.get() + text, cut.at - text);
    text = cut.at;
    if (count == limit) return count;
    runs[count++] = run(cut.bytes().data() + hidden, cut.length - hidden);
    hidden = 0;
  }
  if (count < limit && text < size_) runs[count++] = run(text_.get() + text, size_ - text);
  return count;
}

void Output::consume(std::size_t count) {
  for (;;) {
    const std::size_t text_end = first_ < cuts_.size() ? cuts_[first_].at : size_;
    const std::size_t text = std::min(count, text_end - text_sent_);
    text_sent_ += text;
    count -= text;
    if (count == 0) break;
    work::entries();
    Cut& cut = cuts_[first_];
    const std::size_t sent = std::min(count, cut.length - blob_sent_);
    blob_sent_ += sent;
    blob_bytes_ -= sent;
    count -= sent;
    if (blob_sent_ < cut.length) break;
    held_bytes_ -= cut.blob.size();
    cut.blob = {};
    blob_sent_ = 0;
    ++first_;
  }
}

void Output::compact() {
  constexpr std::size_t worth_it = 64 * 1024;
  constexpr std::size_t many_cuts = 1024;
  const bool text = text_sent_ >= worth_it && text_sent_ * 2 >= size_;
  const bool cuts = first_ >= many_cuts && first_ * 2 >= cuts_.size();
  if (!text && !cuts) return;
  if (text) forget_sent();
  std::vector<Cut> rest;
  rest.reserve(cuts_.size() - first_);
  std::move(cuts_.begin() + static_cast<std::ptrdiff_t>(first_), cuts_.end(), std::back_inserter(rest));
  cuts_.swap(rest);
  first_ = 0;
}

void Output::forget_sent() {
  std::memmove(text_.get(), text_.get() + text_sent_, size_ - text_sent_);
  size_ -= text_sent_;
  for (std::size_t i = first_; i < cuts_.size(); ++i) cuts_[i].at -= text_sent_;
  text_sent_ = reply_ = 0;
  resize_text(size_);
}

void Output::move_from(Output& other) {
  if (overflow_ == Overflow::none && (other.size() > cap_ || size() > cap_ - other.size())) give_up(Overflow::cap);
  if (overflow_ != Overflow::none) return other.clear(other.capacity_);
  if (other.blob_sent_ > 0) {
    Cut& cut = other.cuts_[other.first_];
    append(std::move(cut.blob), cut.skip + other.blob_sent_, cut.length - other.blob_sent_);
    ++other.first_;
  }
  const std::size_t before = size_;
  append(std::string_view(other.text_.get() + other.text_sent_, other.size_ - other.text_sent_));
  if (overflow_ != Overflow::none) return other.clear(other.capacity_);
  work::entries(other.cuts_.size() - other.first_);
  const std::size_t cuts = cuts_.size() + other.cuts_.size() - other.first_;
  if (cuts > cuts_.capacity()) cuts_.reserve(std::max(cuts, 2 * cuts_.capacity()));
  for (std::size_t i = other.first_; i < other.cuts_.size(); ++i) {
    Cut& cut = other.cuts_[i];
    add_cut(before + cut.at - other.text_sent_, std::move(cut.blob), cut.skip, cut.length);
  }
  other.clear(other.capacity_);
}

// Makes room for `size` more bytes. Returns false after an overflow. Then there is room for least_room bytes, which will be ignored.
bool Output::grow(std::size_t size) {
  if (overflow_ == Overflow::none) {
    const bool capped = size > cap_ || this->size() > cap_ - size;
    if (!capped && enlarge(size)) return true;
    give_up(capped ? Overflow::cap : Overflow::account);
  }
  size_ = reply_;
  return false;
}

bool Output::enlarge(std::size_t size) {
  const std::size_t needed = size_ + size;
  if (needed <= capacity_) return true;
  // A large buffer grows by a smaller part: the kernel moves its pages, so nothing is copied.
  constexpr std::size_t large = 1 << 20;
  std::size_t more = capacity_ < large ? std::max(capacity_, std::size_t{512}) : capacity_ / 4;
  // If the account refuses that, half is tried, and so on. But the buffer never grows by a tiny part, because each growth may copy it.
  const std::size_t least = capacity_ / 64;
  while (!allowed(std::max(needed, capacity_ + more), cuts_.capacity())) {
    if (more <= least || needed >= capacity_ + more) return false;
    more /= 2;
  }
  resize_text(std::max(needed, capacity_ + more));
  return true;
}

void Output::resize_text(std::size_t capacity) {
  capacity = std::max<std::size_t>(capacity, 1);
  void* resized = std::realloc(text_.get(), capacity);
  if (resized == nullptr) throw std::bad_alloc();
  [[maybe_unused]] const char* const before = text_.release();
  text_.reset(static_cast<char*>(resized));
  capacity_ = capacity;
  end_ = capacity_;
}

}  // namespace pinfold::resp
