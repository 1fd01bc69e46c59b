#include "pinfold/types/run.hpp"

#include "pinfold/base/work.hpp"
#include "pinfold/types/number_set.hpp"

namespace pinfold::types {

namespace {
thread_local RunBuffer scratch_run;
}  // namespace

RunBuffer& RunBuffer::scratch() {
  scratch_run.clear();
  return scratch_run;
}

void forget_scratch() {
  scratch_run.forget();
  NumberSetBuffer::forget_scratch();
}

void RunBuffer::assign(std::string_view run) {
  std::memcpy(bytes_.data(), run.data(), run.size());
  size_ = run.size();
  note_size();
  work::bytes(size_);
}

void RunBuffer::set_count(std::size_t count) {
  const auto stored = static_cast<std::uint16_t>(count);
  std::memcpy(bytes_.data(), &stored, sizeof stored);
}

// Moves what is behind `bytes` bytes at `offset`, so that these become `now` bytes.
void RunBuffer::move(std::size_t offset, std::size_t bytes, std::size_t now) {
  char* const at = bytes_.data() + offset;
  std::memmove(at + now, at + bytes, size_ - offset - bytes);
  work::bytes(size_ - offset - bytes);
  size_ = size_ - bytes + now;
  note_size();
}

void RunBuffer::insert(std::size_t offset, std::string_view item) {
  move(offset, 0, item.size());
  std::memcpy(bytes_.data() + offset, item.data(), item.size());
  set_count(count() + 1);
}

void RunBuffer::erase(std::size_t offset, std::size_t bytes, std::size_t items) {
  move(offset, bytes, 0);
  set_count(count() - items);
}

void RunBuffer::replace(std::size_t offset, std::size_t bytes, std::string_view with) {
  if (bytes != with.size()) move(offset, bytes, with.size());
  std::memcpy(bytes_.data() + offset, with.data(), with.size());
}

}  // namespace pinfold::types
