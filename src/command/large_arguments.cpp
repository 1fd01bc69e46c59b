#include "pinfold/command/large_arguments.hpp"

namespace pinfold::command {

std::size_t LargeArguments::bytes() const {
  std::size_t sum = 0;
  for (const Argument& argument : arguments_) sum += view_of(argument.blob).size();
  return sum;
}

void LargeArguments::refuse() {
  refused_ = true;
  for (Argument& argument : arguments_) argument.blob = {};
}

Blob LargeArguments::take(std::size_t index) {
  for (Argument& argument : arguments_) {
    if (argument.index == index) return std::move(argument.blob);
  }
  return {};
}

}  // namespace pinfold::command
