#pragma once
// The requests of one connection that are parsed ahead of their execution, so that the memory they will touch can be
// fetched meanwhile. One per I/O thread, reused.

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "pinfold/command/dispatch.hpp"

namespace pinfold::net {

struct Batch {
  static constexpr std::size_t capacity = 32;
  static constexpr std::size_t many_arguments = 1024;

  std::size_t size = 0;
  std::array<std::size_t, capacity> starts;  // where each request starts in the input
  std::array<std::size_t, capacity + 1> first_arg;
  std::array<command::Prepared, capacity> prepared;
  std::vector<std::string_view> args;  // of all requests, one behind the other

  void clear() {
    size = 0;
    first_arg[0] = 0;
    if (args.capacity() > 4 * many_arguments) std::vector<std::string_view>().swap(args);
    args.clear();
  }
  void add(std::size_t start, const std::vector<std::string_view>& request) {
    starts[size] = start;
    args.insert(args.end(), request.begin(), request.end());
    first_arg[++size] = args.size();
  }
  command::Args args_of(std::size_t i) const {
    return {args.data() + first_arg[i], first_arg[i + 1] - first_arg[i]};
  }
};

}  // namespace pinfold::net
