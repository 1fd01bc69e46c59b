#include "pinfold/command/large_arguments.hpp"

#include <algorithm>

namespace pinfold::command {

std::size_t LargeArguments::bytes() const {
  std::size_t sum = 0;
  for (const Argument& argument : arguments_) sum += view_of(argument.blob).size();
  return sum;
}

Blob LargeArguments::take(std::size_t index) {
  const auto found = std::ranges::lower_bound(arguments_, index, {}, &Argument::index);
  return found != arguments_.end() && found->index == index ? std::move(found->blob) : Blob{};
}

}  // namespace pinfold::command
