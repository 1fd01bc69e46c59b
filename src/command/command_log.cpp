#include "pinfold/command/command_log.hpp"

#include <algorithm>
#include <utility>

namespace pinfold::command {
namespace {

std::size_t memory_of(const CommandLog::Entry& entry) {
  constexpr std::size_t bookkeeping = 64;  // of the shared pointer and of the allocator
  return sizeof(entry) + bookkeeping + entry.words.memory() + entry.address.capacity() + entry.name.capacity();
}

}  // namespace

void CommandLog::add(Kind kind, Entry entry, std::size_t most) {
  std::vector<Pointer> forgotten;  // freed after the mutex has been released
  const auto added = std::make_shared<Entry>(std::move(entry));
  const std::lock_guard lock(mutex_);
  List& of_kind = list(kind);
  of_kind.entries.push_front(added);
  added->id = of_kind.next_id++;
  of_kind.bytes += memory_of(*added);
  while (of_kind.entries.size() > most || of_kind.bytes > most_bytes) {
    of_kind.bytes -= memory_of(*of_kind.entries.back());
    forgotten.push_back(std::move(of_kind.entries.back()));
    of_kind.entries.pop_back();
  }
}

std::vector<CommandLog::Pointer> CommandLog::newest(Kind kind, std::size_t count) const {
  const std::lock_guard lock(mutex_);
  const std::deque<Pointer>& entries = list(kind).entries;
  return {entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(std::min(count, entries.size()))};
}

std::size_t CommandLog::length(Kind kind) const {
  const std::lock_guard lock(mutex_);
  return list(kind).entries.size();
}

std::size_t CommandLog::bytes(Kind kind) const {
  const std::lock_guard lock(mutex_);
  return list(kind).bytes;
}

void CommandLog::reset(Kind kind) {
  std::deque<Pointer> forgotten;  // freed after the mutex has been released
  const std::lock_guard lock(mutex_);
  list(kind).entries.swap(forgotten);
  list(kind).bytes = 0;
}

void CommandLog::forget() {
  for (unsigned kind = 0; kind < static_cast<unsigned>(Kind::count); ++kind) reset(static_cast<Kind>(kind));
}

}  // namespace pinfold::command
