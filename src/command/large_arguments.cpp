#include "pinfold/command/large_arguments.hpp"

#include <algorithm>

namespace pinfold::command {

void LargeArguments::add(std::size_t index, Blob blob) {
  bytes_ += view_of(blob).size();
  arguments_.push_back({index, std::move(blob)});
}

Blob LargeArguments::take(std::size_t index) {
  const auto found = std::ranges::lower_bound(arguments_, index, {}, &Argument::index);
  if (found == arguments_.end() || found->index != index) return {};
  bytes_ -= view_of(found->blob).size();
  return std::move(found->blob);
}

Blob LargeArguments::share(std::size_t index) const {
  const auto found = std::ranges::lower_bound(arguments_, index, {}, &Argument::index);
  return found != arguments_.end() && found->index == index ? found->blob : Blob{};
}

}  // namespace pinfold::command
