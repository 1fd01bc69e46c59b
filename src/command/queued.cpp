#include "pinfold/command/queued.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "pinfold/store/value.hpp"

namespace pinfold::command {

Queued::Queued(const Row& command, std::span<const std::string_view> args, LargeArguments* large) : row_(&command) {
  if (large != nullptr && large->count() > 0) large_ = std::make_unique<LargeArguments>(std::move(*large));
  const auto is_large = [this, next = std::size_t{0}](std::size_t i) mutable {
    const bool found = large_ != nullptr && next < large_->count() && large_->index(next) == i;
    next += found ? 1 : 0;
    return found;
  };
  std::size_t bytes = 0;
  auto sized = is_large;
  for (std::size_t i = 0; i < args.size(); ++i) bytes += sized(i) ? 0 : args[i].size();
  const std::size_t header = (1 + args.size()) * sizeof(std::uint32_t);
  block_ = std::make_unique_for_overwrite<char[]>(header + bytes);
  const auto put = [this](std::size_t at, std::size_t value) {
    const auto number = static_cast<std::uint32_t>(value);
    std::memcpy(block_.get() + at * sizeof number, &number, sizeof number);
  };
  put(0, args.size());
  char* to = block_.get() + header;
  auto copied = is_large;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::size_t size = copied(i) ? 0 : args[i].size();
    put(1 + i, size);
    if (size > 0) std::memcpy(to, args[i].data(), size);
    to += size;
  }
}

std::size_t Queued::number(std::size_t at) const {
  std::uint32_t number = 0;
  std::memcpy(&number, block_.get() + at * sizeof number, sizeof number);
  return number;
}

std::size_t Queued::count() const { return number(0); }

void Queued::arguments(std::vector<std::string_view>& args) const {
  args.clear();
  const char* from = block_.get() + (1 + count()) * sizeof(std::uint32_t);
  for (std::size_t i = 0; i < count(); ++i) {
    args.emplace_back(from, number(1 + i));
    from += args.back().size();
  }
  for (std::size_t i = 0; large_ != nullptr && i < large_->count(); ++i) args[large_->index(i)] = large_->view(i);
}

std::size_t Queued::memory(std::span<const std::string_view> args, std::size_t large_bytes) {
  // The block with what malloc adds, and what EXEC notes of each command and of its keys, which may be all but its name.
  constexpr std::size_t each = sizeof(Queued) + 2 * sizeof(void*) + sizeof(std::uint32_t) + 2 * sizeof(std::uint32_t);
  std::size_t bytes = each + std::max<std::size_t>(args.size() - 1, 1) * sizeof(store::Key);
  for (const std::string_view arg : args) bytes += sizeof(std::uint32_t) + arg.size();
  return bytes - large_bytes;
}

}  // namespace pinfold::command
