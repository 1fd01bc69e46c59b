#include "pinfold/command/large_arguments.hpp"

#include <algorithm>
#include <utility>

namespace pinfold::command {

void LargeArguments::add(std::size_t index, Blob blob) {
  bytes_ += view_of(blob).size();
  arguments_.push_back({index, std::move(blob), false});
}

Blob LargeArguments::take(std::size_t index) {
  const auto found = std::ranges::lower_bound(arguments_, index, {}, &Argument::index);
  if (found == arguments_.end() || found->index != index) return {};
  if (!std::exchange(found->taken, true)) bytes_ -= view_of(found->blob).size();
  return found->blob;
}

Blob LargeArguments::share(std::size_t index) const {
  const auto found = std::ranges::lower_bound(arguments_, index, {}, &Argument::index);
  return found != arguments_.end() && found->index == index ? found->blob : Blob{};
}

}  // namespace pinfold::command
